"""The dispatcher over a real store: nothing is acknowledged that is not kept, nothing kept that is not rung for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from injector.db import Store, open_store
from injector.dispatcher.manager import DispatcherManager
from injector.errors import (
    BusUnavailable,
    Conflict,
    GuestUnreadable,
    NoHost,
    NotFound,
    StaleError,
    Undeliverable,
)
from injector.model.boot import BootRequest, NicOrder
from injector.model.facts import Agent
from injector.model.host import HostRecord, InjectionPolicy, Room
from injector.model.instance import Fault, State, Step
from injector.model.payload import ItemKind
from injector.model.plan import Carriage, ChannelKind
from injector.model.report import Entering, Failed, Launched, Settled
from injector.settings import DispatcherSettings
from tests import builders
from tests.ages import let_time_pass

CONTEXT = builders.a_context()
NETWORK = builders.a_network(forwards=(22,))
FAULT = Fault(503, "full", builders.NOON)


class Bell:
    """Remembers who was rung; a broken one answers as a bus that is down."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []
        self.broken = False

    def __call__(self, host: str, instance_id: str) -> None:
        if self.broken:
            raise BusUnavailable("the bus is down")
        self.rung.append((host, instance_id))


@pytest.fixture
def store(fresh_database: str) -> Iterator[Store]:
    opened = open_store(fresh_database, migrate=False)
    opened.add_network(NETWORK)
    for name in ("a", "b"):
        opened.save_host(builders.some_host_facts(name=name))
    yield opened
    opened.close()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def dispatcher(store: Store, bell: Bell) -> DispatcherManager:
    return DispatcherManager(store, bell, DispatcherSettings())


def _request(number: int = 1, **changes: object) -> BootRequest:
    values = {"instance_id": f"00000000-0000-4000-8000-{number:012d}", "nics": (NicOrder(NETWORK),)}
    return builders.a_boot_request(**(values | changes))


def test_a_request_becomes_a_record_with_claims_and_a_ring(
    dispatcher: DispatcherManager, store: Store, bell: Bell
) -> None:
    (instance,) = dispatcher.build(CONTEXT, (_request(),), 1)
    assert store.instance(instance.id) == instance
    assigned = dispatcher.assignment("a", instance.id)
    assert assigned == replace(instance, payload=builders.a_sealed())
    assert bell.rung == [("a", instance.id)]
    assert instance.nics[0].addresses[0].ip == "10.0.2.15"
    assert store.claims().forwards == {"a": frozenset({instance.forwards[0].host_port})}
    assert instance.step is Step.SCHEDULE


def test_a_bus_that_is_down_loses_nothing(dispatcher: DispatcherManager, store: Store, bell: Bell) -> None:
    bell.broken = True
    (instance,) = dispatcher.build(CONTEXT, (_request(),), 1)
    bell.broken = False
    dispatcher.patrol.ring_silent()
    assert bell.rung == []
    let_time_pass(store)
    store.host_alive("a")
    dispatcher.patrol.ring_silent()
    assert bell.rung == [("a", instance.id)]


def test_a_batch_is_spread_and_gets_different_claims(dispatcher: DispatcherManager) -> None:
    instances = dispatcher.build(CONTEXT, tuple(_request(number) for number in range(1, 5)), 4)
    assert sorted(instance.host or "" for instance in instances) == ["a", "a", "b", "b"]
    assert len({instance.nics[0].addresses[0].ip for instance in instances}) == 4


def test_less_than_the_minimum_keeps_nothing(dispatcher: DispatcherManager, store: Store, bell: Bell) -> None:
    big = builders.a_flavor(ram=6000)
    requests = tuple(_request(number, flavor=big) for number in range(1, 5))
    with pytest.raises(NoHost):
        dispatcher.build(CONTEXT, requests, 3)
    assert (store.instances(), bell.rung, store.claims().addresses) == ((), [], {})
    assert len(dispatcher.build(CONTEXT, requests, 2)) == 2


