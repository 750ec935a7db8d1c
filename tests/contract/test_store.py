"""What a store promises of what it keeps, over every database that it runs on."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Column, update

from injector.db import Claims, GenerationChange, Store, tables
from injector.db.failures import LostRace
from injector.dispatcher import record
from injector.errors import Conflict, HostError, NotFound, OverQuota, StaleError
from injector.model.boot import ClientToken
from injector.model.facts import Agent
from injector.model.host import Room
from injector.model.instance import Instance, State
from injector.model.secret import Sealed
from tests import builders
from tests.store_values import numbered, usage_by_instances, with_metadata


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
    instance = numbered(1)
    store.add_instances((instance,))
    with pytest.raises(Conflict):
        store.delete_network(builders.a_network().id)
    store.change(instance.id, lambda seen: seen.advance(State.DELETING))
    store.change(instance.id, lambda seen: seen.advance(State.DELETED))
    store.delete_network(builders.a_network().id)


@pytest.mark.parametrize("what", ["address", "forward", "mac"])
def test_nothing_is_claimed_twice_and_a_lost_batch_leaves_nothing(store: Store, what: str) -> None:
    first, second, third = numbered(1), numbered(2), numbered(3)
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
    instance = numbered(1)
    store.add_instances((instance,))
    assert store.claims().forwards == {"h": frozenset({20001})}
    assert store.claims().addresses == {instance.nics[0].network.id: frozenset({"10.0.0.2"})}
    if end is State.DELETED:
        store.change(instance.id, lambda seen: seen.advance(State.DELETING))
    store.change(instance.id, lambda seen: seen.advance(end))
    assert (store.claims().forwards, store.claims().addresses) == ({}, {})


def test_one_that_failed_takes_nothing_back_to_be_deleted(store: Store) -> None:
    store.save_host(builders.some_host_facts(name="h"), Room(1, 512, 3))
    failed, other = numbered(1), replace(numbered(2), nics=numbered(1).nics, forwards=numbered(1).forwards)
    store.add_instances((failed,))
    store.change(failed.id, lambda seen: seen.advance(State.ERROR))
    store.add_instances((other,))
    taken = store.claims()
    store.change(failed.id, lambda seen: record.begun(seen, State.DELETING, builders.NOON))
    assert [one.id for one in store.instances()] == [other.id]
    assert (store.claims(), store.host_record("h").usage) == (taken, usage_by_instances(store, "h"))


def test_claims_follow_forwards_and_hosts(store: Store) -> None:
    instance = numbered(1)
    store.add_instances((instance,))
    moved = (replace(instance.forwards[0], host_port=20777),)
    store.change(instance.id, lambda seen: replace(seen, forwards=moved, host="other"))
    assert store.claims().forwards == {"other": frozenset({20777})}


def test_to_lose_every_race_is_the_databases_fault_and_nothing_about_the_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compute that is told of a stale record destroys its guest."""
    monkeypatch.setattr("injector.db.transactions._ATTEMPTS", 3)
    tries: list[Instance] = []

    def lose(seen: Instance) -> Instance:
        tries.append(seen)
        raise LostRace("a table is locked")

    store.add_instances((numbered(1, state=State.ACTIVE),))
    store.change(numbered(1).id, lambda seen: replace(seen, hostname="x"))
    with pytest.raises(HostError, match="at once"):
        store.change(numbered(1).id, lose)
    assert len(tries) == 3
    monkeypatch.setattr("injector.db.transactions._SECONDS", 0.0)
    with pytest.raises(HostError, match="at once"):
        store.change(numbered(1).id, lose)
    assert len(tries) == 4
    monkeypatch.setattr("injector.db.instances._SAVE_ATTEMPTS", 0)
    with pytest.raises(HostError, match="faster"):
        store.change(numbered(1).id, lambda seen: replace(seen, hostname="y"))


def test_every_change_is_counted_and_no_change_is_none(store: Store) -> None:
    instance = numbered(1)
    store.add_instances((instance,))
    assert store.change(instance.id, lambda seen: seen).revision == 0
    assert store.change(instance.id, lambda seen: replace(seen, hostname="x")).revision == 1
    assert store.instance(instance.id).hostname == "x"


def test_a_refused_change_changes_nothing(store: Store) -> None:
    store.add_instances((numbered(1),))

    def refuse(_: Instance) -> Instance:
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.change(numbered(1).id, refuse)
    assert store.instance(numbered(1).id).revision == 0


