"""Two dispatchers, each with a store of its own, over one database at once: nothing is given away twice or lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from injector.db import Store, open_store
from injector.errors import Conflict, NoRoom, StaleError
from injector.model.boot import ClientToken
from injector.model.host import Room
from injector.model.instance import Instance, State
from tests import builders
from tests.store_values import numbered, usage_by_instances, with_metadata

THREADS = 4


@pytest.fixture
def stores(store: Store, database: str) -> Iterator[tuple[Store, Store]]:
    other = open_store(database, migrate=False)
    yield store, other
    other.close()


def _at_once(work: Callable[[int], None], threads: int = THREADS) -> None:
    """Start them at the same moment; what one of them raised is raised here."""
    start = threading.Barrier(threads)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if raised:
        raise raised[0]


def _advanced(state: State, seen: Instance) -> Instance:
    return seen.advance(state)


def test_room_for_thirty_is_given_to_thirty(stores: tuple[Store, Store]) -> None:
    hosts = ("h0", "h1", "h2")
    for name in hosts:
        stores[0].save_host(builders.some_host_facts(name=name), Room(vcpus=10, ram=512 * 10, disk=1000))
    won: list[Instance] = []

    def boot(dispatcher: int) -> None:
        for number in range(20):
            for turn in range(3):
                # Both go round the hosts in the same order, so that they meet.
                made = numbered(1 + dispatcher * 100 + number, host=hosts[(number + turn) % 3])
                try:
                    won.extend(stores[dispatcher].add_instances((made,)))
                    break
                except NoRoom:
                    continue

    _at_once(boot, 2)
    assert len({one.id for one in won}) == len(won) == 30
    assert {one.id for one in stores[0].instances()} == {one.id for one in won}
    for record in stores[0].host_records():
        assert record.usage == usage_by_instances(stores[1], record.facts.name)
        assert record.usage.vcpus == 10
    assert stores[0].repair_usage() == ()


def test_no_address_is_given_twice(stores: tuple[Store, Store]) -> None:
    """All of them want the same few, in another order each."""
    lost: list[StaleError] = []

    def boot(dispatcher: int) -> None:
        for number in range(20):
            nics = [numbered(1 + (number + dispatcher * 7 + step) % 20).nics[0] for step in range(3)]
            nics = [replace(nic, mac=f"fa:16:3e:0{dispatcher}:{number:02x}:{at:02x}") for at, nic in enumerate(nics)]
            made = numbered(1000 + dispatcher * 100 + number, nics=tuple(nics))
            try:
                stores[dispatcher % 2].add_instances((made,))
            except StaleError as error:
                lost.append(error)

    _at_once(boot)
    there = [address.ip for one in stores[0].instances() for nic in one.nics for address in nic.addresses]
    assert len(set(there)) == len(there) > 0
    assert stores[0].claims().addresses == {builders.a_network().id: frozenset(there)}
    assert len(there) == 3 * (THREADS * 20 - len(lost))


def test_one_token_makes_once(stores: tuple[Store, Store]) -> None:
    answers: list[tuple[int, tuple[Instance, ...]]] = []

    def create(dispatcher: int) -> None:
        for round_ in range(10):
            made = [numbered(round_ * 100 + dispatcher * 10 + number) for number in range(2)]
            token = ClientToken("engines", f"token {round_}", "the same")
            answers.append((round_, stores[dispatcher % 2].add_instances(tuple(made), token)))

    _at_once(create)
    assert len(answers) == 10 * THREADS
    assert len({(round_, tuple(one.id for one in made)) for round_, made in answers}) == 10
    assert len(stores[0].instances()) == 20


def test_of_two_requests_with_one_token_one_is_refused(stores: tuple[Store, Store]) -> None:
    refused: list[Conflict] = []

    def create(dispatcher: int) -> None:
        for round_ in range(10):
            token = ClientToken("engines", f"token {round_}", f"of dispatcher {dispatcher}")
            try:
                stores[dispatcher].add_instances((numbered(round_ * 10 + dispatcher),), token)
            except Conflict as error:
                refused.append(error)

    _at_once(create, 2)
    assert (len(refused), len(stores[0].instances())) == (10, 10)


def test_a_message_that_two_get_adds_once(stores: tuple[Store, Store]) -> None:
    stores[0].save_host(builders.some_host_facts(name="h"), Room(100, 2**20, 1000))

    def create(dispatcher: int) -> None:
        for number in range(20):
            (made,) = stores[dispatcher % 2].add_instances((numbered(number),))
            assert made.id == numbered(number).id

    _at_once(create)
    assert stores[0].host_record("h").usage == usage_by_instances(stores[1], "h")
    assert stores[0].host_record("h").usage.guests == 20


def test_changes_of_two_all_count(stores: tuple[Store, Store]) -> None:
    stores[0].add_instances((numbered(1),))

    def add(dispatcher: int) -> None:
        for step in range(10):
            change = partial(with_metadata, {f"{dispatcher}-{step}": "x"})
            stores[dispatcher % 2].change(numbered(1).id, change)

    _at_once(add)
    assert len(stores[0].instance(numbered(1).id).metadata) == 10 * THREADS


def test_guests_that_cross_each_other_end_on_one_host_each(stores: tuple[Store, Store]) -> None:
    """Two hosts' rows and the addresses of many guests, written from both ends: the deadlocks are run again."""
    for name in ("h", "k"):
        stores[0].save_host(builders.some_host_facts(name=name), Room(100, 512 * 16, 1000))
    stores[0].add_instances(tuple(numbered(number, host="hk"[number % 2]) for number in range(16)))

    def move(dispatcher: int) -> None:
        for step in range(30):
            host = "hk"[(step + dispatcher) % 2]
            stores[dispatcher % 2].change(numbered(step % 16).id, partial(replace, host=host))

    _at_once(move)
    assert sum(record.usage.guests for record in stores[0].host_records()) == 16
    for record in stores[0].host_records():
        assert record.usage == usage_by_instances(stores[0], record.facts.name)