def test_what_no_host_can_carry_is_refused_at_once(dispatcher: DispatcherManager, store: Store) -> None:
    for name in ("a", "b"):
        store.save_host(builders.some_host_facts(name=name, policy=InjectionPolicy(force_config_drive=False)))
    item = builders.an_item(ItemKind.USER_DATA, "user_data")
    with pytest.raises(Undeliverable, match="user-data"):
        dispatcher.build(CONTEXT, (_request(items=(item,)),), 1)
    assert store.instances() == ()


def test_a_drive_for_an_image_that_was_found_to_have_no_agent_is_refused_at_once(
    dispatcher: DispatcherManager, store: Store
) -> None:
    image = builders.an_image(sha256="a" * 64)
    request = _request(image=image, items=(builders.an_item(),))
    assert dispatcher.place(CONTEXT, request).host == "a"  # nobody knows yet
    dispatcher.image_report("a" * 64, builders.some_image_facts(agent=Agent.NO))
    with pytest.raises(Undeliverable, match=r"file '/etc/motd' cannot be delivered: the image has no agent"):
        dispatcher.build(CONTEXT, (request,), 1)
    with pytest.raises(Undeliverable, match="no agent"):
        dispatcher.place(CONTEXT, request)
    assert store.instances() == ()
    believed = replace(image, properties={"injector_agent": "yes"})
    assert len(dispatcher.build(CONTEXT, (replace(request, image=believed),), 1)) == 1


def test_a_host_whose_operator_names_a_partition_that_is_not_there_is_passed_over(
    dispatcher: DispatcherManager, store: Store
) -> None:
    carriage = Carriage(ChannelKind.PARTITION, frozenset(ItemKind), any_mode=True, back_ends=("ext",))
    for name, number in (("a", 7), ("b", 1)):
        policy = InjectionPolicy(force_config_drive=False, inject_partition=number)
        store.save_host(builders.some_host_facts(name=name, policy=policy, carriages=(carriage,)))
    request = _request(image=builders.an_image(sha256="a" * 64), items=(builders.an_item(),))
    dispatcher.image_report("a" * 64, builders.some_image_facts())
    assert dispatcher.place(CONTEXT, request).host == "b"
    store.save_host(replace(store.hosts()[0], name="b"))
    with pytest.raises(GuestUnreadable, match="has no partition 7"):
        dispatcher.place(CONTEXT, request)


