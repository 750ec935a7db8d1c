"""Where a path leads inside a guest: its links are followed within its own root, whatever they say; pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from injector.errors import ItemRefused
from injector.inject.partition.filesystem import Entry, Kind
from injector.model.hostile import one_line

MOST_LINKS = 40
"""As many as Linux follows in one path."""

# Surrogates that stand for no byte (surrogateescape has U+DC80 to U+DCFF): JSON can say them, UTF-8 cannot.
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_NO_TEXT = re.compile("[\ud800-\udfff]")
_LONGEST_PATH = 4095
_LONGEST_NAME = 255
_WORDS = {
    Kind.FILE: "a file",
    Kind.DIRECTORY: "a directory",
    Kind.LINK: "a link",
    Kind.OTHER: "a device, a FIFO or a socket",
}


class Lookup(Protocol):
    """As much of a file system as it takes to find the way."""

    def entry(self, path: str) -> Entry | None:
        """What is there, itself; None for nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """The end of the way: ``path`` has no link in it, ``missing`` are directories to be made first, outermost first.

    ``entry`` is what is there: never a link, None for nothing.
    """

    path: str
    entry: Entry | None
    missing: tuple[str, ...] = ()


def file_place(files: Lookup, path: str) -> Place:
    """Where a file at ``path`` is, or is to be made; ItemRefused naming what is in the way of one."""
    if path.endswith("/"):
        raise ItemRefused(f"'{shown(path)}' names a directory")
    return _only(Kind.FILE, resolve(files, path), path)


def directory_place(files: Lookup, path: str) -> Place:
    """The same of a directory."""
    return _only(Kind.DIRECTORY, resolve(files, path), path)


def resolve(files: Lookup, path: str) -> Place:
    """The way from the guest's root; a path without a leading ``/`` starts there too.

    ``..`` does not lead out of the root. ItemRefused for a path that is none, for more than 40 links, and for
    anything but a directory on the way.
    """
    walk = _Walk(files, _parts(path))
    walk.to_the_end(path)
    _measure(walk.path)
    missing = tuple(above for above in _above(walk.path) if files.entry(above) is None)
    entry = files.entry(walk.path) if walk.names else files.entry("/")
    return Place(walk.path, entry, missing)


def parent(path: str) -> str:
    """The directory that a real path lies in."""
    return path.rpartition("/")[0] or "/"


def shown(path: str) -> str:
    """A path for people, harmless to print."""
    return one_line(path, 255)


class _Walk:
    """``names`` lead from the root to where we stand; ``ahead`` is still to go."""

    def __init__(self, files: Lookup, parts: Sequence[str]) -> None:
        self.names: list[str] = []
        self._files = files
        self._ahead = deque(parts)
        self._links = 0

    @property
    def path(self) -> str:
        return "/" + "/".join(self.names)

    def to_the_end(self, asked: str) -> None:
        while self._ahead:
            name = self._ahead.popleft()
            if name == "..":
                del self.names[-1:]
            elif name not in ("", "."):
                self._step(name, asked)

    def _step(self, name: str, asked: str) -> None:
        self.names.append(name)
        entry = self._files.entry(self.path)
        if entry is None or entry.kind is Kind.DIRECTORY:
            return
        if entry.kind is Kind.LINK:
            self.names.pop()
            self._follow(entry.target or "", asked)
        elif self._ahead:
            raise ItemRefused(f"'{shown(self.path)}' is {_WORDS[entry.kind]}, and no directory")

    def _follow(self, target: str, asked: str) -> None:
        self._links += 1
        if self._links > MOST_LINKS:
            raise ItemRefused(f"'{shown(asked)}' leads over too many links")
        if not target or "\0" in target or _length(target) > _LONGEST_PATH:
            raise ItemRefused(f"'{shown(asked)}' leads over a link that leads nowhere")
        if target.startswith("/"):
            self.names.clear()
        self._ahead.extendleft(reversed(target.split("/")))


def _parts(path: str) -> list[str]:
    if not path or "\0" in path:
        raise ItemRefused("a path may not be empty" if not path else "a path may not hold a NUL character")
    if _NO_BYTES.search(path):
        raise ItemRefused(f"'{shown(path)}' holds a character that no file can have in its name")
    _measure(path)
    return path.split("/")


def _measure(path: str) -> None:
    if _length(path) > _LONGEST_PATH:
        raise ItemRefused(f"'{shown(path)}' is longer than {_LONGEST_PATH} bytes")
    if any(_length(name) > _LONGEST_NAME for name in path.split("/")):
        raise ItemRefused(f"'{shown(path)}' holds a name longer than {_LONGEST_NAME} bytes")


def is_text(path: str) -> bool:
    """Whether it is made of characters alone: a guest's names need not be."""
    return _NO_TEXT.search(path) is None


def _length(text: str) -> int:
    """Bytes; an odd byte of a guest's name is a surrogate here."""
    return len(text.encode("utf-8", "surrogatepass"))


def _above(path: str) -> list[str]:
    names = path.split("/")[1:-1]
    return ["/" + "/".join(names[: end + 1]) for end in range(len(names))]


def _only(kind: Kind, place: Place, asked: str) -> Place:
    if place.entry is not None and place.entry.kind is not kind:
        led = "" if asked in (place.path, place.path[1:]) else f" ('{shown(place.path)}')"
        raise ItemRefused(f"'{shown(asked)}'{led} is {_WORDS[place.entry.kind]}, and no {kind.value}")
    return place
