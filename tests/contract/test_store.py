"""What a store promises, over every database it runs on (PostgreSQL and MariaDB join by adding a URL)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from injector.db import GenerationChange, Store, open_store
from injector.errors import Conflict, HostError, NotFound, OverQuota, StaleError
from injector.model.facts import Agent
from injector.model.instance import Instance, State
from injector.model.network import Address, Forward
from tests import builders


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"{request.param}:///{tmp_path / 'store.db'}")
    opened.add_network(builders.a_network())
    yield opened
    opened.close()


def _instance(number: int, **changes: object) -> Instance:
    nic = builders.a_nic(
        mac=f"fa:16:3e:00:00:{number:02x}",
        addresses=(Address(builders.a_subnet(), f"10.0.2.{number}"),),
    )
    values: dict[str, object] = {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "nics": (nic,),
        "forwards": (Forward(nic.mac, 22, 20000 + number),),
        "host": "h",
    }
    return builders.an_instance(**(values | changes))


def _with_metadata(added: dict[str, str], seen: Instance) -> Instance:
    return replace(seen, metadata={**seen.metadata, **added})


def test_key_pairs(store: Store) -> None:
    key = builders.a_key()
    store.add_keypair(key, 2)
    assert store.keypair("ada", "laptop") == key
    with pytest.raises(Conflict):
        store.add_keypair(key, 2)
    store.add_keypair(builders.a_key(name="b"), 2)
    with pytest.raises(OverQuota):
        store.add_keypair(builders.a_key(name="c"), 2)
    store.add_keypair(builders.a_key(name="c", user_id="bob"), 2)
    store.delete_keypair("ada", "laptop")
    with pytest.raises(NotFound):
        store.keypair("ada", "laptop")
    with pytest.raises(NotFound):
        store.delete_keypair("ada", "laptop")
    assert [found.name for found in store.keypairs("ada")] == ["b"]


def test_flavors_and_images(store: Store) -> None:
    store.add_flavor(builders.a_flavor())
    with pytest.raises(Conflict):
        store.add_flavor(builders.a_flavor(id="2"))
    assert store.flavors() == (builders.a_flavor(),)
    image = builders.an_image(properties={"os_type": "linux"})
    store.add_image(image)
    store.save_image(replace(image, name="other"))
    assert store.image(image.id).name == "other"
    assert store.images("somebody") == ()
    store.delete_image(image.id)
    with pytest.raises(NotFound):
        store.save_image(image)


def test_a_network_in_use_stays_until_its_last_guest_is_gone(store: Store) -> None:
    instance = _instance(1)
    store.add_instances((instance,))
    with pytest.raises(Conflict):
        store.delete_network(builders.a_network().id)
    store.change(instance.id, lambda seen: seen.advance(State.DELETING))
    store.change(instance.id, lambda seen: seen.advance(State.DELETED))
    store.delete_network(builders.a_network().id)


@pytest.mark.parametrize("what", ["address", "forward", "mac"])
def test_nothing_is_claimed_twice_and_a_lost_batch_leaves_nothing(store: Store, what: str) -> None:
    first, second, third = _instance(1), _instance(2), _instance(3)
    store.add_instances((first,))
    nic = third.nics[0]
    if what == "address":
        nic = replace(nic, addresses=first.nics[0].addresses)
    if what == "mac":
        nic = replace(nic, mac=first.nics[0].mac)
    forwards = first.forwards if what == "forward" else third.forwards
    with pytest.raises(StaleError):
        store.add_instances((second, replace(third, nics=(nic,), forwards=forwards)))
    assert [found.id for found in store.instances()] == [first.id]
    store.add_instances((second,))


@pytest.mark.parametrize("end", [State.ERROR, State.DELETED])
def test_claims_are_let_go_with_the_record(store: Store, end: State) -> None:
    instance = _instance(1)
    store.add_instances((instance,))
    assert store.claims().forwards == {"h": frozenset({20001})}
    assert store.claims().addresses == {instance.nics[0].network.id: frozenset({"10.0.2.1"})}
    if end is State.DELETED:
        store.change(instance.id, lambda seen: seen.advance(State.DELETING))
    store.change(instance.id, lambda seen: seen.advance(end))
    assert (store.claims().forwards, store.claims().addresses) == ({}, {})


def test_claims_follow_forwards_and_hosts(store: Store) -> None:
    instance = _instance(1)
    store.add_instances((instance,))
    moved = (replace(instance.forwards[0], host_port=20777),)
    store.change(instance.id, lambda seen: replace(seen, forwards=moved, host="other"))
    assert store.claims().forwards == {"other": frozenset({20777})}


def test_every_change_is_counted_and_no_change_is_none(store: Store) -> None:
    instance = _instance(1)
    store.add_instances((instance,))
    assert store.change(instance.id, lambda seen: seen).revision == 0
    assert store.change(instance.id, lambda seen: replace(seen, hostname="x")).revision == 1
    assert store.instance(instance.id).hostname == "x"


def test_a_refused_change_changes_nothing(store: Store) -> None:
    store.add_instances((_instance(1),))

    def refuse(_: Instance) -> Instance:
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.change(_instance(1).id, refuse)
    assert store.instance(_instance(1).id).revision == 0


def test_changes_at_once_all_count(store: Store) -> None:
    store.add_instances((_instance(1),))

    def add(number: int) -> None:
        for step in range(10):
            added = {f"{number}-{step}": "x"}
            store.change(_instance(1).id, partial(_with_metadata, added))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.instance(_instance(1).id).metadata) == 60


def test_lists_are_newest_first_and_paged(store: Store) -> None:
    store.add_instances(tuple(_instance(number) for number in (1, 2, 3)))
    assert [found.id[-1] for found in store.instances()] == ["3", "2", "1"]
    first = store.instances(limit=2)
    assert [found.id[-1] for found in store.instances(limit=2, marker=first[-1].id)] == ["1"]
    assert store.instances("other") == ()
    assert store.instances(states=frozenset({State.ACTIVE})) == ()
    with pytest.raises(NotFound):
        store.instances(marker="nobody")


def test_a_deleted_instance_is_gone_but_kept(store: Store) -> None:
    store.add_instances((_instance(1),))
    store.change(_instance(1).id, lambda seen: seen.advance(State.DELETING))
    store.change(_instance(1).id, lambda seen: seen.advance(State.DELETED))
    with pytest.raises(NotFound):
        store.instance(_instance(1).id)
    assert store.instances() == ()
    assert len(store.instances(deleted=True)) == 1


def test_a_payload_is_kept_apart_and_goes_with_its_instance(store: Store) -> None:
    store.add_instances((_instance(1),))
    assert store.instance(_instance(1).id).payload is None
    store.change(_instance(1).id, lambda seen: seen.advance(State.ERROR))
    assert store.payload(_instance(1).id) == builders.a_sealed()
    store.change(_instance(1).id, lambda seen: seen.advance(State.DELETING))
    store.change(_instance(1).id, lambda seen: seen.advance(State.DELETED))
    with pytest.raises(NotFound):
        store.payload(_instance(1).id)


def test_usage_is_summed_by_host(store: Store) -> None:
    store.add_instances((_instance(1), _instance(2), _instance(3, host="other")))
    assert (store.usage()["h"].guests, store.usage()["h"].ram, store.usage()["other"].vcpus) == (2, 1024, 1)


def test_hosts_are_kept_by_name(store: Store) -> None:
    facts = builders.some_host_facts()
    store.save_host(facts)
    store.save_host(replace(facts, guests=3))
    assert [host.guests for host in store.hosts()] == [3]


def test_facts_of_images_by_digest_and_what_is_known_stays_known(store: Store) -> None:
    found = builders.some_image_facts()
    less = replace(found, root=None, agent=Agent.UNKNOWN, doubt="needs guestfs")
    assert store.image_facts("a" * 64) is None
    for facts, kept in [(less, less), (found, found), (less, found), (replace(found, os="alpine"), None)]:
        store.save_image_facts("a" * 64, facts)
        assert store.image_facts("a" * 64) == (kept or facts)
    assert store.image_facts("b" * 64) is None
    assert store.facts_by_digest(["b" * 64, "a" * 64]) == {"a" * 64: store.image_facts("a" * 64)}
    assert store.facts_by_digest([]) == {}


def test_an_unreachable_database_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        open_store(f"sqlite:///{tmp_path}/missing/store.db")


def test_migrations_make_the_tables_of_the_code(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from injector.db.tables import metadata

    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_generations_are_kept_with_the_change_that_made_them_and_go_with_the_instance(store: Store) -> None:
    store.add_instances((_instance(1),))
    instance_id = _instance(1).id
    first, second = builders.a_generation(), builders.a_generation(number=2)
    for generation in (second, first, first):
        store.change(instance_id, partial(_with_metadata, {"at": str(generation.number)}), GenerationChange(generation))
    assert store.generations(instance_id) == (first, second)
    for state in (State.DELETING, State.DELETED):
        store.change(instance_id, partial(replace, state=state))
    assert store.generations(instance_id) == ()


def test_a_change_that_is_refused_keeps_no_generation(store: Store) -> None:
    def refuse(_: Instance) -> Instance:
        raise Conflict("no")

    store.add_instances((_instance(1),))
    with pytest.raises(Conflict):
        store.change(_instance(1).id, refuse, GenerationChange(builders.a_generation()))
    assert store.generations(_instance(1).id) == ()
