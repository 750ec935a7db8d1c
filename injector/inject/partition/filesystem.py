"""The promise every back end keeps: a guest's file system, open, with nothing of the host reachable through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from injector.model.facts import Root


class Kind(StrEnum):
    """What lies at a path; ``other`` is a device, a FIFO or a socket, which nobody opens."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """What ``lstat`` says. ``mode`` are the permission bits (07777), ``size`` bytes, ``target`` of a link.

    ``label`` is the SELinux context without its final NUL; None where there is none.
    """

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    inode: int
    links: int
    label: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an entry gets; None leaves what it has, or takes the default of a new one (root's, no label)."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What is free: bytes for contents (without what is reserved for root) and inodes; block in bytes."""

    bytes: int
    inodes: int
    block: int


class GuestFiles(Protocol):
    """An open file system. Paths are absolute, of plain components: whoever calls has followed the links already
    (``paths.resolve``), so no call here follows one, and a link in the way is GuestUnreadable.

    A name that is not UTF-8 has its odd bytes as surrogates (``surrogateescape``). What is written may be held back
    until ``close`` and is then on the disk; leaving without ``close`` writes nothing where that can be had. Times of
    what was changed are the errand's ``stamp``.

    Every method raises GuestUnreadable when the file system turns out to be damaged, and ItemRefused when it
    says no (no space, name too long).
    """

    @property
    def filesystem(self) -> str:
        """As blkid names it: ext4, xfs, …"""
        ...

    def entry(self, path: str) -> Entry | None:
        """What is there, itself; None for nothing, also when a directory on the way is missing or is no directory."""
        ...

    def names(self, path: str) -> Iterator[str]:
        """The names in a directory, without ``.`` and ``..``, in any order; whoever asks stops when it has enough."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """A regular file's content; ItemRefused when it is longer than ``limit`` bytes."""
        ...

    def room(self) -> Room:
        """What is free now."""
        ...

    def make_directory(self, path: str, attributes: Attributes) -> None:
        """A new directory in one that exists; 0755 unless said otherwise."""
        ...

    def write(self, path: str, content: bytes, attributes: Attributes) -> None:
        """A new regular file (0644 unless said otherwise), or the content of the one there, in place.

        In place means: inode, hard links, owner, mode, times of birth and every attribute stay, but for what
        ``attributes`` names.
        """
        ...

    def change(self, path: str, attributes: Attributes) -> None:
        """Give what is there other attributes."""
        ...

    def close(self) -> None:
        """Have everything on the disk and let go of it."""
        ...


class Opener(Protocol):
    """Where a back end opens the guest's disk; one guest each. ``name`` is the operator's word for the back end."""

    @property
    def name(self) -> str: ...

    def open(self, root: Root, *, writable: bool, stamp: int) -> AbstractContextManager[GuestFiles]:
        """The root, freshly: nothing is remembered from an opening before. ``stamp``: seconds since 1970.

        Raises CannotServe for what this back end does not edit, GuestUnreadable for what is damaged.
        """
        ...


class Disk(Protocol):
    """A guest's disk as raw bytes, whatever the format of its file. Errors are OSError: the host is at fault."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        ...

    def write(self, start: int, data: bytes) -> None: ...

    def flush(self) -> None:
        """Everything written is on the host's disk when this returns."""
        ...
