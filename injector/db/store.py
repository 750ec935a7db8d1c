"""The store: frozen values in and out, each method one transaction, instances saved by compare-and-set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from injector import wire
from injector.db import engine as engines
from injector.db import tables
from injector.errors import Conflict, HostError, InjectorError, NoSpace, NotFound, OverQuota, StaleError
from injector.model.facts import ImageFacts
from injector.model.flavor import Flavor
from injector.model.generation import Generation, kept
from injector.model.host import HostFacts, Usage
from injector.model.image import Image
from injector.model.instance import WORKING, Instance, State
from injector.model.keypair import KeyPair
from injector.model.network import Network
from injector.model.secret import Sealed

_SAVE_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Claims:
    """What is taken: addresses by network id, forward ports by host."""

    addresses: Mapping[str, frozenset[str]]
    forwards: Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class GenerationChange:
    """``made`` is kept; of all others only the newest go on being, ``keep`` in all (None: every one)."""

    made: Generation
    keep: int | None = None


def open_store(connection: str) -> Store:
    """The store behind an SQLAlchemy URL, its tables brought to the newest migration."""
    engine = engines.open_engine(connection)
    engines.migrate(engine)
    return Store(engine)


# Statements that every boot runs are built once: building one costs more than running it.


@functools.cache
def _documents(table: Table, *keys: str) -> Select[Any]:
    """The documents of the rows with these keys, in the order of the table's primary key."""
    found = select(table.c.document).order_by(*table.primary_key)
    return found.where(*(table.c[key] == bindparam(key) for key in keys))


_INSERT_INSTANCE = insert(tables.instances)
_SAVE_INSTANCE = (
    update(tables.instances)
    .where(tables.instances.c.id == bindparam("seen_id"))
    .where(tables.instances.c.revision == bindparam("seen_revision"))
)


