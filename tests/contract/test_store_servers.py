"""What a store does when its server goes away, holds it up, or is not what it was taken for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import Connection, create_engine, make_url, select, text

from injector.db import Store, open_store, sync, tables, version
from injector.db.clock import epoch
from injector.errors import HostError
from injector.model.instance import Instance
from tests import builders
from tests.servers import Kind, a_database
from tests.store_values import numbered, with_metadata

pytestmark = pytest.mark.servers

SERVERS: tuple[Kind, ...] = ("postgresql", "mariadb")
CUT = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL CONNECTION {}"}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of a server."""
    with a_database(request.param) as url:
        open_store(url).close()
        yield url


@pytest.fixture
def opened(server: str) -> Iterator[Store]:
    store = open_store(server, migrate=False)
    yield store
    store.close()


@contextmanager
def _another(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _cut(url: str) -> int:
    """Ends every connection to the database but its own, as a restart of the server does; how many there were."""
    with _another(url) as connection:
        name = connection.dialect.name
        found = connection.execute(text(CUT[name])).scalars().all()
        for pid in found:
            connection.execute(text(KILL[name].format(pid)))
    return len(found)


def test_the_call_after_a_restart_finds_the_server_again(server: str, opened: Store) -> None:
    opened.save_host(builders.some_host_facts())
    assert _cut(server) > 0
    assert len(opened.hosts()) == 1
    assert _cut(server) > 0
    opened.save_host(builders.some_host_facts(guests=2))
    assert [facts.guests for facts in opened.hosts()] == [2]


def test_a_restart_in_the_middle_of_a_transaction_is_the_hosts_fault_and_undoes_it(server: str, opened: Store) -> None:
    opened.add_network(builders.a_network())
    opened.add_instances((numbered(1),))

    def cut(seen: Instance) -> Instance:
        _cut(server)
        return with_metadata({"a": "b"}, seen)

    reading = open_store(server, migrate=False)
    with pytest.raises(HostError, match="does not answer"):
        reading.change(numbered(1).id, cut)
    assert reading.instance(numbered(1).id).revision == 0
    assert reading.change(numbered(1).id, partial(with_metadata, {"c": "d"})).metadata == {"c": "d"}
    reading.close()


def test_who_waits_too_long_for_a_row_is_not_told_that_the_world_moved_on(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("injector.db.engine._LOCK_SECONDS", 1)
    monkeypatch.setattr("injector.db.transactions._ATTEMPTS", 2)
    store = open_store(server, migrate=False)
    store.save_host(builders.some_host_facts(name="held"))
    with _another(server) as connection:
        connection.execute(select(tables.hosts.c.name).where(tables.hosts.c.name == "held").with_for_update())
        with pytest.raises(HostError, match="at once"):
            store.host_alive("held")
    assert store.host_alive("held")
    store.close()


def test_a_transaction_that_is_left_open_is_ended_by_the_server(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a dispatcher that was frozen: those who wait for its rows have their turn all the same."""
    monkeypatch.setattr("injector.db.engine._IDLE_SECONDS", 1)
    frozen = open_store(server, migrate=False)
    frozen.save_host(builders.some_host_facts(name="held"))
    other = open_store(server, migrate=False)
    with frozen._engine.connect() as connection:
        connection.execute(select(tables.hosts.c.name).where(tables.hosts.c.name == "held").with_for_update())
        assert other.host_alive("held")
        connection.invalidate()
    for store in (frozen, other):
        store.close()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_is_down_is_the_hosts_fault_and_the_password_is_not_told(kind: Kind) -> None:
    with a_database(kind) as url:
        down = make_url(url).set(port=9, password="swordfish").render_as_string(hide_password=False)
    for call in (partial(open_store, down), partial(open_store, down, migrate=False), partial(version, down)):
        with pytest.raises(HostError, match="cannot be opened") as caught:
            call()
        assert "swordfish" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"


@pytest.mark.parametrize("kind", SERVERS)
def test_a_wrong_password_is_not_told_either(kind: Kind) -> None:
    with a_database(kind) as url:
        wrong = make_url(url).set(username="nobody", password="swordfish").render_as_string(hide_password=False)
        with pytest.raises(HostError) as caught:
            sync(wrong)
        assert "swordfish" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:swordfish@127.0.0.1/db?sslmode=nosuch",
        "postgresql+psycopg://u:swordfish@127.0.0.1/db?nosuch=1",
        "mysql+pymysql://u:swordfish@127.0.0.1/db?ssl_ca=/nowhere",
    ],
)
def test_a_url_that_its_server_or_the_disk_does_not_bear_out_is_not_repeated(url: str) -> None:
    with pytest.raises(HostError) as caught:
        open_store(url, migrate=False)
    assert "swordfish" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"
    assert caught.value.field == "[database] connection"


def test_the_databases_clock_is_one_everywhere(opened: Store) -> None:
    with opened._engine.connect() as connection:
        name, (here,) = connection.dialect.name, connection.execute(select(epoch())).one()
        theirs = "SELECT extract(epoch from now())" if name == "postgresql" else "SELECT UNIX_TIMESTAMP()"
        assert abs(float(here) - float(connection.execute(text(theirs)).scalar_one())) < 2
