"""The SELinux label of a new file, by the guest's own file_contexts, as its libselinux would find it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from operator import itemgetter

from injector.inject.partition import paths
from injector.inject.partition.draft import Labeller
from injector.inject.partition.filesystem import GuestFiles, Kind

LIMIT = 8 * 1024**2
"""Bytes of each of the files."""

_MOST_LINES = 50_000
_LONGEST_REGEX = 1024
_NONE = "<<none>>"
_FILES = ("file_contexts", "file_contexts.homedirs", "file_contexts.local")
"""In the order in which they are read: the last that fits a path counts."""
_TYPES: Mapping[str, Kind | None] = {"--": Kind.FILE, "-d": Kind.DIRECTORY}
_LINE = re.compile(r"^([ \t]*(?=((?:/[^/.^$?*+|\[({\\\s]*(?=/))?))([^.^$?*+|\[({\\\s]*)(\S?).*)$", re.MULTILINE)
"""A line; its first directory, where another ``/`` follows; its letters while they mean themselves; what follows."""
_META = re.compile(r"(?:\\.|[^.^$?*+|\[({\\])*")


def labeller_of(files: GuestFiles, policy: str) -> Labeller:
    """For the guest's policy of this name; its files are read when something new is made, and not before.

    What the policy does not know gets the label of the directory that it lies in.
    """
    contexts = _Lazy(files, f"/etc/selinux/{policy}/contexts/files")

    def label(path: str, kind: Kind, above: str | None) -> str | None:
        found = contexts.read.look_up(path, kind)
        return above if found is None else found

    return label


@dataclass(frozen=True)
class Spec:
    """A line: ``regex`` for the whole path, of things of this ``kind`` (None: of any); label None gives none.

    ``exact``: it has no pattern in it.
    """

    regex: str
    kind: Kind | None
    label: str | None
    exact: bool

    def fits(self, path: str, kind: Kind) -> bool:
        return self.kind in (None, kind) and self._pattern is not None and self._pattern.fullmatch(path) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """None for what Python does not understand, or what is too long to be meant."""
        try:
            return re.compile(self.regex, re.DOTALL) if len(self.regex) <= _LONGEST_REGEX else None
        except (re.error, RecursionError, OverflowError):
            return None


_RANK = itemgetter(0, 1)


@dataclass(frozen=True)
class Contexts:
    """``lines`` by the first directory they are certain to lie in, with their place; "" for those that say none.

    A policy has some 6,000 lines, and a guest's new files ask for a few: only those are taken apart. Every path that
    a line fits begins with the letters that are kept beside it.
    """

    lines: Mapping[str, list[tuple[str, int, str]]]
    substitutes: tuple[Callable[[str], str], ...] = ()
    _specs: dict[int, Spec | None] = field(default_factory=dict)

    def look_up(self, path: str, kind: Kind) -> str | None:
        """The label of the last spec that fits, those without any pattern before all others; None for none."""
        for substitute in self.substitutes:
            path = substitute(path)
        lines = (one for stem in {_stem(path), ""} for one in self.lines.get(stem, ()) if path.startswith(one[0]))
        mine = [(spec.exact, place, spec) for _, place, line in lines if (spec := self._spec(place, line)) is not None]
        fitting = (spec for *_, spec in sorted(mine, key=_RANK, reverse=True) if spec.fits(path, kind))
        found = next(fitting, None)
        return None if found is None else found.label

    def _spec(self, place: int, line: str) -> Spec | None:
        if place not in self._specs:
            self._specs[place] = _spec(line)
        return self._specs[place]


def contexts_of(texts: Mapping[str, bytes]) -> Contexts:
    """From the files by their names; those that are not there say nothing."""
    lines: dict[str, list[tuple[str, int, str]]] = {}
    found = (one for name in _FILES for one in _LINE.findall(texts.get(name, b"").decode("ascii", "replace")))
    for place, (line, stem, head, meta) in enumerate(islice(found, _MOST_LINES)):
        letters = "" if meta == "|" else head[:-1] if meta else head
        lines.setdefault(stem, []).append((letters, place, line))
    substitutes = tuple(_substitute(texts.get(f"file_contexts.{name}", b"")) for name in ("subs", "subs_dist"))
    return Contexts(lines, substitutes)


@dataclass
class _Lazy:
    files: GuestFiles
    directory: str

    @cached_property
    def read(self) -> Contexts:
        names = (*_FILES, "file_contexts.subs", "file_contexts.subs_dist")
        return contexts_of({name: self._text(f"{self.directory}/{name}") for name in names})

    def _text(self, path: str) -> bytes:
        place = paths.file_place(self.files, path)
        return b"" if place.entry is None else self.files.read(place.path, LIMIT)


def _spec(line: str) -> Spec | None:
    """None for a line that libselinux would not take, and for devices, links and so on: nobody makes one here."""
    words = line.split()
    if len(words) not in (2, 3) or words[0].startswith("#") or "\ufffd" in line:
        return None
    if len(words) == 3 and words[1] not in _TYPES:
        return None
    kind = _TYPES[words[1]] if len(words) == 3 else None
    label = None if words[-1] == _NONE else words[-1]
    return Spec(words[0], kind, label, _META.fullmatch(words[0]) is not None)


def _stem(path: str) -> str:
    """``/etc`` of what lies below it."""
    end = path.find("/", 1)
    return "" if end == -1 else path[:end]


def _substitute(text: bytes) -> Callable[[str], str]:
    """Paths that are labelled as if they were others; of several that fit, the last one said."""
    words = (line.split() for line in text.decode("utf-8", "surrogateescape").split("\n"))
    pairs = [(one[0], one[1]) for one in words if len(one) >= 2 and not one[0].startswith("#")][::-1]

    def substitute(path: str) -> str:
        for source, target in pairs:
            if path == source or path.startswith(f"{source}/"):
                return ("" if target == "/" and path != source else target) + path[len(source) :]
        return path

    return substitute