def test_changes_at_once_all_count(store: Store) -> None:
    store.add_instances((numbered(1),))

    def add(number: int) -> None:
        for step in range(10):
            added = {f"{number}-{step}": "x"}
            store.change(numbered(1).id, partial(with_metadata, added))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.instance(numbered(1).id).metadata) == 60


def test_lists_are_newest_first_and_paged(store: Store) -> None:
    store.add_instances(tuple(numbered(number) for number in (1, 2, 3)))
    assert [found.id[-1] for found in store.instances()] == ["3", "2", "1"]
    first = store.instances(limit=2)
    assert [found.id[-1] for found in store.instances(limit=2, marker=first[-1].id)] == ["1"]
    assert store.instances("other") == ()
    assert store.instances(states=frozenset({State.ACTIVE})) == ()
    with pytest.raises(NotFound):
        store.instances(marker="nobody")


def test_a_deleted_instance_is_gone_but_kept(store: Store) -> None:
    store.add_instances((numbered(1),))
    store.change(numbered(1).id, lambda seen: seen.advance(State.DELETING))
    store.change(numbered(1).id, lambda seen: seen.advance(State.DELETED))
    with pytest.raises(NotFound):
        store.instance(numbered(1).id)
    assert store.instances() == ()
    assert len(store.instances(deleted=True)) == 1


def test_a_payload_is_kept_apart_and_goes_with_its_instance(store: Store) -> None:
    store.add_instances((numbered(1),))
    assert store.instance(numbered(1).id).payload is None
    store.change(numbered(1).id, lambda seen: seen.advance(State.ERROR))
    assert store.payload(numbered(1).id) == builders.a_sealed()
    store.change(numbered(1).id, lambda seen: seen.advance(State.DELETING))
    store.change(numbered(1).id, lambda seen: seen.advance(State.DELETED))
    with pytest.raises(NotFound):
        store.payload(numbered(1).id)


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


def test_generations_are_kept_with_the_change_that_made_them_and_go_with_the_instance(store: Store) -> None:
    store.add_instances((numbered(1),))
    instance_id = numbered(1).id
    first, second = builders.a_generation(), builders.a_generation(number=2)
    for generation in (second, first, first):
        store.change(instance_id, partial(with_metadata, {"at": str(generation.number)}), GenerationChange(generation))
    assert store.generations(instance_id) == (first, second)
    for state in (State.DELETING, State.DELETED):
        store.change(instance_id, partial(replace, state=state))
    assert store.generations(instance_id) == ()


def test_a_change_that_is_refused_keeps_no_generation(store: Store) -> None:
    def refuse(_: Instance) -> Instance:
        raise Conflict("no")

    store.add_instances((numbered(1),))
    with pytest.raises(Conflict):
        store.change(numbered(1).id, refuse, GenerationChange(builders.a_generation()))
    assert store.generations(numbered(1).id) == ()


def test_a_payload_is_replaced_and_all_generations_dropped_with_the_change_that_asks_for_it(store: Store) -> None:
    (instance,) = store.add_instances((numbered(1),))
    for number in (1, 2):
        made = builders.a_generation(number=number)
        store.change(instance.id, partial(with_metadata, {"at": str(number)}), GenerationChange(made))
    sealed = Sealed("k", b"other nonce", b"other ciphertext")
    store.change(instance.id, lambda seen: seen, GenerationChange(fresh=True), payload=sealed)
    assert (len(store.generations(instance.id)), store.payload(instance.id)) == (2, builders.a_sealed())
    third = builders.a_generation(number=3)
    store.change(instance.id, partial(with_metadata, {"at": "3"}), GenerationChange(third, fresh=True), payload=sealed)
    assert (store.generations(instance.id), store.payload(instance.id)) == ((third,), sealed)
    store.change(instance.id, partial(with_metadata, {"at": "4"}), GenerationChange(fresh=True))
    assert store.generations(instance.id) == ()


