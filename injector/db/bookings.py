"""What instances take of their hosts' room, kept as sums on the hosts: compared and set in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Double, and_, bindparam, case, cast, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from injector.db import tables
from injector.errors import NoRoom
from injector.model.host import Usage
from injector.model.instance import Instance

_HOSTS = tables.hosts.c
_NOTHING = Usage()


def booking(instance: Instance) -> Usage:
    """What an instance takes of its host as long as it holds its claims."""
    return _NOTHING.plus(instance.need) if instance.holds_claims else _NOTHING


def load(used_ram: ColumnElement[int]) -> ColumnElement[Any]:
    """As ``HostRecord.load`` has it, to the last bit: candidates go on after one by it."""
    return cast(used_ram, Double) / cast(case((_HOSTS.room_ram > 1, _HOSTS.room_ram), else_=1), Double)


def _fits(used: ColumnElement[int], room: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """Whoever takes no more of something is not refused because of it, though there be too little already."""
    more = bindparam(name, type_=used.type)
    return or_(more <= 0, used + more <= room)


_BOOK = (
    update(tables.hosts)
    .where(
        and_(
            _HOSTS.name == bindparam("host"),
            _fits(_HOSTS.used_vcpus, _HOSTS.room_vcpus, "vcpus"),
            _fits(_HOSTS.used_ram, _HOSTS.room_ram, "ram"),
            _fits(_HOSTS.used_disk, _HOSTS.room_disk, "disk"),
        )
    )
    # The load first: MariaDB sets one column after the other, and what comes later sees the new values.
    .ordered_values(
        (_HOSTS.load, load(_HOSTS.used_ram + bindparam("ram", type_=_HOSTS.used_ram.type))),
        (_HOSTS.used_guests, _HOSTS.used_guests + bindparam("guests", type_=_HOSTS.used_guests.type)),
        (_HOSTS.used_vcpus, _HOSTS.used_vcpus + bindparam("vcpus", type_=_HOSTS.used_vcpus.type)),
        (_HOSTS.used_ram, _HOSTS.used_ram + bindparam("ram", type_=_HOSTS.used_ram.type)),
        (_HOSTS.used_disk, _HOSTS.used_disk + bindparam("disk", type_=_HOSTS.used_disk.type)),
    )
)
_IS_THERE = select(_HOSTS.name).where(_HOSTS.name == bindparam("host"))


def book(connection: Connection, moves: Iterable[tuple[str | None, Usage]]) -> None:
    """Take and give back, summed up by host; NoRoom when one has not as much left as is taken of it.

    Last in a transaction, and the hosts in the order of their names: their rows are what all boots meet at, and are
    held until its end. A host that has no row promises nothing.
    """
    sums: dict[str, Usage] = {}
    for host, move in moves:
        if host is not None:
            sums[host] = sums.get(host, _NOTHING) + move
    for host, move in sorted(sums.items(), key=lambda item: item[0]):
        if move == _NOTHING:
            continue
        values = {"host": host, "guests": move.guests, "vcpus": move.vcpus, "ram": move.ram, "disk": move.disk}
        if connection.execute(_BOOK, values).rowcount == 0 and connection.execute(_IS_THERE, {"host": host}).first():
            raise NoRoom("the host has no room any more", detail=host)


def recount(connection: Connection, host: str) -> bool:
    """Sum up anew what the instances of a host take; whether that was another sum than the host had.

    In a transaction that holds the host's row: whoever adds an instance meanwhile waits with its booking.
    """
    instances = tables.instances.c
    sums = select(
        *(func.coalesce(func.sum(column), 0) for column in (instances.guests, instances.vcpus, instances.ram)),
        func.coalesce(func.sum(instances.disk), 0),
    ).where(instances.host == host, instances.guests > 0)
    guests, vcpus, ram, disk = map(int, connection.execute(sums).one())
    recounted = {"used_guests": guests, "used_vcpus": vcpus, "used_ram": ram, "used_disk": disk}
    row = tables.hosts.c
    known = connection.execute(select(*(row[name] for name in recounted)).where(row.name == host)).one()
    if tuple(known) == tuple(recounted.values()):
        return False
    connection.execute(update(tables.hosts).where(row.name == host).values(**recounted))
    connection.execute(update(tables.hosts).where(row.name == host).values(load=load(row.used_ram)))
    return True
