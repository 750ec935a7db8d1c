"""What is sealed: the payloads of instances and the generations of their drives, kept apart from what changes often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, delete, func, insert, select, update

from injector import wire
from injector.db import tables
from injector.db.transactions import Transactions, documents
from injector.errors import NotFound
from injector.model.generation import Generation, kept
from injector.model.instance import Instance
from injector.model.secret import Sealed


@dataclass(frozen=True, slots=True)
class GenerationChange:
    """``made`` is kept; of all others only the newest go on being, ``keep`` in all (None: every one).

    ``fresh``: all that there were go first, as when a guest is built anew.
    """

    made: Generation | None = None
    keep: int | None = None
    fresh: bool = False


class PayloadStore(Transactions):
    def payload(self, instance_id: str) -> Sealed:
        """What was sealed for an instance; kept from its creation to its deletion."""
        table = tables.payloads
        query = select(table.c.key_id, table.c.nonce, table.c.ciphertext).filter_by(instance_id=instance_id)
        with self._reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        return Sealed(row.key_id, row.nonce, row.ciphertext)

    def generations(self, instance_id: str) -> tuple[Generation, ...]:
        """Those of an instance that are kept, the oldest first."""
        return self._all(tables.generations, instance_id=instance_id)

    def sealed_under(self) -> Mapping[str, int]:
        """How many payloads and generations are sealed under each key, by its id."""
        found: Counter[str] = Counter()
        with self._reading() as connection:
            for table in (tables.payloads, tables.generations):
                query = select(table.c.key_id, func.count()).group_by(table.c.key_id)
                for key_id, count in connection.execute(query):
                    found[key_id] += count
        return found

    def resealable(self, key_id: str, limit: int) -> tuple[str, ...]:
        """The ids of ``limit`` instances of which something is sealed under another key than this."""
        found: set[str] = set()
        with self._reading() as connection:
            for table in (tables.payloads, tables.generations):
                # Not "is not": either side of it is looked up in the index, past all that is done already.
                other = (table.c.key_id < key_id) | (table.c.key_id > key_id)
                query = select(table.c.instance_id).distinct().where(other).limit(limit)
                found.update(connection.execute(query).scalars())
        return tuple(sorted(found)[:limit])

    def reseal(self, instance_id: str, again: Callable[[Sealed], Sealed]) -> None:
        """All that is sealed for an instance as ``again`` makes it, or none; ``again`` may be called more than once.

        It lets alone an instance that is gone. What ``again`` raises is passed on.
        """

        def work(connection: Connection) -> None:
            # Whoever changes the payload or the generations saves the record first, and so waits for this.
            held = select(tables.instances.c.id).filter_by(id=instance_id).with_for_update()
            if connection.execute(held).first() is None:
                return
            table = tables.payloads
            row = connection.execute(
                select(table.c.key_id, table.c.nonce, table.c.ciphertext).filter_by(instance_id=instance_id)
            ).first()
            if row is not None:
                sealed = again(Sealed(row.key_id, row.nonce, row.ciphertext))
                connection.execute(update(table).filter_by(instance_id=instance_id), asdict(sealed))
            rows = connection.execute(documents(tables.generations, "instance_id"), {"instance_id": instance_id})
            for text in rows.scalars().all():
                generation: Generation = wire.from_text(text)
                sealed = again(generation.ingredients)
                if sealed != generation.ingredients:
                    _put_generation(connection, instance_id, replace(generation, ingredients=sealed))

        self._write(work)


def keep_payload(connection: Connection, instance_id: str, payload: Sealed) -> None:
    """In place of the one that there was."""
    connection.execute(delete(tables.payloads).filter_by(instance_id=instance_id))
    add_payload(connection, instance_id, payload)


def add_payload(connection: Connection, instance_id: str, payload: Sealed) -> None:
    connection.execute(insert(tables.payloads), {"instance_id": instance_id, **asdict(payload)})


def forget(connection: Connection, instance_id: str) -> None:
    """Nothing that was sealed outlives its instance."""
    for table in (tables.payloads, tables.generations):
        connection.execute(delete(table).filter_by(instance_id=instance_id))


def keep_generations(connection: Connection, instance: Instance, change: GenerationChange) -> None:
    table = tables.generations
    if change.fresh:
        connection.execute(delete(table).filter_by(instance_id=instance.id))
    if change.made is not None:
        _put_generation(connection, instance.id, change.made)
    if change.keep is None:
        return
    numbers = connection.execute(select(table.c.number).filter_by(instance_id=instance.id)).scalars().all()
    for number in set(numbers) - kept(numbers, instance.generation, change.keep):
        connection.execute(delete(table).filter_by(instance_id=instance.id, number=number))


def _put_generation(connection: Connection, instance_id: str, generation: Generation) -> None:
    table, key = tables.generations, {"instance_id": instance_id, "number": generation.number}
    connection.execute(delete(table).filter_by(**key))
    row = {**key, "key_id": generation.ingredients.key_id, "document": wire.to_text(generation)}
    connection.execute(insert(table), row)