def test_what_is_sealed_under_another_key_is_found_and_sealed_again(store: Store) -> None:
    store.add_instances(tuple(numbered(number) for number in (1, 2, 3)))
    store.change(numbered(1).id, partial(with_metadata, {"a": "b"}), GenerationChange(builders.a_generation()))
    assert store.resealable(builders.a_sealed().key_id, 10) == ()
    assert store.resealable("a later key", 2) == (numbered(1).id, numbered(2).id)

    def again(sealed: Sealed) -> Sealed:
        return replace(sealed, key_id="a later key", nonce=b"n" * 12)

    for number in (1, 2):
        store.reseal(numbered(number).id, again)
    assert store.payload(numbered(1).id) == again(builders.a_sealed())
    assert [one.ingredients for one in store.generations(numbered(1).id)] == [again(builders.a_sealed())]
    assert store.resealable("a later key", 10) == (numbered(3).id,)
    assert store.resealable(builders.a_sealed().key_id, 10) == (numbered(1).id, numbered(2).id)
    store.reseal("nobody", again)


def test_what_cannot_be_sealed_again_stays_as_it_was(store: Store) -> None:
    store.add_instances((numbered(1),))
    store.change(numbered(1).id, partial(with_metadata, {"a": "b"}), GenerationChange(builders.a_generation()))
    seen: list[Sealed] = []

    def again(sealed: Sealed) -> Sealed:
        seen.append(sealed)
        if len(seen) == 2:
            raise HostError("it does not open")
        return replace(sealed, key_id="a later key")

    with pytest.raises(HostError, match="open"):
        store.reseal(numbered(1).id, again)
    assert store.payload(numbered(1).id) == builders.a_sealed()


def test_names_are_told_apart_by_their_case_and_kept_to_the_last_character(store: Store) -> None:
    names = ["Web", "web", "wéb", "💻"]
    for number, name in enumerate(names):
        store.add_flavor(builders.a_flavor(id=str(number), name=name))
        store.add_keypair(builders.a_key(name=name), -1)
        store.add_instances((numbered(number, name=name),))
    assert {flavor.name for flavor in store.flavors()} == set(names)
    assert [key.name for key in store.keypairs("ada")] == sorted(names, key=str.encode)
    assert [[one.name for one in store.instances(name=name)] for name in names] == [[name] for name in names]


def test_a_large_document_and_a_large_payload_are_kept_whole(store: Store) -> None:
    large = Sealed("k", bytes(range(12)), bytes(range(256)) * 1024)
    metadata = {str(number): "x" * 200 for number in range(1000)}
    store.add_instances((numbered(1, payload=large, metadata=metadata),))
    assert store.payload(numbered(1).id) == large
    assert store.instance(numbered(1).id).metadata == metadata