@contextmanager
def _translated() -> Iterator[None]:
    """The database's own failures as errors of the house; a clash of rows (IntegrityError) means something here."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        text = str(error.orig)
        if "full" in text or "No space left" in text:
            raise NoSpace("the database's disk is full", field="[database] connection", detail=text) from error
        raise HostError("the database does not answer", field="[database] connection", detail=text) from error


class Store:
    """Safe to use from several threads; on SQLite writers queue, on servers a lost race is tried again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._written: dict[str, Instance] = {}

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _translated(), self._engine.begin() as connection:
            engines.begin_writing(connection)
            yield connection

    def _add(self, table: Table, clash: InjectorError, **row: Any) -> None:
        try:
            with self._writing() as connection:
                connection.execute(insert(table), row)
        except IntegrityError as error:
            raise clash from error

    def _one(self, table: Table, missing: InjectorError, **key: Any) -> Any:
        with self._reading() as connection:
            text = connection.execute(_documents(table, *key), key).scalar()
        if text is None:
            raise missing
        return wire.from_text(text)

    def _all(self, table: Table, **key: Any) -> tuple[Any, ...]:
        with self._reading() as connection:
            rows = connection.execute(_documents(table, *key), key).scalars()
            return tuple(wire.from_text(text) for text in rows)

    def _remove(self, table: Table, missing: InjectorError, **key: Any) -> None:
        with self._writing() as connection:
            if connection.execute(delete(table).filter_by(**key)).rowcount == 0:
                raise missing

    # key pairs

    def add_keypair(self, keypair: KeyPair, limit: int) -> None:
        """Conflict when the user has one of that name, OverQuota when ``limit`` (-1: none) is reached."""
        table, owner = tables.keypairs, keypair.user_id
        with self._writing() as connection:
            names = set(connection.execute(select(table.c.name).filter_by(user_id=owner)).scalars())
            if keypair.name in names:
                raise Conflict(f"Key pair '{keypair.name}' already exists.", field="name")
            if 0 <= limit <= len(names):
                raise OverQuota("Quota exceeded, too many key pairs.", field="key_pairs")
            connection.execute(insert(table).values(user_id=owner, name=keypair.name, document=wire.to_text(keypair)))

    def keypair(self, user_id: str, name: str) -> KeyPair:
        missing = NotFound(f"Keypair {name} not found for user {user_id}", field="key_name")
        found: KeyPair = self._one(tables.keypairs, missing, user_id=user_id, name=name)
        return found

    def keypairs(self, user_id: str) -> tuple[KeyPair, ...]:
        return self._all(tables.keypairs, user_id=user_id)

    def delete_keypair(self, user_id: str, name: str) -> None:
        missing = NotFound(f"Keypair {name} not found for user {user_id}", field="name")
        self._remove(tables.keypairs, missing, user_id=user_id, name=name)

    # flavors

    def add_flavor(self, flavor: Flavor) -> None:
        clash = Conflict(f"Flavor with name {flavor.name} or ID {flavor.id} already exists.", field="flavor")
        self._add(tables.flavors, clash, id=flavor.id, name=flavor.name, document=wire.to_text(flavor))

    def flavor(self, flavor_id: str) -> Flavor:
        missing = NotFound(f"Flavor {flavor_id} could not be found.", field="flavor")
        found: Flavor = self._one(tables.flavors, missing, id=flavor_id)
        return found

    def flavors(self) -> tuple[Flavor, ...]:
        return self._all(tables.flavors)

    def delete_flavor(self, flavor_id: str) -> None:
        self._remove(tables.flavors, NotFound(f"Flavor {flavor_id} could not be found.", field="flavor"), id=flavor_id)

    # images

    def add_image(self, image: Image) -> None:
        clash = Conflict(f"Image {image.id} already exists.", field="id")
        row = {"id": image.id, "owner": image.owner, "created_at": image.created_at.isoformat()}
        self._add(tables.images, clash, **row, document=wire.to_text(image))

    def image(self, image_id: str) -> Image:
        missing = NotFound(f"Image {image_id} could not be found.", field="image")
        found: Image = self._one(tables.images, missing, id=image_id)
        return found

    def images(self, owner: str) -> tuple[Image, ...]:
        return self._all(tables.images, owner=owner)

    def save_image(self, image: Image) -> None:
        with self._writing() as connection:
            saved = connection.execute(
                update(tables.images).filter_by(id=image.id).values(document=wire.to_text(image))
            )
            if saved.rowcount == 0:
                raise NotFound(f"Image {image.id} could not be found.", field="image")

    def delete_image(self, image_id: str) -> None:
        self._remove(tables.images, NotFound(f"Image {image_id} could not be found.", field="image"), id=image_id)

    def save_image_facts(self, sha256: str, facts: ImageFacts) -> None:
        """What hosts find out adds up: it is not forgotten because another host cannot look as deep."""
        table, row = tables.image_facts, {"sha256": sha256, "document": wire.to_text(facts)}
        # Two hosts that tell at once of the same new image: the other one's word is as good, and comes again.
        with suppress(IntegrityError), self._writing() as connection:
            known = connection.execute(_documents(table, "sha256"), {"sha256": sha256}).scalar()
            if known is None:
                connection.execute(insert(table).values(**row))
            elif facts.tells_more_than(wire.from_text(known)):
                connection.execute(update(table).filter_by(sha256=sha256).values(**row))

    def image_facts(self, sha256: str) -> ImageFacts | None:
        """None until a host has looked into an image with these bytes."""
        with self._reading() as connection:
            text = connection.execute(_documents(tables.image_facts, "sha256"), {"sha256": sha256}).scalar()
        return None if text is None else wire.from_text(text)

    def facts_by_digest(self, digests: Collection[str]) -> Mapping[str, ImageFacts]:
        """Of the images with these bytes, those that a host has looked into."""
        table = tables.image_facts
        with self._reading() as connection:
            rows = connection.execute(select(table).where(table.c.sha256.in_(set(digests))))
            return {sha256: wire.from_text(text) for sha256, text in rows}

    # networks

    def add_network(self, network: Network) -> None:
        clash = Conflict(f"Network {network.id} already exists.", field="id")
        row = {"id": network.id, "project_id": network.project_id, "name": network.name}
        self._add(tables.networks, clash, **row, document=wire.to_text(network))

    def network(self, network_id: str) -> Network:
        missing = NotFound(f"Network {network_id} could not be found.", field="network")
        found: Network = self._one(tables.networks, missing, id=network_id)
        return found

    def networks(self, project_id: str) -> tuple[Network, ...]:
        return self._all(tables.networks, project_id=project_id)

    def delete_network(self, network_id: str) -> None:
        """Conflict while a guest is plugged into it."""
        try:
            missing = NotFound(f"Network {network_id} could not be found.", field="network")
            self._remove(tables.networks, missing, id=network_id)
        except IntegrityError as error:
            raise Conflict(f"Network {network_id} is in use by a server.", field="network") from error

    # hosts

    def save_host(self, facts: HostFacts) -> None:
        row = {"name": facts.name, "document": wire.to_text(facts)}
        with self._writing() as connection:
            if connection.execute(update(tables.hosts).filter_by(name=facts.name).values(**row)).rowcount == 0:
                connection.execute(insert(tables.hosts).values(**row))

    def hosts(self) -> tuple[HostFacts, ...]:
        return self._all(tables.hosts)

    # instances

    def instance(self, instance_id: str) -> Instance:
        """NotFound also for a deleted one, as the Compute API has it."""
        missing = NotFound(f"Instance {instance_id} could not be found.", field="server")
        found: Instance = self._one(tables.instances, missing, id=instance_id)
        if found.state is State.DELETED:
            raise missing
        return found

    def instances(
        self,
        project_id: str | None = None,
        *,
        name: str | None = None,
        states: frozenset[State] | None = None,
        host: str | None = None,
        deleted: bool = False,
        limit: int | None = None,
        marker: str | None = None,
    ) -> tuple[Instance, ...]:
        """Newest first; ``marker`` is the id of the last one already seen (NotFound when there is no such)."""
        table = tables.instances
        query = select(table.c.document).order_by(table.c.created_at.desc(), table.c.id.desc())
        for column, value in ((table.c.project_id, project_id), (table.c.name, name), (table.c.host, host)):
            query = query if value is None else query.where(column == value)
        if states is not None:
            query = query.where(table.c.state.in_([state.value for state in states]))
        if not deleted:
            query = query.where(table.c.state != State.DELETED.value)
        with self._reading() as connection:
            if marker is not None:
                seen = connection.execute(select(table.c.created_at, table.c.id).filter_by(id=marker)).first()
                if seen is None:
                    raise NotFound(f"marker [{marker}] not found", field="marker")
                older = (table.c.created_at < seen.created_at) | (
                    (table.c.created_at == seen.created_at) & (table.c.id < seen.id)
                )
                query = query.where(older)
            rows = connection.execute(query if limit is None else query.limit(limit)).scalars()
            return tuple(wire.from_text(text) for text in rows)

    def usage(self) -> Mapping[str, Usage]:
        """What each host has promised to the instances it cares for."""
        table = tables.instances
        query = select(table.c.host, func.count(), func.sum(table.c.vcpus), func.sum(table.c.ram))
        query = query.where(table.c.host.is_not(None), table.c.state != State.DELETED.value).group_by(table.c.host)
        with self._reading() as connection:
            return {host: Usage(int(n), int(vcpus), int(ram)) for host, n, vcpus, ram in connection.execute(query)}

    def claims(self) -> Claims:
        with self._reading() as connection:
            taken: dict[str, set[str]] = {}
            for network_id, ip in connection.execute(select(tables.addresses.c.network_id, tables.addresses.c.ip)):
                taken.setdefault(network_id, set()).add(ip)
            ports: dict[str, set[int]] = {}
            for host, port in connection.execute(select(tables.forwards.c.host, tables.forwards.c.port)):
                ports.setdefault(host, set()).add(port)
        return Claims(
            {network: frozenset(ips) for network, ips in taken.items()},
            {host: frozenset(numbers) for host, numbers in ports.items()},
        )

    def add_instances(self, instances: tuple[Instance, ...]) -> None:
        """All of them with their claims, or none; StaleError when somebody else has claimed the same meanwhile."""
        try:
            with self._writing() as connection:
                for instance in instances:
                    connection.execute(_INSERT_INSTANCE, _row(instance))
                    _keep_payload(connection, instance)
                    _claim(connection, instance)
        except IntegrityError as error:
            raise StaleError("an address, port or network was claimed by another request meanwhile") from error
        self._written |= {instance.id: replace(instance, payload=None) for instance in instances}

    def payload(self, instance_id: str) -> Sealed:
        """What was sealed for an instance; kept from its creation to its deletion, apart from what changes often."""
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

    def change(
        self, instance_id: str, decide: Callable[[Instance], Instance], change: GenerationChange | None = None
    ) -> Instance:
        """Save what ``decide`` makes of the record, provided the record is still what ``decide`` saw.

        ``decide`` may be called again when somebody else was quicker, so it must be pure; the same value back means
        nothing is saved. Claims follow the record: they are let go with it, and made again when forwards moved.
        ``change`` is made with what is saved.
        """
        saved = self._change_unread(instance_id, decide, change)
        for _ in range(_SAVE_ATTEMPTS):
            if saved is not None:
                break
            with self._writing() as connection:
                text = connection.execute(_documents(tables.instances, "id"), {"id": instance_id}).scalar()
                if text is None:
                    raise NotFound(f"Instance {instance_id} could not be found.", field="server")
                before: Instance = wire.from_text(text)
                after = decide(before)
                if after == before:
                    return before
                saved = _save(connection, before, after, change)
        if saved is None:
            raise StaleError(f"instance {instance_id} changes faster than it can be saved")
        if saved.state in WORKING:
            self._written[instance_id] = saved
        return saved

    def _change_unread(
        self, instance_id: str, decide: Callable[[Instance], Instance], change: GenerationChange | None
    ) -> Instance | None:
        """Save on the strength of what was last written here, which spares a boot half of its statements.

        None when that cannot be: the record may have moved on, so only what was read may refuse.
        """
        before = self._written.pop(instance_id, None)
        if before is None:
            return None
        try:
            after = decide(before)
        except InjectorError:
            return None
        if after == before:
            return None
        with self._writing() as connection:
            return _save(connection, before, after, change)


