"""Many hosts or instances on record as if they were there, and what a question takes, one size beside another.

The sizes take turns in each round, so that whatever else the machine does meanwhile is done to all of them.
"""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, text

from injector import wire
from injector.db import Store, open_store, tables
from injector.db.clock import epoch
from injector.db.instances import _values
from injector.model.instance import State
from tests import builders
from tests.servers import Kind, a_database

ZONES = 5
_AT_ONCE = 1000
_SILENT_SECONDS = 3600
_ROOM_RAM = 64 * 1024
_STATES = (*(State.ACTIVE,) * 90, *(State.STOPPED,) * 6, *(State.BUILDING,) * 2, *(State.ERROR,) * 2)
_PROJECTS = 10
_NAMES = 100

Question = Callable[[], object]


@contextmanager
def a_store(kind: Kind) -> Iterator[Store]:
    with a_database(kind) as url:
        store = open_store(url)
        try:
            yield store
        finally:
            store.close()


def add_hosts(store: Store, count: int) -> None:
    """In five zones, each promised another part of its room; a tenth disabled, a tenth not heard for an hour.

    One of them is of another kind: ``aarch64``.
    """
    chance = random.Random(count)

    def row(number: int) -> dict[str, Any]:
        facts = builders.some_host_facts(
            name=host_name(number),
            vcpus=32,
            memory_mib=_ROOM_RAM,
            availability_zone=f"zone-{number % ZONES}",
            arch="aarch64" if number == count // 2 else "x86_64",
        )
        used = chance.randrange(_ROOM_RAM // 512)
        return {
            "name": facts.name,
            "zone": facts.availability_zone,
            "kind": wire.digest(facts.kind),
            "enabled": number % 10 != 3,
            "room_vcpus": 1024,
            "room_ram": _ROOM_RAM,
            "room_disk": 10_000,
            "used_guests": used,
            "used_vcpus": used,
            "used_ram": used * 512,
            "used_disk": used * 3,
            "load": used * 512 / _ROOM_RAM,
            "document": wire.to_text(facts),
        }

    with store._engine.begin() as connection:
        for numbers in _portions(count):
            connection.execute(insert(tables.hosts).values(heard=epoch()), [row(number) for number in numbers])
        table = tables.hosts
        silent = [host_name(number) for number in range(count) if number % 10 == 7]
        gone = table.update().values(heard=epoch() - _SILENT_SECONDS)
        for numbers in _portions(len(silent)):
            connection.execute(gone.where(table.c.name.in_(silent[numbers.start : numbers.stop])))
    _analyze(store)


def host_name(number: int) -> str:
    return f"host-{number:05d}"


def add_instances(store: Store, count: int, hosts: int, project: str) -> list[str]:
    """A second apart, on these many hosts, of a hundred names; nine in ten are active, and one project has nine in ten.

    Their ids, the newest first.
    """
    chance = random.Random(count)
    template = builders.an_instance(payload=None, nics=(), receipt=builders.a_receipt(), plan=builders.a_plan())
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]

    def row(number: int) -> dict[str, Any]:
        born = builders.NOON + timedelta(seconds=number)
        state = chance.choice(_STATES)
        launched = state is not State.BUILDING
        return _values(
            replace(
                template,
                id=ids[number],
                name=f"web-{number % _NAMES}",
                project_id=project if chance.random() < 0.9 else f"other-{number % _PROJECTS}",
                state=state,
                host=host_name(chance.randrange(hosts)),
                created_at=born,
                updated_at=born,
                launched_at=born if launched else None,
                allowed=int(launched),
                launched=int(launched),
            )
        )

    with store._engine.begin() as connection:
        for numbers in _portions(count):
            connection.execute(insert(tables.instances).values(touched=epoch()), [row(number) for number in numbers])
    _analyze(store)
    return ids[::-1]


def times(questions: Mapping[int, Question], rounds: int) -> dict[int, tuple[float, float]]:
    """By size: milliseconds that passed, and of this process's CPU; the median of ``rounds``, sizes in turns."""
    walls: dict[int, list[float]] = {size: [] for size in questions}
    cpus: dict[int, list[float]] = {size: [] for size in questions}
    for number in range(rounds + 1):
        for size, ask in questions.items():
            started, cpu = time.perf_counter(), time.process_time()
            ask()
            passed, used = time.perf_counter() - started, time.process_time() - cpu
            if number:  # the first builds statements and opens connections
                walls[size].append(passed * 1000)
                cpus[size].append(used * 1000)
    return {size: (statistics.median(walls[size]), statistics.median(cpus[size])) for size in questions}


def rows(name: str, of: str, questions: Mapping[int, Question], rounds: int) -> list[dict[str, Any]]:
    """Of the table of benchmarks: each size beside the smallest."""
    measured = times(questions, rounds)
    least, *_ = measured
    return [
        {
            "name": f"{name}_{size}",
            "ours_ms": wall,
            "ours_cpu_ms": cpu,
            "peer": f"{least} {of}",
            "peer_ms": measured[least][0],
            "peer_cpu_ms": measured[least][1],
            "ratio": wall / measured[least][0],
            "runs": rounds,
        }
        for size, (wall, cpu) in measured.items()
    ]


def _portions(count: int) -> Iterable[range]:
    return (range(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE))


def _analyze(store: Store) -> None:
    """What a server finds out by itself within a minute or so."""
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        match connection.dialect.name:
            case "postgresql":
                connection.execute(text("VACUUM ANALYZE"))
            case "mysql" | "mariadb":
                connection.execute(text("ANALYZE TABLE hosts, instances"))
            case _:
                # SQLite is told by the migration.
                pass
