"""Looks into a guest by paths: links are followed within the guest, and what cannot be is as if it were not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from injector.errors import ItemRefused
from injector.inject.partition import paths
from injector.inject.partition.filesystem import Entry, GuestFiles, Kind

_LONGEST_TEXT = 256 * 1024
_MOST_NAMES = 200
_MASK = "/dev/null"
_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_TARGETS = ("multi-user.target", "network-online.target", "network.target", "basic.target", "sysinit.target")
_RUNLEVELS = ("sysinit", "boot", "default")
_RC = ("S", "2", "3", "5")


@dataclass(frozen=True)
class Looking:
    """Questions to a guest's file system; GuestUnreadable when it turns out to be damaged."""

    files: GuestFiles
    _seen: dict[str, paths.Place | None] = field(default_factory=dict)

    def place(self, path: str) -> paths.Place | None:
        """Where a path leads, if anything is there."""
        if path not in self._seen:
            try:
                found = paths.resolve(self.files, path)
            except ItemRefused:
                found = None
            self._seen[path] = found if found is not None and found.entry is not None else None
        return self._seen[path]

    def has(self, path: str) -> bool:
        return self.place(path) is not None

    def has_directory(self, path: str) -> bool:
        place = self.place(path)
        return place is not None and place.entry is not None and place.entry.kind is Kind.DIRECTORY

    def first(self, *candidates: str) -> str | None:
        """Of these paths the first at which something is."""
        return next((path for path in candidates if self.has(path)), None)

    def names(self, path: str) -> list[str]:
        """Sorted; of a directory with very many, some."""
        place = self.place(path)
        if place is None or not self.has_directory(path):
            return []
        return sorted(islice(self.files.names(place.path), _MOST_NAMES))

    def text(self, path: str) -> str:
        """Of a regular file that is not too long; empty otherwise."""
        place = self.place(path)
        if place is None or place.entry is None or place.entry.kind is not Kind.FILE:
            return ""
        if place.entry.size > _LONGEST_TEXT:
            return ""
        return self.files.read(place.path, _LONGEST_TEXT).decode("utf-8", "replace")

    def settings(self, path: str) -> dict[str, str]:
        """``NAME=value`` lines as a shell would read the simple ones: quotes off, comments out, the last one counts."""
        return dict(_assignments(self.text(path)))

    def starts(self, unit: str) -> bool:
        """Whether systemd starts a unit at boot: a target wants it, and nobody has masked it."""
        if self.masked(unit):
            return False
        return any(self._wanted(directory, target, unit) for directory in _UNITS for target in _TARGETS)

    def in_runlevel(self, *services: str) -> bool:
        """Whether OpenRC starts one of these."""
        return any(self.has(f"/etc/runlevels/{level}/{name}") for level in _RUNLEVELS for name in services)

    def in_rc(self, service: str) -> bool:
        """Whether System V's init starts it: ``S02networking``."""
        return any(
            re.fullmatch(rf"S\d\d-?{service}", name) for level in _RC for name in self.names(f"/etc/rc{level}.d")
        )

    def masked(self, unit: str) -> bool:
        """Whether somebody has said that systemd must never start it."""
        entry = self._itself(f"/etc/systemd/system/{unit}")
        return entry is not None and entry.target == _MASK

    def _wanted(self, directory: str, target: str, unit: str) -> bool:
        return self._itself(f"{directory}/{target}.wants/{unit}") is not None

    def _itself(self, path: str) -> Entry | None:
        """What is there, not followed: the links that enable a unit lead anywhere."""
        above = self.place(paths.parent(path))
        return None if above is None else self.files.entry(above.path.rstrip("/") + "/" + path.rpartition("/")[2])


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            yield name.strip(), value.strip().strip("\"'")