def _save(
    connection: Connection, before: Instance, after: Instance, change: GenerationChange | None
) -> Instance | None:
    """The record as it is now, or None when it no longer was as ``before`` has it."""
    after = replace(after, revision=before.revision + 1, updated_at=datetime.now(UTC))
    seen = {"seen_id": before.id, "seen_revision": before.revision}
    if connection.execute(_SAVE_INSTANCE, _row(after) | seen).rowcount == 0:
        return None
    _follow(connection, before, after)
    if change is not None:
        _keep_generation(connection, after, change)
    return after


def _keep_generation(connection: Connection, instance: Instance, change: GenerationChange) -> None:
    table, made = tables.generations, change.made
    key = {"instance_id": instance.id, "number": made.number}
    connection.execute(delete(table).filter_by(**key))
    connection.execute(insert(table), {**key, "document": wire.to_text(made)})
    if change.keep is None:
        return
    numbers = connection.execute(select(table.c.number).filter_by(instance_id=instance.id)).scalars().all()
    for number in set(numbers) - kept(numbers, instance.generation, change.keep):
        connection.execute(delete(table).filter_by(instance_id=instance.id, number=number))


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "project_id": instance.project_id,
        "name": instance.name,
        "state": instance.state.value,
        "host": instance.host,
        "vcpus": instance.flavor.vcpus if instance.holds_claims else 0,
        "ram": instance.flavor.ram if instance.holds_claims else 0,
        "created_at": instance.created_at.isoformat(),
        "updated_at": instance.updated_at.isoformat(),
        "revision": instance.revision,
        "document": wire.to_text(instance if instance.payload is None else replace(instance, payload=None)),
    }


def _keep_payload(connection: Connection, instance: Instance) -> None:
    if instance.payload is not None:
        sealed = asdict(instance.payload)
        connection.execute(insert(tables.payloads), {"instance_id": instance.id, **sealed})


def _follow(connection: Connection, before: Instance, after: Instance) -> None:
    if after.state is State.DELETED:
        for table in (tables.payloads, tables.generations):
            connection.execute(delete(table).filter_by(instance_id=after.id))
    moved = (before.host, before.nics, before.forwards) != (after.host, after.nics, after.forwards)
    if not moved and before.holds_claims == after.holds_claims:
        return
    for table in (tables.forwards, tables.addresses, tables.ports):
        connection.execute(delete(table).filter_by(instance_id=after.id))
    if after.holds_claims:
        try:
            _claim(connection, after)
        except IntegrityError as error:
            raise StaleError("an address or port of the instance is somebody else's by now") from error


def _claim(connection: Connection, instance: Instance) -> None:
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
