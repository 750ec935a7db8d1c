"""The SELinux label of a new file, by the guest's own file_contexts, as its libselinux would find it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

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
# The letters of a path before anything that means more than itself, and what they are followed by.
_HEAD = re.compile(r"([^.^$?*+|\[({\\]*)(.?)")
_OPTIONAL = frozenset("?*{|")
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


@dataclass(frozen=True, slots=True)
class Spec:
    """A line: ``regex`` for the whole path, of things of this ``kind`` (None: of any); label None gives none."""

    regex: str
    kind: Kind | None
    label: str | None
    exact: bool


@dataclass(frozen=True)
class Contexts:
    """``specs`` by the first directory they are certain to lie in, with their place; "" for those that say none."""

    specs: Mapping[str, list[tuple[int, Spec]]]
    substitutes: tuple[Callable[[str], str], ...] = ()
    _compiled: dict[str, re.Pattern[str] | None] = field(default_factory=dict)

    def look_up(self, path: str, kind: Kind) -> str | None:
        """The label of the last spec that fits, those without any pattern before all others; None for none."""
        for substitute in self.substitutes:
            path = substitute(path)
        mine = [*self.specs.get(_stem(path), ()), *self.specs.get("", ())]
        mine.sort(key=lambda one: (one[1].exact, one[0]), reverse=True)
        found = next((spec for _, spec in mine if spec.kind in (None, kind) and self._fits(spec, path)), None)
        return None if found is None else found.label

    def _fits(self, spec: Spec, path: str) -> bool:
        """Most are told by their first letters, and never compiled."""
        if not path.startswith(_head(spec.regex)):
            return False
        if spec.regex not in self._compiled:
            self._compiled[spec.regex] = _compiled(spec.regex)
        pattern = self._compiled[spec.regex]
        return pattern is not None and pattern.fullmatch(path) is not None


def contexts_of(texts: Mapping[str, bytes]) -> Contexts:
    """From the files by their names; those that are not there say nothing."""
    specs: dict[str, list[tuple[int, Spec]]] = {}
    for place, spec in enumerate(spec for name in _FILES for spec in _specs(texts.get(name, b""))):
        specs.setdefault(_stem(_HEAD.match(spec.regex)[1], certain=True), []).append((place, spec))  # type: ignore[index]
    substitutes = tuple(_substitute(texts.get(f"file_contexts.{name}", b"")) for name in ("subs", "subs_dist"))
    return Contexts(specs, substitutes)


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


def _specs(text: bytes) -> Iterator[Spec]:
    """A line that libselinux would not take is passed over: the guest's own tools do so as well."""
    for line in text.decode("ascii", "replace").split("\n")[:_MOST_LINES]:
        words = line.split()
        if len(words) not in (2, 3) or words[0].startswith("#") or "\ufffd" in line:
            continue
        if len(words) == 3 and words[1] not in _TYPES:
            continue  # of devices, links and so on: nobody makes one here
        kind = _TYPES[words[1]] if len(words) == 3 else None
        label = None if words[-1] == _NONE else words[-1]
        yield Spec(words[0], kind, label, _META.fullmatch(words[0]) is not None)


def _stem(path: str, *, certain: bool = False) -> str:
    """``/etc`` of what lies below it. Of a spec's head only what another ``/`` follows is certain."""
    end = path.find("/", 1)
    if end == -1:
        return "" if certain else path
    return path[:end]


def _head(regex: str) -> str:
    found = _HEAD.match(regex)
    if found is None or found[2] == "|":
        return ""
    return found[1][:-1] if found[2] in _OPTIONAL and found[2] else found[1]


def _compiled(regex: str) -> re.Pattern[str] | None:
    """None for what Python does not understand, or what is too long to be meant."""
    try:
        return re.compile(regex, re.DOTALL) if len(regex) <= _LONGEST_REGEX else None
    except (re.error, RecursionError, OverflowError):
        return None


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
