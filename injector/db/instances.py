"""Instances: read in pages, added with all that they claim, saved by compare-and-set."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, bindparam, delete, false, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from injector import wire
from injector.db import claims, payloads, tables, tokens
from injector.db.bookings import book, booking
from injector.db.clock import epoch
from injector.db.payloads import GenerationChange
from injector.db.transactions import Transactions, documents
from injector.errors import Conflict, HostError, InjectorError, NotFound, StaleError
from injector.model.boot import ClientToken
from injector.model.host import Usage
from injector.model.instance import WORKING, Instance, State
from injector.model.secret import Sealed

_SAVE_ATTEMPTS = 20
_REMEMBERED = 256

_TABLE = tables.instances
_ROW = tables.instances.c
_HOST = tables.hosts.c

# Built once, see ``transactions``.
_INSERT = insert(_TABLE).values(touched=epoch())
_SAVE = (
    update(_TABLE)
    .where(_ROW.id == bindparam("seen_id"), _ROW.revision == bindparam("seen_revision"))
    .values(touched=epoch())
)

Decide = Callable[[Instance], Instance]
_Keep = Callable[[Connection, Instance], None]
"""What is written with the record, once it is known to be saved."""


class InstanceStore(Transactions):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._written = _Written()

    def instance(self, instance_id: str) -> Instance:
        """NotFound also for a deleted one, as the Compute API has it."""
        missing = NotFound(f"Instance {instance_id} could not be found.", field="server")
        found: Instance = self._one(_TABLE, missing, id=instance_id)
        if found.state is State.DELETED:
            raise missing
        return found

    def recorded(self, instance_ids: Collection[str]) -> tuple[Instance, ...]:
        """Those that are on the record, the deleted ones too, in the order asked for."""
        with self._reading() as connection:
            return _recorded(connection, instance_ids)

    def instances(
        self,
        project_id: str | None = None,
        *,
        name: str | None = None,
        states: frozenset[State] | None = None,
        host: str | None = None,
        silent_for: float | None = None,
        deleted: bool = False,
        limit: int | None = None,
        marker: str | None = None,
    ) -> tuple[Instance, ...]:
        """Newest first; ``marker`` is the id of the last one already seen (NotFound when there is no such).

        ``silent_for``: of hosts that were not heard for longer than so many seconds.
        """
        query = select(_ROW.created_at, _ROW.id, _ROW.document).order_by(_ROW.created_at.desc(), _ROW.id.desc())
        for column, value in ((_ROW.project_id, project_id), (_ROW.name, name), (_ROW.host, host)):
            query = query if value is None else query.where(column == value)
        if silent_for is not None:
            query = query.where(_ROW.host.in_(select(_HOST.name).where(_HOST.heard < epoch() - silent_for)))
        query = query if limit is None else query.limit(limit)
        with self._reading() as connection:
            if marker is not None:
                query = _behind(connection, query, marker)
            parts = (connection.execute(query.where(part)).all() for part in _parts(states, deleted))
            rows = sorted(itertools.chain.from_iterable(parts), reverse=True)
        return tuple(wire.from_text(row.document) for row in rows[:limit])

    def silent(self, states: Collection[State], seconds: float, limit: int = 1000) -> tuple[Instance, ...]:
        """Those in these states that were not written for so long, by the database's clock; the longest first."""
        query = select(_ROW.document).where(
            _ROW.state.in_([state.value for state in states]), _ROW.touched < epoch() - seconds
        )
        return self._read(query.order_by(_ROW.touched).limit(limit))

    def on_hosts(self, names: Collection[str], states: Collection[State]) -> tuple[Instance, ...]:
        """Those in these states whose host is one of these."""
        query = select(_ROW.document).where(_ROW.host.in_(sorted(names)))
        query = query.where(_ROW.state.in_([state.value for state in states]))
        if State.DELETED not in states:
            query = query.where(_ROW.gone == false())
        return self._read(query.order_by(_ROW.created_at, _ROW.id))

    def unsettled(self, silent_for: float) -> tuple[int, int]:
        """How many are being worked on, and how many others are of hosts not heard for longer than so many seconds."""
        working = _ROW.state.in_([state.value for state in WORKING])
        silent = _ROW.host.in_(select(_HOST.name).where(_HOST.heard < epoch() - silent_for))
        query = select(func.count()).where(_ROW.gone == false())
        with self._reading() as connection:
            worked_on = connection.execute(query.where(working)).scalar_one()
            return worked_on, connection.execute(query.where(~working & silent)).scalar_one()

    def usage(self) -> Mapping[str, Usage]:
        """What each host has promised to the instances it cares for."""
        columns = (_ROW.vcpus, _ROW.ram, _ROW.disk)
        query = select(_ROW.host, func.count(), *(func.sum(column) for column in columns)).group_by(_ROW.host)
        with self._reading() as connection:
            rows = connection.execute(query.where(_ROW.host.is_not(None), _ROW.gone == false()))
            return {host: Usage(*map(int, numbers)) for host, *numbers in rows}

    def instances_of_token(self, project_id: str, token: str) -> tuple[str, tuple[Instance, ...]] | None:
        """What was made under a client token and is still on the record, and the digest of what had been asked for."""
        with self._reading() as connection:
            known = tokens.known_token(connection, project_id, token)
            return None if known is None else (known[0], _recorded(connection, known[1]))

    def add_instances(self, instances: tuple[Instance, ...], token: ClientToken | None = None) -> tuple[Instance, ...]:
        """All of them with their claims and their hosts' room, or none; what is on the record then.

        That is what was recorded earlier when these ids, or this token, are known already: the same message has come
        again, and nothing is added. Conflict when the token is known for another request. StaleError when somebody
        else has claimed the same meanwhile, NoRoom when it is a host's room.
        """

        def add(connection: Connection) -> None:
            if token is not None:
                tokens.add_token(connection, token, [instance.id for instance in instances])
            for instance in instances:
                connection.execute(_INSERT, _values(instance))
                if instance.payload is not None:
                    payloads.add_payload(connection, instance.id, instance.payload)
                claims.claim(connection, instance)
            book(connection, ((instance.host, booking(instance)) for instance in instances))

        try:
            self._write(add)
        except IntegrityError as error:
            earlier = self.added_earlier([instance.id for instance in instances], token)
            if earlier is None:
                raise StaleError("an address, port or network was claimed by another request meanwhile") from error
            return earlier
        added = tuple(replace(instance, payload=None) for instance in instances)
        for instance in added:
            self._written.put(instance)
        return added

    def added_earlier(self, ids: Collection[str], token: ClientToken | None) -> tuple[Instance, ...] | None:
        """What is on the record under a token, or else under these ids; None when nothing is.

        Conflict when the token is known for another request.
        """
        if token is not None:
            known = self.instances_of_token(token.project_id, token.token)
            if known is not None and known[0] != token.digest:
                raise Conflict("the client token was used for another request", field="client_token")
            if known is not None:
                return known[1]
        return self.recorded(ids) or None

    def change(
        self,
        instance_id: str,
        decide: Decide,
        change: GenerationChange | None = None,
        *,
        payload: Sealed | None = None,
    ) -> Instance:
        """Save what ``decide`` makes of the record, provided the record is still what ``decide`` saw.

        ``decide`` may be called again when somebody else was quicker, so it must be pure; the same value back means
        nothing is saved. Claims follow the record: they are let go with it, and made again when forwards moved. So does
        the room that it takes of its host; NoRoom when another host, or its own for a larger flavor, has none left.
        ``change`` is made with what is saved, and ``payload`` takes the place of the one that there was.
        """

        def keep(connection: Connection, after: Instance) -> None:
            if payload is not None:
                payloads.keep_payload(connection, instance_id, payload)
            if change is not None:
                payloads.keep_generations(connection, after, change)

        saved = self._change_unread(instance_id, decide, keep)
        for _ in range(_SAVE_ATTEMPTS):
            if saved is not None:
                break
            saved = self._write(lambda connection: _change(connection, instance_id, decide, keep))
        if saved is None:
            raise HostError(f"instance {instance_id} changes faster than it can be saved")
        if saved.state in WORKING:
            self._written.put(saved)
        return saved

    def _change_unread(self, instance_id: str, decide: Decide, keep: _Keep) -> Instance | None:
        """Save on the strength of what was last written here, which spares a boot half of its statements.

        None when that cannot be: the record may have moved on, so only what was read may refuse.
        """
        before = self._written.pop(instance_id)
        if before is None:
            return None
        try:
            after = decide(before)
        except InjectorError:
            return None
        if after == before:
            return None
        return self._write(lambda connection: _save(connection, before, after, keep))

    def purge(self, older_than: float, limit: int) -> int:
        """Remove the records of instances that were deleted longer ago than this, in seconds; how many it were.

        At most ``limit`` of them, and as many client tokens of that age: a create that is repeated later is a new one.
        """

        def work(connection: Connection) -> int:
            old = select(_ROW.id).where(_ROW.state == State.DELETED.value, _ROW.touched < epoch() - older_than)
            ids = connection.execute(old.limit(limit)).scalars().all()
            tokens.purge_tokens(connection, older_than, limit)
            if not ids:
                return 0
            return connection.execute(delete(_TABLE).where(_ROW.id.in_(ids))).rowcount

        return self._write(work)

    def _read(self, query: Select[Any]) -> tuple[Instance, ...]:
        with self._reading() as connection:
            return tuple(wire.from_text(text) for text in connection.execute(query).scalars())


