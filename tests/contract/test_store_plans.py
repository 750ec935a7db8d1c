"""Hosts and instances are read from an index in its order, a page and no more, however many there are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from injector import wire
from injector.db import Store, open_store, tables
from injector.model.host import HostRecord, Room, Usage
from injector.model.instance import State
from tests import builders
from tests.servers import Kind, a_database

HOSTS = 6000
INSTANCES = 3000
# PostgreSQL takes one host in 27 to have room, whatever there is; where it expects no more than a page, it sorts them.
PAGE = 10


@pytest.fixture(scope="module")
def full(database_kind: Kind) -> Iterator[Store]:
    """With many hosts, and many instances in two projects; they share a document, which nobody looks into."""
    with a_database(database_kind) as url:
        store = open_store(url)
        _fill(store)
        yield store
        store.close()


def _fill(store: Store) -> None:
    facts, instance = wire.to_text(builders.some_host_facts()), wire.to_text(builders.an_instance())
    states = itertools.cycle([State.ACTIVE] * 20 + [State.ERROR, State.DELETED])
    hosts = [
        {"name": f"h{number}", "document": facts, "zone": f"z{number % 3}", "enabled": True, "heard": 4e9}
        | {"room_vcpus": 64, "room_ram": 1000, "room_disk": 1000, "load": number * 37 % HOSTS / HOSTS}
        for number in range(HOSTS)
    ]
    instances = [
        {"id": f"i{number}", "name": f"n{number // 4}", "project_id": f"p{number % 2}", "host": f"h{number // 4}"}
        | {"vcpus": 0, "ram": 0, "revision": 0, "updated_at": "", "document": instance, "touched": number}
        | {"created_at": (builders.NOON + timedelta(seconds=number)).isoformat()}
        | {"state": state.value, "gone": state is State.DELETED}
        for number, state in zip(range(INSTANCES), states, strict=False)
    ]
    with store._engine.begin() as connection:
        connection.execute(insert(tables.hosts), hosts)
        connection.execute(insert(tables.instances), instances)
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # SQLite's are told by a migration: nobody would tell it in a small installation.
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE hosts, instances"))
        elif connection.dialect.name != "sqlite":
            connection.execute(text("ANALYZE TABLE hosts, instances"))


@contextmanager
def _statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []

    def see(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", see)
    yield seen
    event.remove(store._engine, "before_cursor_execute", see)


def _plans(store: Store, call: Callable[[], object]) -> list[str]:
    """How the database goes about what ``call`` asks of it: a text for each statement, as its EXPLAIN words it."""
    with _statements(store) as seen:
        call()
    words = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN FORMAT=JSON "}
    plans: list[str] = []
    with store._engine.connect() as connection:
        for statement, parameters in seen:
            cursor = connection.connection.cursor()
            cursor.execute(words[connection.dialect.name] + statement, parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
    return plans


def _is_read_in_order(plan: str, *indexes: str) -> bool:
    """Whether one of these is gone through, and nothing sorted."""
    sorts = ("TEMP B-TREE", "Sort", "filesort", "Seq Scan", "SCAN")
    return any(index in _used(plan) for index in indexes) and not any(word in plan for word in sorts)


def _used(plan: str) -> str:
    """MariaDB's names the indexes that it weighed, too."""
    if not plan.startswith("{"):
        return plan
    keys: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys.extend(value for name, value in pairs if name == "key")
        return dict(pairs)

    json.loads(plan, object_pairs_hook=keep)
    return " ".join(keys)


@pytest.mark.parametrize("zone", [None, "z1"])
@pytest.mark.parametrize("load", [None, 0.25])
def test_candidates_are_found_without_looking_at_every_host(full: Store, zone: str | None, load: float | None) -> None:
    after = None
    if load is not None:
        room = Room(64, 1000, 1000)
        after = HostRecord(builders.some_host_facts(name="h7"), Usage(ram=int(load * 1000)), room, True, None, 0)

    def ask() -> None:
        found = full.candidates(Room(1, 512, 3), zone=zone, without=(), alive_within=60, after=after, limit=PAGE)
        assert len(found) == PAGE

    (plan,) = _plans(full, ask)
    # Either is as good as the other for one zone of three.
    assert _is_read_in_order(plan, "hosts_by_load", "hosts_by_zone"), plan


ASKED: dict[str, dict[str, Any]] = {
    "everything": {},
    "a project": {"project_id": "p1"},
    "a project and a state": {"project_id": "p1", "states": frozenset({State.ACTIVE})},
    "a project and states": {"project_id": "p1", "states": frozenset({State.ACTIVE, State.ERROR})},
    "a project with the deleted": {"project_id": "p1", "deleted": True},
}


@pytest.mark.parametrize("marker", [None, f"i{INSTANCES // 2 + 1}"])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_a_page_of_instances_is_read_in_the_order_of_an_index(
    full: Store, asked: dict[str, Any], marker: str | None
) -> None:
    def ask() -> None:
        assert len(full.instances(limit=PAGE, marker=marker, **asked)) == PAGE

    plans = _plans(full, ask)
    # The first looks up the marker.
    for plan in plans if marker is None else plans[1:]:
        assert _is_read_in_order(
            plan, "instances_by_project", "instances_by_project_and_state", "instances_by_age", "instances_by_state"
        ), plan


@pytest.mark.parametrize("asked", [{"host": "h7"}, {"name": "n7"}, {"name": "n7", "project_id": "p1"}], ids=str)
def test_the_few_of_a_name_or_a_host_are_looked_up(full: Store, asked: dict[str, Any]) -> None:
    (plan,) = _plans(full, lambda: full.instances(limit=PAGE, **asked))
    assert any(index in _used(plan) for index in ("instances_by_host", "instances_by_name")), plan


def test_those_of_some_hosts_and_the_silent_ones_are_looked_up(full: Store) -> None:
    (plan,) = _plans(full, lambda: full.on_hosts({"h7", "h8"}, frozenset({State.ACTIVE, State.ERROR})))
    assert "instances_by_host" in _used(plan), plan
    (plan,) = _plans(full, lambda: full.silent(frozenset({State.BUILDING, State.DELETING}), 60))
    assert "instances_by_state" in _used(plan), plan
