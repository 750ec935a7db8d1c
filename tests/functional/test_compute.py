"""A compute over a real dispatcher: what it tells of a build whose hypervisor goes away under it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from injector.compute.journal import Journal
from injector.compute.manager import ComputeManager, Host
from injector.db import open_store
from injector.dispatcher.manager import DispatcherManager
from injector.errors import Conflict, HypervisorDown
from injector.model.boot import Rebuild
from injector.model.host import InjectionPolicy
from injector.model.image import DiskFormat, Image
from injector.model.instance import Instance, State, Step
from injector.settings import DispatcherSettings
from injector.system.vault import Vault
from injector.virt.driver import Enter, Order, Spawned
from injector.virt.fake import FakeDriver
from tests import builders
from tests.hypervisors import Stage, in_memory

CONTEXT = builders.a_context()
PAYLOAD = builders.a_vault().seal(builders.INSTANCE_ID, builders.a_payload())


class Fickle(FakeDriver):
    """Goes away when a build comes to ``step``; at RUNNING, once the guest has been started. ``away`` may be ended."""

    step: Step | None = None
    away = False

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


@dataclass
class House:
    """One instance, its compute, and another host that could make it too."""

    compute: ComputeManager
    dispatcher: DispatcherManager
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
        dispatcher = DispatcherManager(store, lambda _host, _instance: None, DispatcherSettings())
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
