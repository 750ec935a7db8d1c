"""The failures of three drivers as errors of the house."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from injector.errors import HostError, NoSpace

FIELD = "[database] connection"

# Deadlock, serialization failure, waited too long for a lock; by SQLSTATE (PostgreSQL) and by number (MariaDB).
_RACES = frozenset({"40001", "40P01", "55P03", 1020, 1205, 1213})
# SQLite's has its kind in the low byte, PostgreSQL's is disk_full.
_FULL = frozenset({"53100", 1021, 1114, 13})


class LostRace(Exception):
    """Another transaction was let go first; the same again may well work."""


@contextmanager
def translated() -> Iterator[None]:
    """HostError for what the database cannot do, LostRace for what is worth another try.

    A clash of rows (IntegrityError) goes through: it means something to whoever wrote them. What the driver said goes
    to ``detail``; it never holds the URL, nor the values of a statement.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        text, code = str(error.orig), _code(error.orig)
        if code in _RACES:
            raise LostRace(text) from error
        if code in _FULL or "No space left" in text:
            raise NoSpace("the database's disk is full", field=FIELD, detail=text) from error
        if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
            raise HostError("the database does not answer", field=FIELD, detail=text) from error
        raise HostError("the database refuses what was asked of it", field=FIELD, detail=text) from error
    except PoolTimeout as error:
        # Every connection of the pool is taken, by threads that wait for the same database.
        raise HostError("the database does not answer", field=FIELD, detail=str(error)) from error


def _code(error: Any) -> object:
    """What kind of failure it is, as its driver tells it: a number of MariaDB's or SQLite's, or an SQLSTATE."""
    if (number := getattr(error, "sqlite_errorcode", None)) is not None:
        return number & 0xFF
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    return getattr(error, "sqlstate", None)
