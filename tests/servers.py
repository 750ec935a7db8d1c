"""RabbitMQ, PostgreSQL and MariaDB as devstack/test-servers.sh starts them: fresh databases and virtual hosts there.

A migration takes a second or two. ``Lender`` runs it once for all tests of a process; each gets what it has left.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import httpx
import sqlalchemy as sa

from injector.db import sync
from injector.db.tables import metadata

Kind = Literal["sqlite", "postgresql", "mariadb"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAMES: dict[Kind, str] = {"postgresql": "INJECTOR_TEST_POSTGRESQL", "mariadb": "INJECTOR_TEST_MARIADB"}


def rabbit_url() -> str:
    """oslo.messaging's URL of the broker's own virtual host, "/", which all tests share."""
    return _told("INJECTOR_TEST_RABBIT")


def management_client() -> httpx.Client:
    """For the broker's own HTTP API, which is below api/."""
    return httpx.Client(base_url=_told("INJECTOR_TEST_RABBIT_MANAGEMENT"), timeout=30)


@contextmanager
def a_vhost() -> Iterator[str]:
    """oslo.messaging's URL of a fresh virtual host of the broker; its connections are closed when it goes."""
    name = _unique()
    # rabbitmqctl would take a second and a half, this takes some milliseconds.
    with management_client() as management:
        management.put(f"api/vhosts/{name}").raise_for_status()
        try:
            yield rabbit_url() + name
        finally:
            management.delete(f"api/vhosts/{name}").raise_for_status()


@contextmanager
def a_database(kind: Kind) -> Iterator[str]:
    """SQLAlchemy's URL of a fresh, empty database; it is dropped afterwards, whoever is still connected."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="injector-db-") as directory:
            yield f"sqlite:///{Path(directory) / 'injector.sqlite'}"
        return
    name = _unique()
    with _server(kind) as server:
        server.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(_told(_NAMES[kind])).set(database=name).render_as_string(hide_password=False)
    finally:
        with _server(kind) as server:
            _drop(server, kind, name)


class Lender:
    """Databases at the newest migration, without a row: made when they are first needed, and lent again afterwards."""

    def __init__(self) -> None:
        self._made = ExitStack()
        self._free: defaultdict[Kind, list[str]] = defaultdict(list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._made.close()

    @contextmanager
    def database(self, kind: Kind) -> Iterator[str]:
        """Its URL. Whoever is still connected afterwards is no more."""
        if kind == "sqlite":
            with a_database(kind) as url:
                new_sqlite(Path(str(sa.make_url(url).database)))
                yield url
            return
        if not self._free[kind]:
            self._free[kind].append(self._made.enter_context(a_database(kind)))
            sync(self._free[kind][-1])
        url = self._free[kind].pop()
        yield url
        name = str(sa.make_url(url).database)
        with _server(kind, name) as server:
            _disconnect(server, kind, name)
            empty(server)
        # Not of a test that failed: what it left might hinder the next one.
        self._free[kind].append(url)


def empty(connection: sa.Connection) -> None:
    """Every row goes, the tables stay. (To truncate them takes many times as long.)"""
    for table in reversed(metadata.sorted_tables):
        connection.execute(sa.delete(table))


def new_sqlite(file: Path) -> None:
    """A database at the newest migration."""
    file.write_bytes(_migrated_sqlite())
    file.chmod(0o600)


@cache
def _migrated_sqlite() -> bytes:
    with a_database("sqlite") as url:
        sync(url)
        # The last connection to go has moved all that was in the log into the file itself.
        return Path(str(sa.make_url(url).database)).read_bytes()


@contextmanager
def _server(kind: Kind, database: str | None = None) -> Iterator[sa.Connection]:
    url = sa.make_url(_told(_NAMES[kind])).set(database=database)
    if kind == "postgresql" and database is None:
        # It lets nobody in without a database; this one is always there.
        url = url.set(database="postgres")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def _drop(server: sa.Connection, kind: Kind, name: str) -> None:
    if kind == "postgresql":
        server.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        return
    # MariaDB would wait for whoever has a transaction open there.
    _disconnect(server, kind, name)
    server.exec_driver_sql(f"DROP DATABASE {name}")


def _disconnect(server: sa.Connection, kind: Kind, name: str) -> None:
    """End everybody's connection to a database but this one."""
    if kind == "postgresql":
        server.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )
        return
    connected = server.exec_driver_sql(
        f"SELECT id FROM information_schema.processlist WHERE db = '{name}' AND id <> CONNECTION_ID()"
    )
    for number in connected.scalars().all():
        # One that has just gone by itself is what was wanted.
        with contextlib.suppress(sa.exc.OperationalError):
            server.exec_driver_sql(f"KILL {number}")


def _unique() -> str:
    return f"injector_{uuid.uuid4().hex}"


def _told(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise RuntimeError(
            f'{name} is not set: devstack/test-servers.sh up && eval "$(devstack/test-servers.sh env)"'
        ) from None
