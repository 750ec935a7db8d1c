"""Flavors: sizes, for everybody to see."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from injector.api import query, schemas
from injector.db import Store
from injector.errors import InvalidRequest
from injector.model.flavor import Flavor

_NO_ZERO = schemas.a_number(1)
_CREATE = schemas.Checker(
    schemas.an_object(
        {
            "name": schemas.NAME,
            "id": {"type": ["string", "integer", "null"], "minLength": 1, "maxLength": 255, "maximum": 2**31},
            "ram": _NO_ZERO,
            "vcpus": _NO_ZERO,
            "disk": schemas.a_number(0),
            "OS-FLV-EXT-DATA:ephemeral": schemas.a_number(0),
            "swap": schemas.a_number(0),
            "rxtx_factor": {"type": ["number", "string"]},
            "os-flavor-access:is_public": schemas.BOOLEAN,
            "description": {"type": ["string", "null"]},
        },
        "name",
        "ram",
        "vcpus",
        "disk",
    ),
    "flavor",
)
_NOT_OFFERED = {
    "OS-FLV-EXT-DATA:ephemeral": ("0", "ephemeral disks are not offered"),
    "swap": ("0", "swap disks are not offered"),
    "rxtx_factor": ("1", "bandwidth is not shaped"),
    "description": ("", "descriptions are not kept"),
}


class Flavors:
    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, document: object) -> Flavor:
        """Conflict for a name or id in use."""
        asked = _CREATE.check(document)
        for key, (harmless, reason) in _NOT_OFFERED.items():
            if str(asked.get(key) or harmless).removesuffix(".0") != harmless:
                raise InvalidRequest(f"{key} is refused: {reason}.", field=key)
        if not schemas.as_boolean(asked.get("os-flavor-access:is_public", True)):
            message = "os-flavor-access:is_public is refused: every flavor is for everybody."
            raise InvalidRequest(message, field="os-flavor-access:is_public")
        flavor = Flavor(
            id=_identifier(asked.get("id")),
            name=asked["name"],
            vcpus=int(asked["vcpus"]),
            ram=int(asked["ram"]),
            disk=int(asked["disk"]),
        )
        self._store.add_flavor(flavor)
        return flavor

    def find(self, parameters: Mapping[str, str]) -> tuple[Flavor, ...]:
        asked = query.flavors(parameters)
        found = [flavor for flavor in self._store.flavors() if asked.matches(flavor.name, flavor.id)]
        return query.page(found, asked, lambda flavor: flavor.id)

    def show(self, flavor_id: str) -> Flavor:
        return self._store.flavor(flavor_id)

    def delete(self, flavor_id: str) -> None:
        """Servers keep the size they were made with."""
        self._store.delete_flavor(flavor_id)


def _identifier(asked: str | int | None) -> str:
    """Nova's "auto" and null both mean: any."""
    text = "auto" if asked is None else str(asked)
    if text == "auto":
        return str(uuid.uuid4())
    if not all(character.isalnum() or character in "-_. " for character in text) or text != text.strip():
        raise InvalidRequest("Invalid input for field/attribute id: letters, digits, '.', '-', '_' only.", field="id")
    return text
