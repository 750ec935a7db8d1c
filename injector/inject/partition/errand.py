"""What a worker is sent to do in a guest's file system, and what it comes back with; values that cross a process."""

from __future__ import annotations

from dataclasses import dataclass

from injector.model.facts import ImageFacts, NetworkStack, Root
from injector.model.network import Nic
from injector.model.payload import Item
from injector.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Wanted:
    """An item and what it is to be: a public key, a file's content, metadata as JSON, a password in clear.

    The addresses of a NETWORK item are in the errand's ``nics``. ``turn``: of those with the same kind and name.
    """

    item: Item
    content: Secret
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Inject:
    """Write ``wanted`` in this order. ``interfaces`` is the text for ifupdown, rendered by the operator's template.

    ``admin_user`` gets the keys beside root. ``stamp`` (seconds since 1970) is the time of what is written.
    """

    root: Root
    wanted: tuple[Wanted, ...]
    stamp: int
    nics: tuple[Nic, ...] = ()
    interfaces: Secret | None = None
    admin_user: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Read these paths, following links within the guest; ``limit`` bytes of each."""

    root: Root
    paths: tuple[str, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Survey:
    """Find out what there is to know of an image."""


Errand = Inject | Look | Survey


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it was read back: ``path`` as it was asked for, ``real`` where the guest's links lead."""

    path: str
    real: str
    content: Secret
    mode: int
    uid: int
    gid: int
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """Where an item is now: ``place`` is that of its Wanted in the errand, ``paths`` the files that hold it.

    ``stacks``: of a NETWORK, whose files these are, one each. ``uid`` and ``gid``: of a file with an owner asked for,
    what the guest's passwd and group make of it.
    """

    place: int
    paths: tuple[str, ...]
    stacks: tuple[NetworkStack, ...] = ()
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """An item that this guest cannot be given, and why."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class Injected:
    """What was written and read back through a fresh opening. ``declined`` are best-effort items, left out."""

    filesystem: str
    landed: tuple[Landed, ...]
    declined: tuple[Declined, ...]
    files: tuple[SeenFile, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """The files that are there, of those that were to be read; ``too_long`` are the paths of those over the limit."""

    files: tuple[SeenFile, ...]
    too_long: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was found out."""

    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of ``injector.errors`` by its class's name, with its message; what it says of a guest is hostile."""

    kind: str
    message: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Exactly one of these is there."""

    injected: Injected | None = None
    looked: Looked | None = None
    surveyed: Surveyed | None = None
    failure: Failure | None = None
