"""What is to land in the guest: the items by name (for anybody to see) and their contents (sealed)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from injector.model.secret import Secret


class ItemKind(StrEnum):
    """The things that can be injected."""

    KEY = "key"
    FILE = "file"
    METADATA = "metadata"
    USER_DATA = "user_data"
    NETWORK = "network"
    PASSWORD = "password"
    HOSTNAME = "hostname"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing asked for, without its content: ``name`` is a path, a key's name, or the kind; ``size`` in bytes.

    ``required`` items end the boot when they cannot be delivered; others are left out and said to be.
    ``linux_obstacle``: why a Linux guest would not act on it, seen where the contents were in clear.
    """

    kind: ItemKind
    name: str
    size: int
    required: bool = True
    mode: int | None = None
    owner: str | None = None
    linux_obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class InjectedFile:
    """``path`` verbatim as sent; ``content`` decoded."""

    path: str
    content: Secret
    mode: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """The contents of a request, in clear: never stored or sent but sealed.

    ``random_seed``: 512 bytes drawn from the system once, when the request was accepted.
    ``user_data``: decoded. ``admin_password``: given by the caller or generated.
    """

    random_seed: Secret
    user_data: Secret | None = None
    files: tuple[InjectedFile, ...] = ()
    admin_password: Secret | None = None