def test_a_host_of_a_rare_kind_is_found_without_a_look_at_all_others(
    dispatcher: DispatcherManager, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        store.save_host(builders.some_host_facts(name=f"common-{number}"))
    store.save_host(builders.some_host_facts(name="rare", arch="aarch64"))
    looked_at: list[str] = []
    candidates = store.candidates

    def spied(*arguments: Any, **named: Any) -> tuple[HostRecord, ...]:
        found = candidates(*arguments, **named)
        looked_at.extend(host.facts.name for host in found)
        return found

    monkeypatch.setattr(store, "candidates", spied)
    image = builders.an_image(properties={"hw_architecture": "aarch64"})
    (instance,) = dispatcher.build(CONTEXT, (_request(image=image),), 1)
    assert instance.host == "rare"
    with pytest.raises(NoHost, match="riscv64"):
        dispatcher.build(CONTEXT, (_request(2, image=replace(image, properties={"hw_architecture": "riscv64"})),), 1)
    assert len(looked_at) < 20


def test_a_batch_is_given_as_many_hosts_as_it_needs(dispatcher: DispatcherManager, store: Store) -> None:
    for number in range(100):
        store.save_host(builders.some_host_facts(name=f"c{number:03d}"))
    made = dispatcher.build(CONTEXT, tuple(_request(number, nics=()) for number in range(1, 91)), 90)
    assert len({instance.host for instance in made}) == 90


def test_a_host_that_fails_is_followed_by_the_next_and_then_by_an_error(
    dispatcher: DispatcherManager, store: Store, bell: Bell
) -> None:
    (instance,) = dispatcher.build(CONTEXT, (_request(),), 1)
    assert dispatcher.report("a", instance.id, 1, Failed(FAULT, elsewhere=True))
    moved = store.instance(instance.id)
    assert (moved.host, moved.attempt, moved.tried, moved.state) == ("b", 2, ("a",), State.BUILDING)
    assert bell.rung[-1] == ("b", instance.id)
    assert set(store.claims().forwards) == {"b"}
    assert not dispatcher.report("a", instance.id, 1, Entering(Step.START, builders.NOON))
    assert dispatcher.assignment("a", instance.id) is None
    dispatcher.report("b", instance.id, 2, Failed(FAULT, elsewhere=True))
    failed = store.instance(instance.id)
    assert (failed.state, failed.fault, store.claims().addresses) == (State.ERROR, FAULT, {})


def test_a_delete_during_a_build_wins(dispatcher: DispatcherManager, store: Store) -> None:
    (instance,) = dispatcher.build(CONTEXT, (_request(),), 1)
    dispatcher.act(CONTEXT, instance.id, State.DELETING)
    assert not dispatcher.report("a", instance.id, 1, Entering(Step.START, builders.NOON))
    launched = Launched(builders.a_plan(), builders.a_receipt(), builders.NOON)
    assert not dispatcher.report("a", instance.id, 1, launched)
    assert dispatcher.report("a", instance.id, 1, Settled(State.DELETED, builders.NOON))
    with pytest.raises(NotFound):
        store.instance(instance.id)
    assert not dispatcher.report("a", instance.id, 1, launched)


def test_one_that_failed_is_deleted_though_others_have_its_address_and_its_room(
    dispatcher: DispatcherManager, store: Store, bell: Bell
) -> None:
    store.save_host(builders.some_host_facts(name="a"), Room(1, 512, 100))
    store.enable_host("b", False, None)
    (failed,) = dispatcher.build(CONTEXT, (_request(1),), 1)
    assert dispatcher.report("a", failed.id, 1, Failed(FAULT))
    (other,) = dispatcher.build(CONTEXT, (_request(2),), 1)
    assert other.nics[0].addresses[0].ip == failed.nics[0].addresses[0].ip
    claims, usage = store.claims(), store.host_record("a").usage
    bell.rung.clear()
    dispatcher.act(CONTEXT, failed.id, State.DELETING, "call-1")
    dispatcher.act(CONTEXT, failed.id, State.DELETING, "call-1")
    assert [one.id for one in store.instances()] == [other.id]
    assert (store.claims(), store.host_record("a").usage) == (claims, usage)
    # What may have been left of it is nobody's now, and its host is told to look.
    assert bell.rung[0] == ("a", failed.id)
    assert dispatcher.assignment("a", failed.id) is None
    assert not dispatcher.report("a", failed.id, 1, Failed(FAULT))


def test_an_action_with_no_road_is_refused(dispatcher: DispatcherManager) -> None:
    (instance,) = dispatcher.build(CONTEXT, (_request(),), 1)
    with pytest.raises(Conflict):
        dispatcher.act(CONTEXT, instance.id, State.STOPPING)
    with pytest.raises(NotFound):
        dispatcher.act(CONTEXT, "nobody", State.STOPPING)


def test_a_taken_port_is_replaced_on_the_record(dispatcher: DispatcherManager, store: Store) -> None:
    (instance,) = dispatcher.build(CONTEXT, (_request(),), 1)
    taken = instance.forwards[0]
    found = dispatcher.reforward("a", instance.id, 1, taken)
    assert found == replace(taken, host_port=found.host_port)
    assert found.host_port != taken.host_port
    assert store.instance(instance.id).forwards == (found,)
    assert store.claims().forwards == {"a": frozenset({found.host_port})}
    assert dispatcher.reforward("a", instance.id, 1, taken) == found
    with pytest.raises(StaleError):
        dispatcher.reforward("a", instance.id, 2, found)


def test_the_patrol_rings_by_itself(store: Store, bell: Bell) -> None:
    dispatcher = DispatcherManager(store, bell, DispatcherSettings(ring_interval=0.05))
    bell.broken = True
    dispatcher.build(CONTEXT, (_request(),), 1)
    bell.broken = False
    dispatcher.start()
    deadline = time.monotonic() + 5
    while not bell.rung and time.monotonic() < deadline:
        time.sleep(0.01)
    dispatcher.stop()
    assert bell.rung
