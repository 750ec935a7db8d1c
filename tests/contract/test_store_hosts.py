"""What a store promises of hosts: who is heard, who may take a guest, and that none is promised more than it has."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from injector.db import Store, tables
from injector.errors import Conflict, NoRoom, NotFound, StaleError
from injector.model.flavor import Flavor
from injector.model.host import HostRecord, InjectionPolicy, Room, Usage, Verdict
from injector.model.instance import Instance, State
from tests import builders
from tests.store_values import numbered, usage_by_instances

ROOM = Room(vcpus=4, ram=2048, disk=20)


def _host(store: Store, name: str, room: Room = ROOM, **changes: Any) -> None:
    store.save_host(builders.some_host_facts(name=name, **changes), room)


def _silence(store: Store, name: str, seconds: float) -> None:
    hosts = tables.hosts
    with store._engine.begin() as connection:
        connection.execute(update(hosts).where(hosts.c.name == name).values(heard=hosts.c.heard - seconds))


def _candidates(store: Store, **changes: Any) -> list[str]:
    return [host.facts.name for host in _found(store, **changes)]


def _found(store: Store, **changes: Any) -> tuple[HostRecord, ...]:
    asked: dict[str, Any] = {"zone": None, "without": (), "alive_within": 60.0, "after": None, "limit": 10}
    asked |= {"flavor": builders.a_flavor()} | changes
    return store.candidates(asked.pop("flavor").need(None), **asked)


def _advanced(state: State, seen: Instance) -> Instance:
    return seen.advance(state)


def test_hosts_are_kept_by_name(store: Store) -> None:
    facts = builders.some_host_facts()
    store.save_host(facts)
    store.save_host(replace(facts, guests=3))
    assert [host.guests for host in store.hosts()] == [3]
    (record,) = store.host_records()
    assert record.room == Room(facts.vcpus, facts.memory_mib, facts.disk_gib)
    assert (record.usage, record.enabled, record.disabled_reason) == (Usage(), True, None)
    with pytest.raises(NotFound) as caught:
        store.host_record("nobody")
    assert caught.value.field == "host"


def test_what_was_promised_and_the_operators_word_outlive_a_report(store: Store) -> None:
    _host(store, "h")
    store.add_instances((numbered(1),))
    store.enable_host("h", False, "a fan is broken")
    _host(store, "h", Room(1, 1024, 1), availability_zone="east")
    record = store.host_record("h")
    assert (record.usage, record.room) == (Usage(1, 1, 512, 3), Room(1, 1024, 1))
    assert (record.enabled, record.disabled_reason) == (False, "a fan is broken")
    assert store.zones(60) == {"east": False}
    enabled = store.enable_host("h", True, "not kept")
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)
    with pytest.raises(NotFound):
        store.enable_host("nobody", True, None)


def test_counts_are_larger_than_32_bits(store: Store) -> None:
    _host(store, "h", Room(2**40, 2**50, 2**40))
    store.add_instances((numbered(1, flavor=builders.a_flavor(ram=2**45, vcpus=2**33, disk=2**34)),))
    assert store.host_record("h").usage == Usage(1, 2**33, 2**45, 2**34)
    assert store.host_record("h").room == Room(2**40, 2**50, 2**40)


def test_who_is_silent_by_the_databases_clock(store: Store) -> None:
    for name in ("a", "b"):
        _host(store, name)
    _silence(store, "b", 100)
    assert store.silent_hosts(60) == {"b"}
    assert store.host_record("b").silent >= 100 > 60 > store.host_record("a").silent >= 0
    assert _candidates(store) == ["a"]
    assert store.host_alive("b")
    assert store.silent_hosts(60) == frozenset()
    assert not store.host_alive("nobody")
    assert len(store.hosts()) == 2


def test_candidates_are_the_least_loaded_first_and_then_by_name(store: Store) -> None:
    for name in ("d", "b", "C", "a"):
        _host(store, name)
    _host(store, "large", Room(4, 8192, 20))
    store.add_instances(
        (numbered(1, host="a"), numbered(2, host="a"), numbered(3, host="b"), numbered(4, host="large"))
    )
    everyone = ["C", "d", "large", "b", "a"]
    assert _candidates(store) == everyone
    assert [host.load for host in _found(store)] == [0, 0, 512 / 8192, 0.25, 0.5]
    paged: list[HostRecord] = []
    while page := _found(store, limit=2, after=paged[-1] if paged else None):
        paged += page
    assert [host.facts.name for host in paged] == everyone
    assert _candidates(store, without={"C", "b"}) == ["d", "large", "a"]


def test_candidates_are_enabled_in_the_zone_and_alive(store: Store) -> None:
    _host(store, "east", availability_zone="east")
    for name in ("silent", "disabled", "there"):
        _host(store, name)
    _silence(store, "silent", 100)
    store.enable_host("disabled", False, None)
    assert _candidates(store) == ["east", "there"]
    assert _candidates(store, zone="nova") == ["there"]
    assert _candidates(store, alive_within=1000.0) == ["east", "silent", "there"]


def test_candidates_of_some_kinds_and_those_whose_kind_is_not_known(store: Store) -> None:
    _host(store, "arm", arch="aarch64")
    for name in ("a", "b", "old", "z"):
        _host(store, name)
    _host(store, "kvm", virt=Verdict("kvm", "host-passthrough", "proven", True))
    store.enable_host("b", False, None)
    with store._engine.begin() as connection:
        # As a dispatcher of the release before has written it.
        connection.execute(update(tables.hosts).where(tables.hosts.c.name == "old").values(kind=""))
    kinds = {(facts.arch, facts.virt.virt_type): kind for kind, facts in store.kinds().items()}
    assert kinds.keys() == {("aarch64", "qemu"), ("x86_64", "qemu"), ("x86_64", "kvm")}
    arm = kinds["aarch64", "qemu"]
    assert _candidates(store, kinds=[arm]) == ["arm", "old"]
    assert _candidates(store, kinds=[arm], limit=1) == ["arm"]
    assert _candidates(store, kinds=[]) == ["old"]
    assert _candidates(store, kinds=kinds.values()) == ["a", "arm", "kvm", "old", "z"]
    store.enable_host("arm", False, None)
    assert arm not in store.kinds()


def test_a_host_that_reports_itself_otherwise_is_of_another_kind(store: Store) -> None:
    _host(store, "h")
    (before,) = store.kinds()
    _host(store, "h", memory_mib=1, guests=7, availability_zone="east", reported_at=builders.NOON + timedelta(1))
    assert set(store.kinds()) == {before}
    _host(store, "h", policy=InjectionPolicy(inject_key=True))
    assert set(store.kinds()) != {before}


def test_hosts_are_read_in_pages(store: Store) -> None:
    assert not store.has_hosts()
    for name in ("c", "a", "b"):
        _host(store, name, availability_zone=f"zone-{name}")
    assert [host.facts.name for host in store.host_records(limit=2)] == ["a", "b"]
    assert [host.facts.name for host in store.host_records(limit=2, marker="b")] == ["c"]
    with pytest.raises(NotFound) as caught:
        store.host_records(marker="nobody")
    assert caught.value.field == "marker"
    assert (store.has_hosts(), store.has_hosts("zone-a"), store.has_hosts("zone-z")) == (True, True, False)


def test_who_is_silent_may_be_asked_of_some_only(store: Store) -> None:
    for name in ("a", "b", "c"):
        _host(store, name)
    for name in ("a", "b"):
        _silence(store, name, 100)
    assert store.silent_hosts(60) == {"a", "b"}
    assert store.silent_hosts(60, {"b", "c", "nobody"}) == {"b"}
    assert store.silent_hosts(60, ()) == frozenset()


def test_a_zone_takes_guests_when_one_of_its_hosts_does(store: Store) -> None:
    for name, zone in (("a", "both"), ("b", "both"), ("c", "silent"), ("d", "disabled")):
        _host(store, name, availability_zone=zone)
    _silence(store, "a", 100)
    _silence(store, "c", 100)
    store.enable_host("d", False, None)
    assert store.zones(60) == {"both": True, "silent": False, "disabled": False}


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"vcpus": 3, "ram": 1536, "disk": 17}, True),
        ({"vcpus": 4}, False),
        ({"ram": 1537}, False),
        ({"disk": 18}, False),
        ({"vcpus": 0, "ram": 0, "disk": 0}, True),
    ],
)
def test_room_is_the_same_to_a_candidate_and_to_a_booking(store: Store, changes: dict[str, int], fits: bool) -> None:
    flavor = builders.a_flavor(**changes)
    _host(store, "h")
    store.add_instances((numbered(1),))
    assert _candidates(store, flavor=flavor) == (["h"] if fits else [])
    if fits:
        store.add_instances((numbered(2, flavor=flavor),))
    else:
        with pytest.raises(NoRoom):
            store.add_instances((numbered(2, flavor=flavor),))
    assert store.host_record("h").usage == usage_by_instances(store, "h")


def test_a_batch_is_booked_whole_or_not_at_all(store: Store) -> None:
    _host(store, "h")
    _host(store, "other")
    flavor = builders.a_flavor(ram=1024)
    batch = [numbered(number, flavor=flavor, host="other" if number == 9 else "h") for number in (9, 1, 2, 3)]
    with pytest.raises(NoRoom):
        store.add_instances(tuple(batch))
    assert (store.host_record("other").usage, store.instances()) == (Usage(), ())
    store.add_instances(tuple(batch[:3]))
    assert store.host_record("h").usage == Usage(2, 2, 2048, 6)


def test_a_host_without_a_row_promises_nothing_until_it_reports(store: Store) -> None:
    store.add_instances((numbered(1), numbered(2)))
    _host(store, "h", Room(1, 600, 10))
    assert store.host_record("h").usage == Usage(2, 2, 1024, 6)
    assert store.host_record("h").load == 1024 / 600
    with pytest.raises(NoRoom):
        store.add_instances((numbered(3),))


def test_a_guest_that_moves_takes_its_room_along(store: Store) -> None:
    _host(store, "h")
    _host(store, "next")
    _host(store, "full", Room(0, 0, 0))
    (instance,) = store.add_instances((numbered(1),))
    with pytest.raises(NoRoom):
        store.change(instance.id, lambda seen: replace(seen, host="full"))
    assert store.instance(instance.id).host == "h"
    assert store.host_record("h").usage == Usage(1, 1, 512, 3)
    store.change(instance.id, lambda seen: replace(seen, host="next"))
    assert store.host_record("h").usage == Usage()
    assert store.host_record("next").usage == Usage(1, 1, 512, 3)
    store.change(instance.id, lambda seen: replace(seen, host=None, forwards=()))
    assert store.host_record("next").usage == Usage()


def test_growing_needs_room_and_shrinking_never_fails(store: Store) -> None:
    _host(store, "h")
    (instance,) = store.add_instances((numbered(1),))
    with pytest.raises(NoRoom):
        store.change(instance.id, lambda seen: replace(seen, flavor=builders.a_flavor(vcpus=5)))
    store.change(instance.id, lambda seen: replace(seen, flavor=builders.a_flavor(vcpus=4, ram=2048)))
    # The operator's ratios have shrunk below what was promised.
    _host(store, "h", Room(1, 100, 1))
    store.change(instance.id, lambda seen: replace(seen, hostname="x"))
    store.change(instance.id, lambda seen: replace(seen, flavor=builders.a_flavor(vcpus=3, ram=2048)))
    assert store.host_record("h").usage == Usage(1, 3, 2048, 3)
    store.change(instance.id, partial(_advanced, State.DELETING))
    store.change(instance.id, partial(_advanced, State.DELETED))
    assert store.host_record("h").usage == Usage()


def test_room_is_let_go_and_taken_again_with_the_claims(store: Store) -> None:
    _host(store, "h", Room(1, 512, 3))
    (instance,) = store.add_instances((numbered(1),))
    store.change(instance.id, partial(_advanced, State.ERROR))
    assert store.host_record("h").usage == Usage()
    store.add_instances((numbered(2),))

    def launched(seen: Instance) -> Instance:
        return seen.advance(State.ACTIVE, launched_at=builders.NOON)

    with pytest.raises(NoRoom):
        store.change(instance.id, launched)
    assert store.instance(instance.id).state is State.ERROR
    store.change(numbered(2).id, partial(_advanced, State.ERROR))
    store.change(instance.id, launched)
    assert store.host_record("h").usage == Usage(1, 1, 512, 3)


def test_a_host_is_forgotten_when_no_server_names_it(store: Store) -> None:
    _host(store, "h")
    (instance,) = store.add_instances((numbered(1),))
    store.change(instance.id, partial(_advanced, State.ERROR))
    with pytest.raises(Conflict) as caught:
        store.forget_host("h")
    assert caught.value.field == "host"
    store.change(instance.id, partial(_advanced, State.DELETING))
    store.change(instance.id, partial(_advanced, State.DELETED))
    store.forget_host("h")
    assert store.hosts() == ()
    with pytest.raises(NotFound):
        store.forget_host("h")


def test_a_wrong_sum_is_put_right(store: Store) -> None:
    for name in ("a", "b"):
        _host(store, name)
    store.add_instances((numbered(1, host="a"), numbered(2, host="b")))
    with store._engine.begin() as connection:
        connection.execute(update(tables.hosts).where(tables.hosts.c.name == "b").values(used_ram=7, load=0.5))
    assert store.repair_usage() == ("b",)
    assert store.host_record("b").usage == Usage(1, 1, 512, 3)
    assert _candidates(store) == ["a", "b"]
    assert store.repair_usage() == ()


FLAVORS = tuple(
    builders.a_flavor(id=str(number), vcpus=number % 4, ram=number * 200, disk=number) for number in range(5)
)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_host_has_promised_is_what_its_instances_take(store: Store, seed: int) -> None:
    drawn = random.Random(seed)
    hosts = ["h0", "h1", "h2"]
    for name in hosts:
        _host(store, name, Room(8, 4000, 30))
    outcomes: Counter[str] = Counter()
    numbers = iter(range(1, 1000))
    for _ in range(120):
        try:
            outcomes[_something(store, drawn, [*hosts, "no row"], numbers)] += 1
        except NoRoom:
            outcomes["no room"] += 1
        for record in store.host_records():
            assert record.usage == usage_by_instances(store, record.facts.name)
            assert record.usage.vcpus <= 8
            assert record.usage.ram <= 4000
            assert record.usage.disk <= 30
    assert store.repair_usage() == ()
    assert min(outcomes[name] for name in ("added", "moved", "resized", "advanced", "no room")) > 0


def _something(store: Store, drawn: random.Random, hosts: list[str], numbers: Iterator[int]) -> str:
    there = store.instances()
    what = drawn.choice(("added", "added", "moved", "resized", "advanced"))
    flavor: Flavor = drawn.choice(FLAVORS)
    host = drawn.choice(hosts)
    if what == "added" or not there:
        batch = [numbered(next(numbers), flavor=flavor, host=drawn.choice(hosts)) for _ in range(drawn.randint(1, 3))]
        store.add_instances(tuple(batch))
        return "added"
    instance = drawn.choice(there)
    match what:
        case "moved":
            store.change(instance.id, lambda seen: replace(seen, host=host))
        case "resized":
            store.change(instance.id, lambda seen: replace(seen, flavor=flavor))
        case _:
            state = drawn.choice([State.ACTIVE, State.ERROR, State.DELETING, State.DELETED])
            # Another guest may have taken the addresses of one that had failed.
            with suppress(Conflict, StaleError):
                store.change(instance.id, partial(_advanced, state))
    return what
