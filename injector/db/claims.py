"""What instances claim in the networks: their cards, their addresses and their hosts' ports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from injector.db import tables
from injector.db.transactions import Transactions
from injector.errors import StaleError
from injector.model.instance import Instance


@dataclass(frozen=True, slots=True)
class Claims:
    """What is taken: addresses by network id, forward ports by host."""

    addresses: Mapping[str, frozenset[str]]
    forwards: Mapping[str, frozenset[int]]


class ClaimStore(Transactions):
    def claims(self, networks: Collection[str] | None = None, hosts: Collection[str] | None = None) -> Claims:
        """Of these networks (by id) and these hosts alone; None: of all."""
        addresses = select(tables.addresses.c.network_id, tables.addresses.c.ip)
        if networks is not None:
            addresses = addresses.where(tables.addresses.c.network_id.in_(set(networks)))
        forwards = select(tables.forwards.c.host, tables.forwards.c.port)
        if hosts is not None:
            forwards = forwards.where(tables.forwards.c.host.in_(set(hosts)))
        taken: dict[str, set[str]] = {}
        ports: dict[str, set[int]] = {}
        with self._reading() as connection:
            if networks is None or networks:
                for network_id, ip in connection.execute(addresses):
                    taken.setdefault(network_id, set()).add(ip)
            if hosts is None or hosts:
                for host, port in connection.execute(forwards):
                    ports.setdefault(host, set()).add(port)
        return Claims(
            {network: frozenset(ips) for network, ips in taken.items()},
            {host: frozenset(numbers) for host, numbers in ports.items()},
        )


def claim(connection: Connection, instance: Instance) -> None:
    """IntegrityError when somebody else has it."""
    for nic in instance.nics:
        key = {"instance_id": instance.id, "network_id": nic.network.id}
        connection.execute(insert(tables.ports).values(mac=nic.mac, **key))
        for address in nic.addresses:
            if address.ip is not None:
                connection.execute(insert(tables.addresses).values(ip=address.ip, **key))
    for forward in instance.forwards:
        connection.execute(
            insert(tables.forwards).values(host=instance.host, port=forward.host_port, instance_id=instance.id)
        )


def follow(connection: Connection, before: Instance, after: Instance) -> None:
    """Claims go with the record, and are made again when it moved; StaleError when somebody else has them by now."""
    moved = (before.host, before.nics, before.forwards) != (after.host, after.nics, after.forwards)
    if not moved and before.holds_claims == after.holds_claims:
        return
    for table in (tables.forwards, tables.addresses, tables.ports):
        connection.execute(delete(table).filter_by(instance_id=after.id))
    if after.holds_claims:
        try:
            claim(connection, after)
        except IntegrityError as error:
            raise StaleError("an address or port of the instance is somebody else's by now") from error