def test_instances_are_listed_by_what_they_are_and_the_deleted_between_the_others(store: Store) -> None:
    for number in range(1, 9):
        made = builders.NOON + timedelta(seconds=number // 2)
        owner = "engines" if number % 2 else "others"
        store.add_instances((numbered(number, created_at=made, project_id=owner, host=f"h{number % 3}"),))
    for number in (3, 6):
        for state in (State.DELETING, State.DELETED):
            store.change(numbered(number).id, partial(replace, state=state))

    def pages(**filters: Any) -> list[int]:
        found: list[int] = []
        marker = None
        while page := store.instances(limit=2, marker=marker, **filters):
            found += [int(one.id[-2:]) for one in page]
            marker = page[-1].id
        assert found == [int(one.id[-2:]) for one in store.instances(**filters)]
        return found

    assert pages() == [8, 7, 5, 4, 2, 1]
    assert pages(deleted=True) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert pages(deleted=True, states=frozenset({State.DELETED})) == [6, 3]
    assert pages(project_id="engines") == [7, 5, 1]
    assert pages(project_id="engines", deleted=True) == [7, 5, 3, 1]
    assert pages(host="h1") == [7, 4, 1]
    assert pages(project_id="others", states=frozenset({State.BUILDING}), name="web") == [8, 4, 2]
    assert pages(name="nobody") == []


def test_claims_of_some_networks_and_hosts(store: Store) -> None:
    store.add_instances((numbered(1), numbered(2, host="other")))
    network = builders.a_network().id
    assert store.claims([], ["h"]).forwards == {"h": frozenset({20001})}
    assert store.claims([], ["h"]).addresses == {}
    assert store.claims([network], []) == Claims({network: frozenset({"10.0.0.2", "10.0.0.3"})}, {})
    assert store.claims(["nowhere"], ["h", "other", "nowhere"]).forwards.keys() == {"h", "other"}


def test_silence_is_counted_by_the_databases_clock(store: Store) -> None:
    # Whatever clock the records were made by: theirs say March.
    store.add_instances((numbered(1), numbered(2), numbered(3, state=State.ERROR)))
    working = frozenset({State.BUILDING})
    assert store.silent(working, 600) == ()
    assert [one.id for one in store.silent(working, -1)] == [numbered(1).id, numbered(2).id]
    _age(store, tables.instances.c.touched, numbered(2).id, 700)
    assert [one.id for one in store.silent(working, 600)] == [numbered(2).id]
    assert len(store.silent(working | {State.ERROR}, -1, limit=1)) == 1
    store.change(numbered(2).id, partial(with_metadata, {"a": "b"}))
    assert store.silent(working, 600) == ()


def test_instances_on_some_hosts(store: Store) -> None:
    store.add_instances(
        (numbered(1), numbered(2, host="other"), numbered(3, host="third"), numbered(4, host=None, forwards=()))
    )
    store.change(numbered(2).id, lambda seen: seen.advance(State.DELETING))
    found = store.on_hosts({"h", "other"}, {State.BUILDING})
    assert [one.id for one in found] == [numbered(1).id]
    assert len(store.on_hosts({"h", "other"}, frozenset(State))) == 2
    assert store.on_hosts((), frozenset(State)) == ()


def test_what_was_deleted_long_ago_is_purged_with_tokens_of_that_age(store: Store) -> None:
    tokens = [ClientToken("engines", name, "d") for name in ("old", "new")]
    for number in (1, 2, 3):
        store.add_instances((numbered(number),), tokens[number - 1] if number < 3 else None)
    for number in (1, 2):
        for state in (State.DELETING, State.DELETED):
            store.change(numbered(number).id, partial(replace, state=state))
    assert store.purge(600, 10) == 0
    _age(store, tables.instances.c.touched, numbered(1).id, 700)
    _age(store, tables.instances.c.touched, numbered(3).id, 700)
    _age(store, tables.tokens.c.created, numbered(1).id, 700)
    assert store.purge(600, 10) == 1
    assert [one.id for one in store.instances(deleted=True)] == [numbered(3).id, numbered(2).id]
    assert store.instances_of_token("engines", "old") is None
    assert store.instances_of_token("engines", "new") is not None


def _age(store: Store, column: Column[float], instance_id: str, seconds: float) -> None:
    key = "id" if column.table is tables.instances else "instance_ids"
    with store._engine.begin() as connection:
        older = {column.name: column - seconds}
        connection.execute(update(column.table).where(column.table.c[key] == instance_id).values(**older))


def test_the_same_message_adds_nothing_again(store: Store) -> None:
    batch = (numbered(1), numbered(2))
    added = store.add_instances(batch)
    assert added == tuple(replace(one, payload=None) for one in batch)
    store.change(numbered(1).id, partial(with_metadata, {"a": "b"}))
    again = store.add_instances((replace(batch[0], host="other"), batch[1], numbered(3)))
    assert [(one.id, one.host, one.revision) for one in again] == [(batch[0].id, "h", 1), (batch[1].id, "h", 0)]
    assert len(store.instances()) == 2
    assert store.recorded([numbered(2).id, "nobody", numbered(1).id]) == (again[1], again[0])


def test_a_token_makes_once_and_means_one_request(store: Store) -> None:
    token = ClientToken("engines", "t", "digest of it")
    added = store.add_instances((numbered(1), numbered(2)), token)
    assert store.instances_of_token("engines", "t") == ("digest of it", added)
    assert store.instances_of_token("others", "t") is None
    # The same again as a message of its own: other ids, other addresses.
    assert store.add_instances((numbered(3), numbered(4)), token) == added
    with pytest.raises(Conflict, match="client token") as caught:
        store.add_instances((numbered(5),), replace(token, digest="another"))
    assert caught.value.field == "client_token"
    assert len(store.instances()) == 2
    store.add_instances((numbered(5),), replace(token, project_id="others", digest="another"))


def test_a_batch_that_is_lost_does_not_use_up_its_token(store: Store) -> None:
    token = ClientToken("engines", "t", "d")
    store.add_instances((numbered(1),))
    with pytest.raises(StaleError):
        store.add_instances((numbered(2, forwards=numbered(1).forwards),), token)
    assert store.instances_of_token("engines", "t") is None
    assert len(store.add_instances((numbered(2),), token)) == 1
