"""Life after boot, over every driver: paused, suspended, made again; what happens by itself; two who share one host."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from injector.errors import HostError, HypervisorRefused
from injector.inject.configdrive.reading import read_iso9660
from injector.model.host import InjectionPolicy
from injector.model.instance import Instance, State, Step
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from injector.virt.driver import Order
from tests import builders as a
from tests.contract.test_driver import KINDS, SYSTEM
from tests.hypervisors import Stage, listeners

COUNT = b"#!/bin/sh\n(i=0; while :; do echo count $i.; i=$((i + 1)); usleep 100000; done) &\n"
POWER_OFF = b"#!/bin/sh\npoweroff -f\n"

MakeStage = Callable[[str], Stage]


def _kinds(*kinds: str) -> list[Any]:
    return [kind if kind != SYSTEM else pytest.param(kind, marks=pytest.mark.system) for kind in kinds]


def _making(kind: str, directory: Path, stages: ExitStack) -> MakeStage:
    def make(name: str) -> Stage:
        home = directory / name
        home.mkdir()
        stage = stages.enter_context(KINDS[kind](home, InjectionPolicy()))
        stages.callback(_clear, stage)
        return stage

    return make


def _clear(stage: Stage) -> None:
    for instance_id in stage.driver.local():
        stage.driver.destroy(instance_id)
    assert stage.leftovers == frozenset()


@pytest.fixture(params=_kinds(*KINDS))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stages:
        yield _making(request.param, tmp_path, stages)("only")


@pytest.fixture(params=_kinds("libvirt-test", SYSTEM))
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stage, Stage]]:
    """Two installations on one hypervisor."""
    with ExitStack() as stages:
        make = _making(request.param, tmp_path, stages)
        yield make("one"), make("other")


def counting(stage: Stage) -> Instance:
    """A guest that has booted, and counts for as long as it lives where there is one that can."""
    instance = stage.instance(items=(a.an_item(ItemKind.USER_DATA, "user_data"),))
    launched = stage.launch(instance, a.a_payload(user_data=Secret(COUNT)))
    if stage.guest_speaks:
        stage.last_word(launched)
    if counts(stage):
        wait_until(lambda: len(counted(stage, launched)) > 1)
    return launched


def counts(stage: Stage) -> bool:
    return stage.driver.facts().hypervisor == "QEMU"


def counted(stage: Stage, instance: Instance) -> list[int]:
    return [int(number) for number in re.findall(rb"count (\d+)\.", stage.driver.console(instance.id, 1_000_000))]


def boots(stage: Stage, instance: Instance) -> int:
    return stage.driver.console(instance.id, 1_000_000).count(b'injector-guest: {"status": "done"}')


def wait_until(happened: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def goes_on(stage: Stage, instance: Instance) -> bool:
    """Whether the guest counts on without a gap, as one that was never switched off; true where none can count."""
    if not counts(stage):
        return True
    before = len(counted(stage, instance))
    wait_until(lambda: len(counted(stage, instance)) > before + 1)
    numbers = counted(stage, instance)
    return numbers == list(range(len(numbers))) and boots(stage, instance) == 1


def stands_still(stage: Stage, instance: Instance) -> bool:
    time.sleep(0.3)  # what it had said before is on its way to the log
    before = stage.driver.console(instance.id, 1_000_000)
    time.sleep(0.5)
    return stage.driver.console(instance.id, 1_000_000) == before


def open_doors(stage: Stage) -> set[str]:
    return {"127.0.0.1"} if stage.opens_forwards else set()


# paused


def test_a_paused_guest_stands_still_and_goes_on_where_it_was(stage: Stage) -> None:
    instance = counting(stage)
    port = instance.forwards[0].host_port
    stage.driver.pause(instance)
    stage.driver.pause(instance)
    assert stage.driver.state(instance.id) is State.PAUSED
    assert stands_still(stage, instance)
    assert bool(stage.driver.console(instance.id, 1000)) is stage.guest_speaks
    assert listeners(port) == open_doors(stage)
    stage.driver.mend_forwards(instance)
    assert listeners(port) == open_doors(stage)
    stage.driver.unpause(instance)
    stage.driver.unpause(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert goes_on(stage, instance)


def test_a_paused_guest_says_nothing_and_is_not_waited_for(stage: Stage) -> None:
    """Its witness is what it had said before."""
    instance = stage.launch(stage.instance())
    said = stage.last_word(instance) if stage.guest_speaks else None
    stage.driver.pause(instance)
    verdict = stage.driver.witness(instance)
    assert (verdict and verdict.state) == (said and said.state)
    assert stage.driver.witnessed(instance) == ()


def test_a_guest_paused_in_its_boot_is_still_found_by_its_receipt(stage: Stage) -> None:
    instance = stage.instance()
    spawned = stage.spawn(instance)
    stage.hand(instance.id, State.PAUSED)
    assert stage.driver.recall(instance) == spawned
    stage.hand(instance.id, State.SUSPENDED)
    assert stage.driver.recall(instance) is None


def test_a_paused_guest_that_is_to_stop_is_not_asked(stage: Stage) -> None:
    """It would not hear it: this would never end."""
    object.__setattr__(stage.settings.libvirt, "shutdown_timeout", 3600.0)
    instance = stage.launch(stage.instance())
    stage.driver.pause(instance)
    stage.driver.stop(instance)
    assert stage.driver.state(instance.id) is State.STOPPED
    assert listeners(instance.forwards[0].host_port) == set()


# suspended


def test_a_suspended_guest_is_off_and_goes_on_where_it_was(stage: Stage) -> None:
    instance = counting(stage)
    port = instance.forwards[0].host_port
    stage.driver.suspend(instance)
    stage.driver.suspend(instance)
    assert stage.driver.state(instance.id) is State.SUSPENDED
    assert stage.driver.local() == {instance.id}
    assert listeners(port) == set()
    assert stands_still(stage, instance)
    assert bool(stage.driver.console(instance.id, 1000)) is stage.guest_speaks
    stage.driver.resume(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert listeners(port) == open_doors(stage)
    assert goes_on(stage, instance)
    stage.driver.resume(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert stage.leftovers == {instance.id}


def test_what_is_done_to_one_that_is_paused_or_suspended_by_hand(stage: Stage) -> None:
    """A stop keeps the memory of a suspended guest, and a start has it go on."""
    instance = counting(stage)
    stage.hand(instance.id, State.PAUSED)
    stage.driver.start(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    stage.hand(instance.id, State.PAUSED)
    stage.hand(instance.id, State.SUSPENDED)
    stage.driver.stop(instance)
    assert stage.driver.state(instance.id) is State.SUSPENDED
    stage.driver.start(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert listeners(instance.forwards[0].host_port) == open_doors(stage)
    assert goes_on(stage, instance)


def test_a_lost_drive_is_made_again_before_the_guest_goes_on(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    before = stage.drive(instance)
    stage.driver.suspend(instance)
    stage.file(instance).unlink()
    stage.driver.resume(instance)
    assert stage.drive(instance) == before
    assert stage.driver.state(instance.id) is State.ACTIVE


def test_a_suspended_guest_goes_on_with_the_drive_that_it_knows(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    assert first.plan is not None
    second, given = stage.refresh(replace(first, plan=replace(first.plan, medium_changes_live=False)))
    assert given.inserted == 1
    stage.driver.suspend(second)
    stage.driver.resume(second)
    assert stage.driver.state(first.id) is State.ACTIVE


def test_without_its_memory_it_cannot_go_on_and_is_stopped(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    stage.hand(instance.id, State.STOPPED)
    with pytest.raises(HypervisorRefused, match="memory is gone"):
        stage.driver.resume(instance)
    assert stage.driver.state(instance.id) is State.STOPPED


@pytest.mark.parametrize("state", [State.PAUSED, State.SUSPENDED])
def test_a_hard_reboot_forgets_what_was_in_memory(stage: Stage, state: State) -> None:
    instance = stage.launch(stage.instance())
    if stage.guest_speaks:
        stage.last_word(instance)
    stage.hand(instance.id, state)
    stage.driver.reboot(instance, hard=True)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert listeners(instance.forwards[0].host_port) == open_doors(stage)
    if stage.guest_speaks:
        stage.last_word(instance)
        assert boots(stage, instance) == 2
    assert stage.leftovers == {instance.id}


@pytest.mark.parametrize("state", [State.PAUSED, State.SUSPENDED])
def test_destroy_leaves_nothing_of_a_guest_that_stands_still(stage: Stage, state: State) -> None:
    instance = stage.launch(stage.instance())
    stage.hand(instance.id, state)
    assert stage.driver.state(instance.id) is state
    stage.driver.destroy(instance.id)
    assert stage.driver.state(instance.id) is None
    assert stage.leftovers == frozenset()
    assert listeners(instance.forwards[0].host_port) == set()


def test_what_is_off_or_not_there_neither_stands_still_nor_goes_on(stage: Stage) -> None:
    off, nowhere = stage.launch(stage.instance()), stage.instance()
    stage.hand(off.id, State.STOPPED)
    for act in (stage.driver.pause, stage.driver.unpause, stage.driver.suspend, stage.driver.resume):
        for instance, error in ((off, HypervisorRefused), (nowhere, HostError)):
            with pytest.raises(error):
                act(instance)
    assert stage.driver.state(off.id) is State.STOPPED
    assert stage.driver.state(nowhere.id) is None


# made again


def test_a_guest_made_again_has_nothing_of_the_one_before(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    second, _ = stage.refresh(replace(first, metadata={"role": "second"}))
    stage.driver.stop(replace(second, state=State.STOPPING))
    stage.file(second).unlink()
    stage.driver.start(second)
    before = stage.workspace(first)
    assert before.mended.exists()
    assert before.renewed.exists()
    again = replace(
        first,
        attempt=2,
        image=stage.instance({"hw_machine_type": "pc"}).image,
        config_drive=True,
        items=(a.an_item(ItemKind.METADATA, "metadata"), a.an_item(ItemKind.USER_DATA, "user_data")),
        asked_metadata={"role": "again"},
        generation=0,
        inserted=0,
        plan=None,
        receipt=None,
    )
    stage.driver.destroy(first.id)
    spawned = stage.spawn(again, a.a_payload(user_data=Secret(b"#!/bin/sh\necho once more\n")))
    assert spawned.generation is not None
    assert spawned.generation.number == 1
    assert ItemKind.USER_DATA in {item.kind for item in spawned.receipt.items}
    tree = read_iso9660(before.config_drive.read_bytes())
    assert json.loads(tree["openstack/latest/meta_data.json"])["meta"] == {"role": "again"}
    assert tree["openstack/latest/user_data"].endswith(b"echo once more\n")
    assert not before.mended.exists()
    assert not before.renewed.exists()
    assert [path.name for path in before.path.glob("disk.config*")] == ["disk.config"]
    assert json.loads(before.delivered.read_bytes())["attempt"] == 2
    assert stage.driver.recall(first) is None
    assert stage.driver.recall(again) == spawned
    assert stage.driver.local() == {first.id}
    assert listeners(first.forwards[0].host_port) == open_doors(stage)
    if stage.guest_speaks:
        stage.last_word(replace(again, plan=spawned.plan))
        assert boots(stage, again) == 1
    if counts(stage):
        assert b"once more" in stage.driver.console(again.id, 100_000)


# what happens by itself


class Listener:
    """Who was heard of, beside a guest that is paused and unpaused by hand: events come in order, and its own after
    all those that came before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._other = stage.launch(stage.instance(forwards=()))
        self._heard: list[str] = []
        stage.driver.listen(self._heard.append)

    def heard(self) -> list[str]:
        """Since it was last asked."""
        before = self._stage.driver.state(self._other.id)
        self._stage.hand(self._other.id, State.ACTIVE if before is State.PAUSED else State.PAUSED)
        wait_until(lambda: self._other.id in self._heard)
        heard, self._heard[:] = self._heard[:-1], []
        return heard


