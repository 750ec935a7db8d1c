"""A compute over a real dispatcher: what it tells of a build whose hypervisor goes away under it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from injector.compute import manager
from injector.compute.journal import Journal
from injector.compute.manager import ComputeManager, Host
from injector.db import open_store
from injector.dispatcher.manager import DispatcherManager
from injector.errors import BusUnavailable, Conflict, HostError, HypervisorDown, Unanswered
from injector.model.boot import Rebuild
from injector.model.generation import IdPolicy
from injector.model.host import InjectionPolicy
from injector.model.image import DiskFormat, Image
from injector.model.instance import Instance, State, Step
from injector.model.report import Entering, Failed, Launched, Refreshed, Report, Settled
from injector.settings import DispatcherSettings
from injector.system.vault import Vault
from injector.virt.driver import Enter, Order, Spawned
from injector.virt.fake import FakeDriver
from tests import builders
from tests.hypervisors import Stage, in_memory

CONTEXT = builders.a_context()
PAYLOAD = builders.a_vault().seal(builders.INSTANCE_ID, builders.a_payload())


class Fickle(FakeDriver):
    """Goes away when a build comes to ``step``; at RUNNING, once the guest has been started. ``away`` may be ended.

    ``unanswered``: nobody says what it has to know of a guest that it finds.
    """

    step: Step | None = None
    away = False
    unanswered = False

    def spawn(self, order: Order, enter: Enter) -> Spawned:
        def noticed(step: Step) -> None:
            enter(step)
            if step is self.step:
                self.away = True
                self._answer()

        spawned = super().spawn(order, noticed)
        if self.step is Step.RUNNING:
            self.away = True
            self._answer()
        return spawned

    def recall(self, instance: Instance) -> Spawned | None:
        self._answer()
        if self.unanswered:
            raise Unanswered("nobody answers")
        return super().recall(instance)

    def destroy(self, instance_id: str) -> None:
        self._answer()
        super().destroy(instance_id)

    def state(self, instance_id: str) -> State | None:
        self._answer()
        return super().state(instance_id)

    def _answer(self) -> None:
        if self.away:
            raise HypervisorDown("libvirt does not answer")


class Unreachable(DispatcherManager):
    """Reports of ``missed`` do not come through, the next time that one is made."""

    missed: type[Report] | None = None

    def report(self, host: str, instance_id: str, attempt: int, report: Report, call: str = "") -> bool:
        if self.missed is not None and isinstance(report, self.missed) and _step_of(report) in (None, Step.DELIVER):
            self.missed = None
            raise HostError("the database does not answer")
        return super().report(host, instance_id, attempt, report, call)


def _step_of(report: Report) -> Step | None:
    return report.step if isinstance(report, Entering) else None


@dataclass
class House:
    """One instance, its compute, and another host that could make it too."""

    compute: ComputeManager
    dispatcher: Unreachable
    driver: Fickle
    instance_id: str
    stage: Stage
    pruned: list[frozenset[str]] = field(default_factory=list)

    @property
    def record(self) -> Instance:
        """As the compute's host is told it; it has to be that host's still."""
        record = self.dispatcher.assignment("testhost", self.instance_id)
        assert record is not None, "it has moved"
        return record

    def ring(self) -> None:
        """And wait until what that asks for is done."""
        self.compute.ring(self.instance_id)
        while self.compute._lanes.busy(self.instance_id):
            time.sleep(0.01)


@contextmanager
def a_house(directory: Path) -> Iterator[House]:
    with (
        in_memory(directory, InjectionPolicy(), Fickle) as stage,
        closing(open_store(f"sqlite:///{directory}/db")) as store,
    ):
        for name in ("testhost", "zeppelin"):
            store.save_host(builders.some_host_facts(name=name))
        dispatcher = Unreachable(store, lambda _host, _instance: None, DispatcherSettings())
        vault = builders.a_vault()
        payload = vault.seal(builders.INSTANCE_ID, builders.a_payload())
        flavor = builders.a_flavor(ram=64, disk=0)
        request = builders.a_boot_request(image=stage.images["root"], flavor=flavor, payload=payload, nics=())
        dispatcher.build(CONTEXT, (request,), 1)
        driver = stage.driver
        assert isinstance(driver, Fickle)
        journal = Journal(stage.settings.instances_dir, None)
        pruned = list[frozenset[str]]()
        compute = ComputeManager(Host(driver, dispatcher, vault, journal, pruned.append), stage.settings)
        try:
            yield House(compute, dispatcher, driver, request.instance_id, stage, pruned)
        finally:
            driver.away = False
            compute.stop()


def test_a_guest_that_may_have_been_started_is_not_made_elsewhere(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        house.driver.step = Step.RUNNING
        house.ring()
        assert (house.record.state, house.record.attempt) == (State.BUILDING, 1)
        house.ring()
        assert (house.record.state, house.record.attempt) == (State.BUILDING, 1)
        house.driver.away, house.driver.step = False, None
        house.ring()
        assert (house.record.state, house.record.attempt) == (State.ACTIVE, 1)


def test_one_that_was_not_yet_to_start_is(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        house.driver.step = Step.DELIVER
        house.ring()
        moved = house.dispatcher.assignment("zeppelin", house.instance_id)
        assert moved is not None
        assert (moved.state, moved.attempt, moved.tried) == (State.BUILDING, 2, ("testhost",))


def another_image(house: House, directory: Path) -> Image:
    file = directory / "other"
    file.write_bytes(b"x" * 1024)
    return house.stage.shelf.put(file, DiskFormat.RAW, 1024)


def not_to_be_had(house: House, directory: Path) -> Rebuild:
    image = another_image(house, directory)
    house.stage.shelf.take_away(image)
    return Rebuild(image)


def under_another_key(house: House, _directory: Path) -> Rebuild:
    return Rebuild(house.record.image, payload=Vault(b"x" * 32).seal(house.instance_id, builders.a_payload()))


@pytest.mark.parametrize(
    ("wanted", "why"), [(not_to_be_had, "is gone"), (under_another_key, "sealed under key")], ids=["image", "key"]
)
def test_a_guest_is_not_ended_for_one_that_cannot_be_made(
    tmp_path: Path, wanted: Callable[[House, Path], Rebuild], why: str
) -> None:
    with a_house(tmp_path) as house:
        house.ring()
        began = house.driver.console(house.instance_id, 1000)
        house.dispatcher.rebuild(CONTEXT, house.instance_id, wanted(house, tmp_path))
        house.ring()
        fault = house.record.fault
        assert fault is not None
        assert why in fault.message
        assert (house.record.state, house.driver.state(house.instance_id)) == (State.ERROR, State.ACTIVE)
        house.compute.reconcile()
        house.ring()
        assert (house.record.state, house.driver.state(house.instance_id)) == (State.ERROR, State.ACTIVE)
        assert house.driver.console(house.instance_id, 1000) == began
        assert house.pruned == [], "what its disk lies over is on no record"
        with pytest.raises(Conflict, match="rebuilt or deleted"):
            house.dispatcher.act(CONTEXT, house.instance_id, State.REBOOTING_HARD)
        house.dispatcher.rebuild(CONTEXT, house.instance_id, Rebuild(another_image(house, tmp_path), payload=PAYLOAD))
        house.ring()
        house.compute.reconcile()
        assert (house.record.state, house.record.attempt) == (State.ACTIVE, 3)
        assert len(house.pruned) == 1


def test_a_guest_half_made_anew_is_undone_when_it_cannot_go_on(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        house.ring()
        house.dispatcher.rebuild(CONTEXT, house.instance_id, Rebuild(another_image(house, tmp_path)))
        house.driver.step = Step.DELIVER
        house.ring()
        assert (house.record.state, house.driver.local()) == (State.ERROR, frozenset({house.instance_id}))
        house.driver.away, house.driver.step = False, None
        house.dispatcher.rebuild(CONTEXT, house.instance_id, Rebuild(another_image(house, tmp_path)))
        house.ring()
        assert house.record.state is State.ACTIVE


def to_be_built(_house: House) -> None:
    """It is."""


def to_be_made_anew(house: House) -> None:
    house.ring()
    house.dispatcher.rebuild(CONTEXT, house.instance_id, Rebuild(house.record.image))


def to_be_refreshed(house: House) -> None:
    house.ring()
    house.stage.records.keep(house.record, builders.a_payload(), None)
    for generation in house.dispatcher.drive("testhost", house.instance_id).generations:
        house.stage.records.add(house.instance_id, generation)
    house.dispatcher.refresh(CONTEXT, house.instance_id, IdPolicy.KEEP, None)


def to_be_paused(house: House) -> None:
    house.ring()
    house.dispatcher.act(CONTEXT, house.instance_id, State.PAUSING)


@pytest.mark.parametrize(
    ("begin", "missed", "during", "after"),
    [
        (to_be_built, Entering, State.BUILDING, State.ACTIVE),
        (to_be_built, Launched, State.BUILDING, State.ACTIVE),
        (to_be_made_anew, Entering, State.REBUILDING, State.ACTIVE),
        (to_be_made_anew, Launched, State.REBUILDING, State.ACTIVE),
        (to_be_refreshed, Refreshed, State.REFRESHING, State.ACTIVE),
        (to_be_paused, Settled, State.PAUSING, State.PAUSED),
    ],
)
def test_a_report_that_nobody_takes_is_no_failure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[House], None],
    missed: type[Report],
    during: State,
    after: State,
) -> None:
    once = Retrying(retry=retry_if_exception_type(HostError), stop=stop_after_attempt(1), reraise=True)
    monkeypatch.setattr(manager, "_PATIENCE", once)
    with a_house(tmp_path) as house:
        begin(house)
        attempt = house.record.attempt
        house.dispatcher.missed = missed
        house.ring()
        assert (house.record.state, house.record.attempt, house.record.fault) == (during, attempt, None)
        runs = house.driver.state(house.instance_id) is not None
        assert runs is (missed is not Entering)
        house.ring()
        assert (house.record.state, house.record.attempt, house.record.fault) == (after, attempt, None)
        assert house.record.generation == (2 if missed is Refreshed else 1)


def test_a_guest_that_was_found_complete_is_left_when_its_forwards_cannot_be_asked_for(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        house.driver.step = Step.RUNNING
        house.ring()
        house.driver.away, house.driver.step = False, None
        house.driver.unanswered = True
        house.ring()
        assert (house.record.state, house.driver.state(house.instance_id)) == (State.BUILDING, State.ACTIVE)
        house.driver.unanswered = False
        house.ring()
        assert (house.record.state, house.record.attempt) == (State.ACTIVE, 1)


@pytest.mark.parametrize(("what", "number"), [("write", errno.EROFS), ("read", errno.EIO)])
def test_a_build_leaves_a_host_whose_disk_is_dying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Journal, what, fails)
    with a_house(tmp_path) as house:
        house.ring()
        moved = house.dispatcher.assignment("zeppelin", house.instance_id)
        assert moved is not None
        assert (moved.state, moved.attempt, moved.fault) == (State.BUILDING, 2, None)


def test_a_failure_that_is_heard_when_the_guest_runs_after_all_takes_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[tuple[str, str, int, Report, str]] = []
    with a_house(tmp_path) as house:
        report = house.dispatcher.report

        def slow(host: str, instance_id: str, attempt: int, told: Report, call: str = "") -> bool:
            if isinstance(told, Failed):
                late.append((host, instance_id, attempt, told, call))
                raise BusUnavailable("nobody answers")
            return report(host, instance_id, attempt, told, call)

        monkeypatch.setattr(house.dispatcher, "report", slow)
        monkeypatch.setattr("injector.compute.manager._PATIENCE", lambda tell, *words: tell(*words))
        house.driver.step = Step.DISK
        house.ring()
        assert len(late) == 1
        house.driver.step, house.driver.away = None, False
        house.ring()
        running = house.record
        assert running.state is State.ACTIVE
        assert not report(*late[0])
        assert house.record == running
