"""Opens a database the way each kind wants it, and brings its tables to the newest migration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from injector.errors import HostError

_MIGRATIONS = Path(__file__).with_name("migrations")
_NEWEST = "0004"
_BUSY_SECONDS = 30


def open_engine(connection: str) -> Engine:
    """An engine for an SQLAlchemy URL; an SQLite file is made 0600."""
    url = make_url(connection)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if url.database:
        _make_private(url.database)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=8, max_overflow=32)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _make_private(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise HostError("the database cannot be opened", field="[database] connection", detail=str(error)) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late and too weak; ours is in begin_writing.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Each connection has a cache of its own, 2 MB unless told otherwise; the kernel keeps the file's pages anyway.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-256"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_writing(connection: Connection) -> None:
    """To be called first in a transaction that writes; to the driver itself, at a tenth of the way through the engine.

    On SQLite one that reads first and writes later would fail at once, not wait, if another wrote in between.
    """
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        driver.execute("BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Tables as the newest migration has them; HostError when the database cannot be reached or is newer than we."""
    try:
        with engine.begin() as connection:
            if _version(connection) == _NEWEST:
                return
    except SQLAlchemyError as error:
        raise HostError("the database cannot be opened", field="[database] connection", detail=str(error)) from error
    engine.dispose()
    _in_child(engine)


def _in_child(engine: Engine) -> None:
    """Migrate in a process of its own: alembic's 12 MB would stay with the daemon for as long as it runs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end_child(engine, writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        complaint = pipe.read()
    os.waitpid(child, 0)
    if complaint:
        raise HostError("the database cannot be migrated", field="[database] connection", detail=complaint)


def _end_child(engine: Engine, writing: int) -> NoReturn:
    complaint = "it ended without a word"
    try:
        complaint = _run_alembic(engine)
    except BaseException as error:
        complaint = repr(error)
    finally:
        os.write(writing, complaint.encode())
        os._exit(0)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


def _run_alembic(engine: Engine) -> str:
    """Why it could not be done; empty when it was."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    try:
        with engine.begin() as connection:
            begin_writing(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        return f"it was written by a newer version of injector: {error}"
    return ""
