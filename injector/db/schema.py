"""Which version a database's tables have, and bringing them to the newest (the migrations are in ``migrations``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from injector.db import engine as engines
from injector.db.failures import FIELD
from injector.errors import HostError

NEWEST = "0005"

_MIGRATIONS = Path(__file__).with_name("migrations")
_SYNC_SECONDS = 600
_LOCK = "injector db sync"
_LOCK_NUMBER = 0x696E6A6563746F72


def version(connection: str) -> tuple[str | None, str]:
    """The version of the tables (None: there are none yet), and the one that this program wants. Nothing is made."""
    if engines.is_absent(connection):
        return None, NEWEST
    with _opened(connection) as engine, _told("opened"), engine.connect() as opened:
        return _version(opened), NEWEST


def sync(connection: str) -> None:
    """Tables as the newest migration has them; HostError when the database cannot be reached or is newer than we.

    Two at once wait for each other. SQLite and PostgreSQL have all of it or nothing. MariaDB and MySQL end the
    transaction with every change of a table: what an interrupted migration left half done there, the next completes.
    """
    with _opened(connection) as engine, _told("migrated"), engine.begin() as opened, _alone(opened):
        engines.begin_writing(opened)
        found = _version(opened)
        if found == NEWEST:
            return
        if _is_newer(found):
            raise HostError(f"the database cannot be migrated: {_found(found)}", field=FIELD)
        _run_alembic(opened)


def migrate(connection: str) -> None:
    """``sync`` in a process of its own: alembic's 12 MB would stay with the daemon for as long as it runs."""
    if version(connection)[0] != NEWEST:
        _in_child(connection)


def must_be_newest(connection: str) -> None:
    """HostError, saying what to do, unless the tables are as the newest migration has them."""
    found, _ = version(connection)
    if found == NEWEST:
        return
    if _is_newer(found):
        raise HostError(f"the database cannot be used: {_found(found)}", field=FIELD)
    raise HostError(f"the database cannot be used: {_found(found)}; run injector-manage db sync", field=FIELD)


def _is_newer(found: str | None) -> bool:
    return found is not None and found > NEWEST


def _found(found: str | None) -> str:
    if found is None:
        return "it has no tables yet"
    if _is_newer(found):
        return f"its tables are at {found}, newer than the {NEWEST} of this release of injector"
    return f"its tables are at {found}, older than the {NEWEST} of this release of injector"


@contextmanager
def _opened(connection: str) -> Iterator[Engine]:
    engine = engines.open_patiently(connection)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # Not its own words: they would repeat the statement, and with it what was to be written.
        detail = str(getattr(error, "orig", None) or type(error).__name__)
        raise HostError(f"the database cannot be {what}", field=FIELD, detail=detail) from error


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """One at a time on a server; on SQLite ``begin_writing`` sees to it."""
    match connection.dialect.name:
        case "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{_SYNC_SECONDS}s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})"))
            yield
        case "mysql" | "mariadb":
            # Names of locks are the whole server's, and at most 64 characters long.
            name = "SHA1(CONCAT(:lock, DATABASE()))"
            got = connection.execute(text(f"SELECT GET_LOCK({name}, {_SYNC_SECONDS})"), {"lock": _LOCK}).scalar()
            if got != 1:
                raise HostError("another db sync does not come to an end", field=FIELD)
            try:
                yield
            finally:
                connection.execute(text(f"SELECT RELEASE_LOCK({name})"), {"lock": _LOCK})
        case _:
            yield


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _run_alembic(connection: Connection, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _in_child(connection: str) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end_child(connection, writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        complaint, _, detail = pipe.read().partition("\n")
    os.waitpid(child, 0)
    if complaint:
        raise HostError(complaint, field=FIELD, detail=detail)


def _end_child(connection: str, writing: int) -> NoReturn:
    complaint = "the database cannot be migrated\nit ended without a word"
    try:
        sync(connection)
        complaint = ""
    except HostError as error:
        complaint = f"{error.message}\n{error.detail or ''}"
    except BaseException as error:
        complaint = f"the database cannot be migrated\n{error!r}"
    finally:
        os.write(writing, complaint.encode())
        os._exit(0)
