"""Opens a database the way each kind wants it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from injector.db.failures import FIELD
from injector.errors import HostError, InvalidRequest

_BUSY_SECONDS = 30
# A service that was frozen in the middle of a transaction must not hold up the others for as long as it likes: its
# server ends it, and those who wait try again for longer than that.
_LOCK_SECONDS = 5
_IDLE_SECONDS = 15

# So that a database whose machine is gone is noticed; whatever the URL says goes before.
_POSTGRESQL = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_MYSQL = {"connect_timeout": 10}
_ANSWER_SECONDS = 60


def open_engine(connection: str) -> Engine:
    """An engine for an SQLAlchemy URL, for many threads; an SQLite file is made 0600.

    InvalidRequest when the URL is none or wants a driver that is not installed, which no waiting mends; its words are
    never repeated, for it may hold a password.
    """
    url = _parsed(connection)
    if url.get_backend_name() == "sqlite":
        if url.database:
            _make_private(url.database)
        return _sqlite(url, pool_size=8, max_overflow=32)
    # Three services with as many connections as this fit into the 100 that PostgreSQL allows out of the box.
    engine = _server(url, {"read_timeout": _ANSWER_SECONDS}, pool_pre_ping=True, pool_size=5, max_overflow=15)
    event.listen(engine, "connect", _limit_postgresql if engine.dialect.name == "postgresql" else _limit_mysql)
    return engine


def is_absent(connection: str) -> bool:
    """Whether it is SQLite's, and there is no file yet: to open it would make one, of whoever only wants to look."""
    url = _parsed(connection)
    if url.get_backend_name() != "sqlite" or not url.database:
        return False
    path = Path(url.database)
    # Where its directory is missing too, or closed to us, opening says so.
    return os.access(path.parent, os.X_OK) and not path.exists()


def for_reading(engine: Engine) -> Engine:
    """The same connections, for statements of which each may see the database as it is by then.

    On PostgreSQL without a transaction around them: to begin and to end one takes longer than most of them.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT") if engine.dialect.name == "postgresql" else engine


def open_patiently(connection: str) -> Engine:
    """For migrations: one connection at a time, and no end to how long a statement may take."""
    url = _parsed(connection)
    if url.get_backend_name() == "sqlite":
        if url.database:
            _make_private(url.database)
        return _sqlite(url, poolclass=NullPool)
    return _server(url, {}, poolclass=NullPool)


def _parsed(connection: str) -> URL:
    try:
        url = make_url(connection)
        url.get_dialect()
    except (ArgumentError, ValueError, ImportError) as error:
        raise InvalidRequest("the database's URL cannot be read", field=FIELD, detail=type(error).__name__) from None
    if "@" in (url.host or ""):
        raise InvalidRequest("an @ in the database's password must be written as %40", field=FIELD)
    return url


def _sqlite(url: URL, **pool: Any) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, hide_parameters=True, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _server(url: URL, mysql: Mapping[str, Any], **pool: Any) -> Engine:
    postgresql = url.get_backend_name() == "postgresql"
    wanted: Mapping[str, Any] = _POSTGRESQL if postgresql else {**_MYSQL, **mysql}
    arguments = {name: value for name, value in wanted.items() if name not in url.query}
    try:
        engine = create_engine(
            url, isolation_level="READ COMMITTED", connect_args=arguments, hide_parameters=True, **pool
        )
    except (ArgumentError, ImportError, TypeError) as error:
        message = "the database's driver is not installed" if isinstance(error, ImportError) else "the URL is wrong"
        raise InvalidRequest(message, field=FIELD, detail=type(error).__name__) from None
    event.listen(engine, "do_connect", _connect)
    if not postgresql:
        event.listen(engine, "connect", _prepare_mysql)
    return engine


def _make_private(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise HostError("the database cannot be opened", field=FIELD, detail=str(error)) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late and too weak; ours is in begin_writing.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Each connection has a cache of its own, 2 MB unless told otherwise; the kernel keeps the file's pages anyway.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-256"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _connect(dialect: Dialect, _record: Any, arguments: Any, named: Any) -> Any:
    """What PyMySQL says of a parameter that it does not know, or of a certificate that is missing, is no SQL error."""
    try:
        return dialect.connect(*arguments, **named)
    except TypeError as error:
        raise InvalidRequest("the database's URL cannot be used", field=FIELD, detail=str(error)) from error
    except OSError as error:
        raise HostError("the database's URL cannot be used", field=FIELD, detail=str(error)) from error


def _prepare_mysql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        # Of the clock's NOW(), and so that no text is cut to the length of its column.
        cursor.execute("SET SESSION time_zone = '+00:00', SESSION sql_mode = 'STRICT_ALL_TABLES'")


def _limit_postgresql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
    connection.commit()


def _limit_mysql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {_LOCK_SECONDS}")
        # MySQL has no such thing: there, a frozen service is waited for.
        if "MariaDB" in connection.get_server_info():
            cursor.execute(f"SET SESSION idle_transaction_timeout = {_IDLE_SECONDS}")


def begin_writing(connection: Connection) -> None:
    """To be called first in a transaction that writes; to the driver itself, at a tenth of the way through the engine.

    On SQLite one that reads first and writes later would fail at once, not wait, if another wrote in between.
    """
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        driver.execute("BEGIN IMMEDIATE")
