"""What the api keeps for its users: key pairs, flavors, images and what was found in them, networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from injector import wire
from injector.db import tables
from injector.db.transactions import Transactions, documents
from injector.errors import Conflict, NotFound, OverQuota
from injector.model.facts import ImageFacts
from injector.model.flavor import Flavor
from injector.model.image import Image
from injector.model.keypair import KeyPair
from injector.model.network import Network


class Registry(Transactions):
    def add_keypair(self, keypair: KeyPair, limit: int) -> None:
        """Conflict when the user has one of that name, OverQuota when ``limit`` (-1: none) is reached."""
        clash = Conflict(f"Key pair '{keypair.name}' already exists.", field="name")

        def add(connection: Connection) -> None:
            table, owner = tables.keypairs, keypair.user_id
            names = set(connection.execute(select(table.c.name).filter_by(user_id=owner)).scalars())
            if keypair.name in names:
                raise clash
            if 0 <= limit <= len(names):
                raise OverQuota("Quota exceeded, too many key pairs.", field="key_pairs")
            connection.execute(insert(table).values(user_id=owner, name=keypair.name, document=wire.to_text(keypair)))

        try:
            self._write(add)
        except IntegrityError as error:
            raise clash from error

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
        changed = update(tables.images).filter_by(id=image.id).values(document=wire.to_text(image))
        if self._write(lambda connection: connection.execute(changed).rowcount) == 0:
            raise NotFound(f"Image {image.id} could not be found.", field="image")

    def delete_image(self, image_id: str) -> None:
        self._remove(tables.images, NotFound(f"Image {image_id} could not be found.", field="image"), id=image_id)

    def save_image_facts(self, sha256: str, facts: ImageFacts) -> None:
        """What hosts find out adds up: it is not forgotten because another host cannot look as deep."""
        table, row = tables.image_facts, {"sha256": sha256, "document": wire.to_text(facts)}

        def save(connection: Connection) -> None:
            held = documents(table, "sha256").with_for_update()
            known = connection.execute(held, {"sha256": sha256}).scalar()
            if known is None:
                connection.execute(insert(table).values(**row))
            elif facts.tells_more_than(wire.from_text(known)):
                connection.execute(update(table).filter_by(sha256=sha256).values(**row))

        # Two hosts that tell at once of the same new image: the other one's word is as good, and comes again.
        with suppress(IntegrityError):
            self._write(save)

    def image_facts(self, sha256: str) -> ImageFacts | None:
        """None until a host has looked into an image with these bytes."""
        with self._reading() as connection:
            text = connection.execute(documents(tables.image_facts, "sha256"), {"sha256": sha256}).scalar()
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