def test_a_delete_and_a_report_at_once_leave_the_record_as_one_of_them_and_the_room_with_it(
    stores: tuple[Store, Store],
) -> None:
    stores[0].save_host(builders.some_host_facts(name="h"), Room(100, 2**20, 1000))
    stores[0].add_instances(tuple(numbered(number) for number in range(20)))
    roads = [(State.DELETING, State.DELETED), (State.ERROR,)]

    def end(dispatcher: int) -> None:
        for number in range(20):
            for state in roads[dispatcher]:
                try:
                    stores[dispatcher].change(numbered(number).id, partial(_advanced, state))
                except Conflict:
                    break

    _at_once(end, 2)
    assert stores[0].host_record("h").usage.guests == 0
    assert stores[0].claims().addresses == {}


def test_a_host_is_not_forgotten_while_it_is_given_a_guest(stores: tuple[Store, Store]) -> None:
    for round_ in range(10):
        name = f"h{round_}"
        stores[0].save_host(builders.some_host_facts(name=name), Room(100, 2**20, 1000))
        outcomes: list[str] = []

        def meet(dispatcher: int, name: str = name, round_: int = round_, outcomes: list[str] = outcomes) -> None:
            if dispatcher:
                stores[1].add_instances((numbered(round_, host=name),))
                return
            try:
                stores[0].forget_host(name)
                outcomes.append("forgotten")
            except Conflict:
                outcomes.append("kept")

        _at_once(meet, 2)
        there = name in {facts.name for facts in stores[0].hosts()}
        assert outcomes == ["kept" if there else "forgotten"]
        if there:
            assert stores[0].host_record(name).usage.guests == 1


def test_hosts_that_report_at_once_for_the_first_time_are_there_once(stores: tuple[Store, Store]) -> None:
    def report(dispatcher: int) -> None:
        for number in range(10):
            stores[dispatcher % 2].save_host(builders.some_host_facts(name=f"host-{number}"))

    _at_once(report)
    assert len(stores[0].hosts()) == 10
