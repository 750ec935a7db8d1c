"""Transactions of a store: failures translated, races run again, and the few statements that every table needs."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from injector import wire
from injector.db import engine as engines
from injector.db.failures import FIELD, LostRace, translated
from injector.errors import HostError, InjectorError

_Result = TypeVar("_Result")

# The loser of a deadlock is told so at once; who waits for a lock, after seconds (see ``engine``).
_ATTEMPTS = 20
_SECONDS = 20.0
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5

# Statements that every boot runs are built once: building one costs more than running it.


@functools.cache
def documents(table: Table, *keys: str) -> Select[Any]:
    """The documents of the rows with these keys, in the order of the table's primary key."""
    found = select(table.c.document).order_by(*table.primary_key)
    return found.where(*(table.c[key] == bindparam(key) for key in keys))


class Transactions:
    """Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engines.for_reading(engine)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with translated(), self._reader.connect() as connection:
                yield connection
        except LostRace as error:
            # A migration holds the table.
            raise HostError("the database does not answer", field=FIELD, detail=str(error)) from error

    def _write(self, work: Callable[[Connection], _Result]) -> _Result:
        """``work`` in a transaction of its own, again when another one was in its way; HostError if one always is.

        Not StaleError: nothing says that the record has moved on, and a compute would destroy a guest for that.
        HostError also when the database is lost meanwhile: whether it was done is not known then.
        """
        lost = LostRace()
        began = time.monotonic()
        for attempt in range(_ATTEMPTS):
            if attempt and time.monotonic() - began > _SECONDS:
                break
            if attempt:
                time.sleep(random.uniform(0, min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)))  # noqa: S311 - no secret
            try:
                with translated(), self._engine.begin() as connection:
                    engines.begin_writing(connection)
                    return work(connection)
            except LostRace as error:
                lost = error
        raise HostError("too many want to write the same at once", field=FIELD, detail=str(lost)) from lost

    def _add(self, table: Table, clash: InjectorError, **row: Any) -> None:
        try:
            self._write(lambda connection: connection.execute(insert(table), row))
        except IntegrityError as error:
            raise clash from error

    def _one(self, table: Table, missing: InjectorError, **key: Any) -> Any:
        with self._reading() as connection:
            text = connection.execute(documents(table, *key), key).scalar()
        if text is None:
            raise missing
        return wire.from_text(text)

    def _all(self, table: Table, **key: Any) -> tuple[Any, ...]:
        with self._reading() as connection:
            rows = connection.execute(documents(table, *key), key).scalars()
            return tuple(wire.from_text(text) for text in rows)

    def _remove(self, table: Table, missing: InjectorError, **key: Any) -> None:
        removed = delete(table).filter_by(**key)
        if self._write(lambda connection: connection.execute(removed).rowcount) == 0:
            raise missing