class _Written:
    """The records last written here of instances in the middle of something; no more of them than are of use.

    One that another dispatcher goes on with is never asked for again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: OrderedDict[str, Instance] = OrderedDict()

    def put(self, instance: Instance) -> None:
        with self._lock:
            self._records[instance.id] = instance
            self._records.move_to_end(instance.id)
            if len(self._records) > _REMEMBERED:
                self._records.popitem(last=False)

    def pop(self, instance_id: str) -> Instance | None:
        with self._lock:
            return self._records.pop(instance_id, None)


def _recorded(connection: Connection, instance_ids: Collection[str]) -> tuple[Instance, ...]:
    rows = connection.execute(select(_ROW.id, _ROW.document).where(_ROW.id.in_(set(instance_ids)))).all()
    found = {row.id: wire.from_text(row.document) for row in rows}
    return tuple(found[instance_id] for instance_id in instance_ids if instance_id in found)


def _parts(states: Collection[State] | None, deleted: bool) -> Iterator[ColumnElement[bool]]:
    """Each picks rows that lie together in an index and in order there, and is read no further than to the limit."""
    if states is None:
        yield _ROW.gone == false()
        if deleted:
            yield _ROW.gone == true()
        return
    for state in states:
        if state is State.DELETED and deleted:
            yield and_(_ROW.state == state.value, _ROW.gone == true())
        elif state is not State.DELETED:
            yield and_(_ROW.state == state.value, _ROW.gone == false())


def _behind(connection: Connection, query: Select[Any], marker: str) -> Select[Any]:
    seen = connection.execute(select(_ROW.created_at, _ROW.id).where(_ROW.id == marker)).first()
    if seen is None:
        raise NotFound(f"marker [{marker}] not found", field="marker")
    # Not as a pair, which MariaDB would not look up in the index.
    older = (_ROW.created_at < seen.created_at) | (_ROW.id < seen.id)
    return query.where(_ROW.created_at <= seen.created_at, older)


def _change(connection: Connection, instance_id: str, decide: Decide, keep: _Keep) -> Instance | None:
    text = connection.execute(documents(_TABLE, "id"), {"id": instance_id}).scalar()
    if text is None:
        raise NotFound(f"Instance {instance_id} could not be found.", field="server")
    before: Instance = wire.from_text(text)
    after = decide(before)
    return before if after == before else _save(connection, before, after, keep)


def _save(connection: Connection, before: Instance, after: Instance, keep: _Keep) -> Instance | None:
    """The record as it is now, or None when it no longer was as ``before`` has it."""
    after = replace(after, revision=before.revision + 1, updated_at=datetime.now(UTC))
    seen = {"seen_id": before.id, "seen_revision": before.revision}
    if connection.execute(_SAVE, _values(after) | seen).rowcount == 0:
        return None
    if after.state is State.DELETED:
        payloads.forget(connection, after.id)
    claims.follow(connection, before, after)
    keep(connection, after)
    book(connection, ((before.host, -booking(before)), (after.host, booking(after))))
    return after


def _values(instance: Instance) -> dict[str, Any]:
    taken = booking(instance)
    return {
        "id": instance.id,
        "project_id": instance.project_id,
        "name": instance.name,
        "state": instance.state.value,
        "host": instance.host,
        "guests": taken.guests,
        "vcpus": taken.vcpus,
        "ram": taken.ram,
        "disk": taken.disk,
        "created_at": instance.created_at.isoformat(),
        "updated_at": instance.updated_at.isoformat(),
        "gone": instance.state is State.DELETED,
        "revision": instance.revision,
        "document": wire.to_text(instance if instance.payload is None else replace(instance, payload=None)),
    }
