"""What items are called in what people read: refusals, receipts, differences."""

from __future__ import annotations

from injector.model.hostile import one_line
from injector.model.payload import ItemKind

ROOT_PASSWORD = "root_password"
"""The name of a receipt's line for the hash; the password itself (``admin_pass``) has a line of its own, if told."""


def describe(kind: ItemKind, name: str) -> str:
    """An item in words for people, harmless to print."""
    name = one_line(name, 255)
    match kind:
        case ItemKind.KEY:
            return f"key '{name}'"
        case ItemKind.FILE:
            return f"file '{name}'"
        case ItemKind.USER_DATA:
            return "user-data"
        case ItemKind.NETWORK:
            return "the static network addresses"
        case ItemKind.PASSWORD:
            return "the password for root" if name == ROOT_PASSWORD else "the password"
        case ItemKind.DEVICES:
            return "the tags of the devices"
        case _:
            return kind.value