def test_a_guest_that_is_changed_by_hand_is_heard_of(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    listener = Listener(stage)
    for state in (State.PAUSED, State.ACTIVE, State.SUSPENDED, State.ACTIVE, State.STOPPED, State.ACTIVE, None):
        stage.hand(instance.id, state)
        assert instance.id in listener.heard()
        assert stage.driver.state(instance.id) is state
    assert instance.id in stage.driver.local()


def test_a_guest_that_powers_itself_off_is_heard_of(stage: Stage) -> None:
    listener = Listener(stage)
    instance = stage.instance(items=(a.an_item(ItemKind.USER_DATA, "user_data"),))
    stage.spawn(instance, a.a_payload(user_data=Secret(POWER_OFF)))
    if not counts(stage):
        stage.hand(instance.id, State.STOPPED)
    wait_until(lambda: instance.id in listener.heard())
    assert stage.driver.state(instance.id) is State.STOPPED


def test_what_the_driver_does_itself_is_no_news(stage: Stage) -> None:
    """Else each boot would be looked at twice more."""
    listener = Listener(stage)
    instance = stage.launch(stage.instance())
    assert listener.heard() == []
    for act in (stage.driver.pause, stage.driver.unpause, stage.driver.stop, stage.driver.start, stage.driver.resume):
        if act == stage.driver.stop and stage.guest_speaks:
            stage.last_word(instance)
        act(instance)
        assert listener.heard() == []
    stage.driver.destroy(instance.id)
    assert listener.heard() == []


def test_who_fails_to_listen_once_hears_the_next(stage: Stage) -> None:
    if stage.driver.facts().hypervisor == "fake":
        return  # there the caller's own thread is the one that calls
    instance = stage.launch(stage.instance())
    heard = threading.Semaphore(0)

    def fail(_instance_id: str) -> None:
        heard.release()
        raise RuntimeError("a bug of the listener's")

    stage.driver.listen(fail)
    for state in (State.PAUSED, State.ACTIVE):
        stage.hand(instance.id, state)
        assert heard.acquire(timeout=120)


def test_nothing_is_heard_any_more_of_a_driver_that_was_closed(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    heard: list[str] = []
    stage.driver.listen(heard.append)
    stage.driver.close()
    stage.hand(instance.id, State.PAUSED)
    time.sleep(0.3)
    assert heard == []


# two on one hypervisor


def of_the_other(two: tuple[Stage, Stage]) -> Instance:
    """An instance that the first stage runs, as the second would make it."""
    one, other = two
    instance = one.launch(one.instance())
    return replace(instance, image=other.instance().image, kernel=other.images.get("kernel"))


def unharmed(stage: Stage, instance: Instance) -> bool:
    port = instance.forwards[0].host_port
    return stage.driver.state(instance.id) is State.ACTIVE and listeners(port) == open_doors(stage)


def test_a_guest_of_another_installation_is_not_seen_or_touched(two: tuple[Stage, Stage]) -> None:
    instance = of_the_other(two)
    one, other = two
    assert other.driver.state(instance.id) is None
    assert other.driver.local() == frozenset()
    assert other.driver.recall(instance) is None
    other.driver.destroy(instance.id)
    driver = other.driver
    for act in (driver.start, driver.stop, driver.pause, driver.unpause, driver.suspend, driver.resume, driver.refresh):
        with pytest.raises(HypervisorRefused):
            act(instance)
    with pytest.raises(HypervisorRefused):
        driver.reboot(instance, hard=True)
    driver.mend_forwards(instance)
    assert unharmed(one, instance)


def test_a_build_ends_where_another_installation_has_the_guest(two: tuple[Stage, Stage]) -> None:
    """As after a move, when the host before was not undone in time. Nothing of either is lost or left."""
    instance = of_the_other(two)
    one, other = two
    with pytest.raises(HypervisorRefused, match="another installation"):
        other.spawn(instance)
    assert other.steps == []
    assert other.leftovers == frozenset()
    assert unharmed(one, instance)


def test_a_build_that_is_overtaken_by_another_installation_ends(two: tuple[Stage, Stage]) -> None:
    one, other = two
    instance = other.instance()
    theirs = replace(instance, image=one.instance().image, kernel=one.images.get("kernel"))
    theirs = replace(theirs, ramdisk=one.images.get("ramdisk"))

    def enter(step: Step) -> None:
        if step is Step.DEFINE:
            one.spawn(theirs)

    with pytest.raises(HypervisorRefused, match="another installation"):
        other.driver.spawn(Order(instance, a.a_payload()), enter)
    assert other.leftovers == frozenset()
    assert unharmed(one, theirs)


def test_the_guests_of_another_installation_are_not_heard(two: tuple[Stage, Stage]) -> None:
    instance = of_the_other(two)
    one, other = two
    listener = Listener(other)
    one.hand(instance.id, State.PAUSED)
    assert listener.heard() == []
