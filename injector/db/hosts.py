"""Hosts: what they said of themselves and when, the operator's word on them, and which may take another guest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, delete, false, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from injector import wire
from injector.db import tables
from injector.db.bookings import load, recount
from injector.db.clock import epoch
from injector.db.transactions import Transactions
from injector.errors import Conflict, NotFound
from injector.model.host import HostFacts, HostRecord, Room, Usage

_TABLE = tables.hosts
_ROW = tables.hosts.c


@dataclass(frozen=True, slots=True)
class Census:
    """How many hosts are known, were heard of lately, are enabled, and are both."""

    known: int
    heard: int
    enabled: int
    ready: int

    @property
    def silent(self) -> int:
        return self.known - self.heard

    @property
    def disabled(self) -> int:
        return self.known - self.enabled


class HostStore(Transactions):
    def save_host(self, facts: HostFacts, room: Room | None = None) -> None:
        """What a host says of itself, heard now; ``room`` None: all that it has.

        The operator's word on the host stays, and what it has promised.
        """
        given = room or Room(facts.vcpus, facts.memory_mib, facts.disk_gib)
        row = {
            "document": wire.to_text(facts),
            "zone": facts.availability_zone,
            "kind": wire.digest(facts.kind),
            "room_vcpus": given.vcpus,
            "room_ram": given.ram,
            "room_disk": given.disk,
        }
        known = _ROW.name == facts.name

        def save(connection: Connection) -> None:
            if connection.execute(update(_TABLE).where(known).values(heard=epoch(), **row)).rowcount == 0:
                connection.execute(insert(_TABLE).values(name=facts.name, heard=epoch(), **row))
                recount(connection, facts.name)
            else:
                connection.execute(update(_TABLE).where(known).values(load=load(_ROW.used_ram)))

        try:
            self._write(save)
        except IntegrityError:
            # It was inserted from another thread between the two statements.
            self._write(save)

    def host_alive(self, name: str) -> bool:
        """Heard now; False when no such host is known."""
        heard = update(_TABLE).where(_ROW.name == name).values(heard=epoch())
        return self._write(lambda connection: connection.execute(heard).rowcount) > 0

    def hosts(self) -> tuple[HostFacts, ...]:
        return self._all(_TABLE)

    def host_records(self, *, limit: int | None = None, marker: str | None = None) -> tuple[HostRecord, ...]:
        """By name; ``marker`` is the name of the last one already seen (NotFound when there is no such)."""
        query = _records().order_by(_ROW.name).limit(limit)
        if marker is not None:
            query = query.where(_ROW.name > marker)
            with self._reading() as connection:
                if connection.execute(select(_ROW.name).where(_ROW.name == marker)).first() is None:
                    raise NotFound(f"marker [{marker[:64]}] not found", field="marker")
        return self._records(query)

    def host_record(self, name: str) -> HostRecord:
        found = self._records(_records().where(_ROW.name == name))
        if not found:
            raise _missing(name)
        return found[0]

    def silent_hosts(self, seconds: float, among: Collection[str] | None = None) -> frozenset[str]:
        """The names of those that were not heard for longer than this; ``among`` None: of all."""
        silent = select(_ROW.name).where(_ROW.heard < epoch() - seconds)
        if among is not None:
            if not among:
                return frozenset()
            silent = silent.where(_ROW.name.in_(sorted(among)))
        return self._words(silent)

    def zones(self, alive_within: float) -> Mapping[str, bool]:
        """Whether there is a host in it that is enabled and was heard in the last ``alive_within`` seconds."""
        takes = func.max(case((and_(_ROW.enabled == true(), _ROW.heard >= epoch() - alive_within), 1), else_=0))
        with self._reading() as connection:
            rows = connection.execute(select(_ROW.zone, takes).group_by(_ROW.zone))
            return {zone: bool(one) for zone, one in rows}

    def has_hosts(self, zone: str | None = None) -> bool:
        """Whether any has reported itself; with ``zone``, in that one."""
        query = select(_ROW.name).limit(1)
        return bool(self._words(query if zone is None else query.where(_ROW.zone == zone)))

    def kinds(self) -> Mapping[str, HostFacts]:
        """Of each kind of enabled hosts what one of them has said of itself; those without a kind are left out."""
        names = select(func.min(_ROW.name)).where(_ROW.enabled == true(), _ROW.kind != "").group_by(_ROW.kind)
        with self._reading() as connection:
            rows = connection.execute(select(_ROW.kind, _ROW.document).where(_ROW.name.in_(names))).all()
        return {kind: wire.from_text(text) for kind, text in rows}

    def candidates(
        self,
        need: Room,
        *,
        zone: str | None,
        without: Collection[str],
        alive_within: float,
        after: HostRecord | None,
        limit: int,
        kinds: Collection[str] | None = None,
    ) -> tuple[HostRecord, ...]:
        """The hosts with room for one more guest, the least loaded first, then by name; ``zone`` None: of every zone.

        Enabled, heard in the last ``alive_within`` seconds, none of ``without``; those that come behind ``after``. The
        first ``limit`` of them: as a rule no more are read, however many there are. ``kinds`` None: of every kind;
        else of these, and those of which it is not known.
        """
        query = _records().where(_ROW.enabled == true(), _ROW.heard >= epoch() - alive_within)
        if zone is not None:
            query = query.where(_ROW.zone == zone)
        if without:
            query = query.where(_ROW.name.not_in(set(without)))
        for used, room, wanted in (
            (_ROW.used_vcpus, _ROW.room_vcpus, need.vcpus),
            (_ROW.used_ram, _ROW.room_ram, need.ram),
            (_ROW.used_disk, _ROW.room_disk, need.disk),
        ):
            query = query.where(used + wanted <= room) if wanted > 0 else query
        if after is not None:
            # Not as a pair, which MariaDB would not look up in the index.
            later = (_ROW.load > after.load) | (_ROW.name > after.facts.name)
            query = query.where(_ROW.load >= after.load, later)
        query = query.order_by(_ROW.load, _ROW.name).limit(limit)
        if kinds is None:
            return self._records(query)
        # Kind by kind: each is read in its order from the index, and no further than to the limit.
        found = [host for kind in {"", *kinds} for host in self._records(query.where(_ROW.kind == kind))]
        return tuple(sorted(found, key=lambda host: (host.load, host.facts.name))[:limit])

    def census(self, zone: str | None, alive_within: float) -> Census:
        """How many there are of each kind in a zone, or in all; for whoever asks why there is no candidate."""
        enabled, heard = _ROW.enabled == true(), _ROW.heard >= epoch() - alive_within
        kinds = (heard, enabled, and_(heard, enabled))
        query = select(func.count(), *(func.coalesce(func.sum(case((kind, 1), else_=0)), 0) for kind in kinds))
        query = query if zone is None else query.where(_ROW.zone == zone)
        with self._reading() as connection:
            known, of_heard, of_enabled, ready = map(int, connection.execute(query).one())
        return Census(known, of_heard, of_enabled, ready)

    def enable_host(self, name: str, enabled: bool, reason: str | None) -> HostRecord:
        """The operator's word: a host that is not enabled is given no guests; ``reason`` says why."""
        changed = update(_TABLE).where(_ROW.name == name).values(enabled=enabled, reason=None if enabled else reason)
        if self._write(lambda connection: connection.execute(changed).rowcount) == 0:
            raise _missing(name)
        return self.host_record(name)

    def forget_host(self, name: str) -> None:
        """Conflict as long as an instance that is not deleted names it."""

        def forget(connection: Connection) -> None:
            # Held, so that nobody books meanwhile; and looked for instances after that, not before.
            if connection.execute(select(_ROW.name).where(_ROW.name == name).with_for_update()).first() is None:
                raise _missing(name)
            instances = tables.instances.c
            there = select(instances.id).where(instances.host == name, instances.gone == false()).limit(1)
            if connection.execute(there).first() is not None:
                raise Conflict(f"Host {name} has servers.", field="host")
            connection.execute(delete(_TABLE).where(_ROW.name == name))

        self._write(forget)

    def repair_usage(self) -> tuple[str, ...]:
        """Sum up anew what every host has promised; the names of those of which another sum was on the record."""
        with self._reading() as connection:
            names = connection.execute(select(_ROW.name).order_by(_ROW.name)).scalars().all()
        return tuple(name for name in names if self._write(_repair(name)))

    def _words(self, query: Select[Any]) -> frozenset[str]:
        with self._reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def _records(self, query: Select[Any]) -> tuple[HostRecord, ...]:
        with self._reading() as connection:
            return tuple(_record(row) for row in connection.execute(query))


def _missing(name: str) -> NotFound:
    return NotFound(f"Host {name} could not be found.", field="host")


def _repair(name: str) -> Callable[[Connection], bool]:
    def repair(connection: Connection) -> bool:
        held = connection.execute(select(_ROW.name).where(_ROW.name == name).with_for_update()).first()
        return held is not None and recount(connection, name)

    return repair


def _records() -> Select[Any]:
    used = (_ROW.used_guests, _ROW.used_vcpus, _ROW.used_ram, _ROW.used_disk)
    room = (_ROW.room_vcpus, _ROW.room_ram, _ROW.room_disk)
    return select(_ROW.document, *used, *room, _ROW.enabled, _ROW.reason, (epoch() - _ROW.heard).label("silent"))


def _record(row: Row[Any]) -> HostRecord:
    return HostRecord(
        facts=wire.from_text(row.document),
        usage=Usage(row.used_guests, row.used_vcpus, row.used_ram, row.used_disk),
        room=Room(row.room_vcpus, row.room_ram, row.room_disk),
        enabled=row.enabled,
        disabled_reason=row.reason,
        silent=float(row.silent),
    )
