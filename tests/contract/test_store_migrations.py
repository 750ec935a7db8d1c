"""Tables are brought to the newest version with what is in them, on every database, by any number at once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, create_engine, insert, text

from injector.db import Store, open_store, schema, sync, version
from injector.db.tables import metadata
from injector.errors import HostError
from injector.model.host import Room, Usage
from injector.model.instance import State
from tests import builders
from tests.servers import Kind, a_database

# A database as injector wrote it when its newest migration was 0004: ``sqlite3 injector.db .dump``.
OLD = Path(__file__).parents[1] / "golden" / "db" / "0004.sql"
ACTIVE, FAILED, DELETED, ELSEWHERE, BROKEN = (f"00000000-0000-4000-8000-{number:012d}" for number in range(1, 6))


@pytest.fixture
def empty(database_kind: Kind) -> Iterator[str]:
    """The URL of a database without tables."""
    with a_database(database_kind) as url:
        yield url


@pytest.fixture
def old(empty: str, tmp_path: Path) -> str:
    """The URL of one of version 0004, with rows in it."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(OLD.read_text())
    kept = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    _at(empty, "0004")
    tables = MetaData()
    tables.reflect(kept)
    engine = create_engine(empty)
    with kept.connect() as source, engine.begin() as target:
        for table in tables.sorted_tables:
            rows = [row._asdict() for row in source.execute(table.select())]
            if rows and table.name != "alembic_version":
                target.execute(insert(table), rows)
    for opened in (kept, engine):
        opened.dispose()
    return empty


def _at(url: str, revision: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        schema._run_alembic(connection, revision)
    engine.dispose()


def _run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def _differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.NEWEST


def test_migrations_make_the_tables_of_the_code(store: Store) -> None:
    assert _differences(store._engine) == []


def test_what_an_older_database_holds_is_kept_and_counted(old: str) -> None:
    sync(old)
    store = open_store(old, migrate=False)
    _holds_what_was_there(store)
    assert _differences(store._engine) == []
    assert store.instance(ACTIVE).receipt is None
    assert store.change(ACTIVE, lambda seen: seen.advance(State.STOPPING)).revision == 2
    store.close()


def _holds_what_was_there(store: Store) -> None:
    first, second = store.host_records()
    assert (first.facts, second.facts.availability_zone) == (builders.some_host_facts(), "east")
    assert (first.usage, first.room) == (Usage(2, 2, 1024, 6), Room(4, 8192, 100))
    assert (second.usage, second.room, second.load) == (Usage(1, 2, 1024, 0), Room(2, 8192, 100), 0.125)
    # Nobody has been heard since: they are given guests again as soon as they report.
    assert store.silent_hosts(3600) == {"host-1", "host-2"}
    assert first.enabled
    assert store.repair_usage() == ()
    states = {one.id: one.state.value for one in store.instances(deleted=True)}
    assert states == {
        ACTIVE: "active",
        FAILED: "error",
        DELETED: "deleted",
        ELSEWHERE: "building",
        BROKEN: "error",
    }
    assert len(store.instances("engines")) == 4
    assert store.payload(ACTIVE) == builders.a_sealed()
    assert store.generations(ACTIVE) == (builders.a_generation(),)
    assert store.resealable(builders.a_sealed().key_id, 10) == ()
    assert len(store.resealable("another", 10)) == 4
    assert [one.id for one in store.silent({State.BUILDING}, 60)] == [ELSEWHERE]
    assert store.claims().forwards == {"host-1": frozenset({20001, 20005}), "host-2": frozenset({20004})}
    assert (store.keypair("ada", "laptop"), store.flavors()) == (builders.a_key(), (builders.a_flavor(),))
    assert store.image_facts("0" * 64) == builders.some_image_facts()


def test_a_migration_that_was_interrupted_is_completed(old: str) -> None:
    """As MariaDB leaves it, which ends the transaction with every change of a table."""
    sync(old)
    _run(old, "DROP TABLE tokens", "UPDATE alembic_version SET version_num = '0004'")
    _run(old, "UPDATE hosts SET used_ram = 0", "UPDATE instances SET guests = 0, touched = 0")
    sync(old)
    store = open_store(old, migrate=False)
    _holds_what_was_there(store)
    assert _differences(store._engine) == []
    store.close()


def test_a_store_is_not_opened_over_tables_of_another_version(empty: str) -> None:
    assert version(empty) == (None, schema.NEWEST)
    with pytest.raises(HostError, match="no tables yet; run injector-manage db sync") as caught:
        open_store(empty, migrate=False)
    assert caught.value.field == "[database] connection"
    _at(empty, "0003")
    assert version(empty) == ("0003", schema.NEWEST)
    with pytest.raises(HostError, match=r"0003, older than .*; run injector-manage db sync"):
        open_store(empty, migrate=False)
    sync(empty)
    assert version(empty) == (schema.NEWEST, schema.NEWEST)
    open_store(empty, migrate=False).close()
    _run(empty, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HostError, match="9999, newer than"):
        open_store(empty, migrate=False)
    for migrating in (sync, open_store):
        with pytest.raises(HostError, match="9999, newer than"):
            migrating(empty)


def test_any_number_may_migrate_at_once(old: str) -> None:
    program = "import os; from injector.db import sync; sync(os.environ['DATABASE'])"
    running = [
        subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"DATABASE": old}, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=300)[1] for process in running] == [b"", b"", b""]
    assert version(old)[0] == schema.NEWEST
    store = open_store(old, migrate=False)
    _holds_what_was_there(store)
    store.close()


def test_an_unreachable_database_is_the_hosts_fault(tmp_path: Path) -> None:
    for opening in (open_store, sync, version):
        with pytest.raises(HostError):
            opening(f"sqlite:///{tmp_path}/missing/store.db")


@pytest.mark.servers
def test_every_table_tells_case_apart_on_mariadb() -> None:
    with a_database("mariadb") as url:
        sync(url)
        engine = create_engine(url)
        with engine.connect() as connection:
            query = "SELECT DISTINCT table_collation FROM information_schema.tables WHERE table_schema = database()"
            collations = connection.execute(text(f"{query} AND table_name <> 'alembic_version'")).scalars().all()
        engine.dispose()
    assert collations == ["utf8mb4_bin"]
