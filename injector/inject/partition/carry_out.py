"""Carries an errand out on an open disk, in whatever process may do so: all of it is drafted before any is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from injector.errors import CannotServe, GuestUnreadable, InternalError, ItemRefused
from injector.inject.naming import describe
from injector.inject.partition import edits, paths
from injector.inject.partition.content import absolute, put_file, put_metadata
from injector.inject.partition.draft import Body, Draft, Labeller, no_label
from injector.inject.partition.errand import (
    Declined,
    Inject,
    Injected,
    Landed,
    Look,
    Looked,
    SeenFile,
    Wanted,
)
from injector.inject.partition.filesystem import Entry, GuestFiles, Kind, Opener
from injector.inject.partition.guest import selinux_of, stacks_of
from injector.inject.partition.keys import put_key
from injector.inject.partition.network import put_network
from injector.inject.partition.password import put_password
from injector.inject.partition.selinux import labeller_of
from injector.model.payload import Item, ItemKind
from injector.model.secret import Secret

_LONGEST_READ = 64 * 1024**2
"""Bytes of a file that was just written, and is read back."""


def carry_out(errand: Inject | Look, opener: Opener) -> Injected | Looked:
    """Raises what the file system raises, and ItemRefused naming a required item that cannot be written: then nothing
    was. GuestUnreadable as well when the file system holds something else than what was written.
    """
    return _inject(errand, opener) if isinstance(errand, Inject) else _look(errand, opener)


def _inject(errand: Inject, opener: Opener) -> Injected:
    with opener.open(errand.root, writable=True, stamp=errand.stamp) as files:
        drafting = _Drafting(errand, files)
        for place, wanted in enumerate(errand.wanted):
            drafting.take(place, wanted)
        written = tuple(_once(path for one in drafting.landed for path in one.paths))
        # Before it is closed: of a file that was right as it is, the draft asks the file system.
        meant = {path: _meant(drafting.draft, path) for path in written}
        edits.apply(drafting.draft.edits, files)
        files.close()
        filesystem = files.filesystem
    with _reading_back(), opener.open(errand.root, writable=False, stamp=errand.stamp) as files:
        seen = tuple(_seen(files, path) for path in written)
    for one in seen:
        _compare(meant[one.path], one)
    return Injected(filesystem, tuple(drafting.landed), tuple(drafting.declined), tuple(map(_told, seen)))


@contextmanager
def _reading_back() -> Iterator[None]:
    """It is written: no item is to blame any more, and no other back end may try its luck on what is there now."""
    try:
        yield
    except (CannotServe, ItemRefused) as error:
        raise GuestUnreadable(f"what was written cannot be read back: {error.message}") from error


@dataclass
class _Drafting:
    """``_claims``: which item has written a file, by what that file is and not by one of its names."""

    errand: Inject
    files: GuestFiles
    landed: list[Landed] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draft = Draft(self.files, _labeller(self.files))
        self._room = self.files.room()
        self._claims: dict[Body, Item] = {}

    def take(self, place: int, wanted: Wanted) -> None:
        """On a draft of its own first: an item that is refused leaves nothing of itself behind."""
        fork = self.draft.fork()
        try:
            landed = self._put(fork, place, wanted)
            self._require_room(fork)
            self._claim(fork, wanted.item)
        except ItemRefused as refusal:
            if wanted.item.required:
                named = describe(wanted.item.kind, wanted.item.name)
                raise ItemRefused(f"{named} cannot be written: {refusal.message}", detail=refusal.detail) from refusal
            self.declined.append(Declined(place, refusal.message))
        else:
            self.draft = fork
            self.landed.append(landed)

    def _put(self, draft: Draft, place: int, wanted: Wanted) -> Landed:
        errand, item, content = self.errand, wanted.item, wanted.content
        match item.kind:
            case ItemKind.KEY:
                return Landed(place, put_key(draft, content.reveal(), errand.admin_user))
            case ItemKind.FILE:
                put = put_file(draft, item, content.reveal())
                return Landed(place, (put.path,), (), put.uid, put.gid)
            case ItemKind.METADATA:
                return Landed(place, put_metadata(draft, content.reveal()))
            case ItemKind.PASSWORD:
                return Landed(place, put_password(draft, content, errand.stamp))
            case ItemKind.NETWORK:
                documents = put_network(draft, stacks_of(self.files), errand.nics, errand.interfaces)
                return Landed(place, tuple(one.path for one in documents), tuple(one.stack for one in documents))
        raise InternalError(f"no partition carries {item.kind.value}")

    def _require_room(self, draft: Draft) -> None:
        needed, free = draft.needs(self._room.block), self._room
        if needed.bytes > free.bytes:
            raise ItemRefused(f"the guest's file system has no room for it: {needed.bytes} bytes, {free.bytes} free")
        if needed.inodes > free.inodes:
            raise ItemRefused(f"the guest's file system has no inodes for it: {needed.inodes}, {free.inodes} free")

    def _claim(self, draft: Draft, item: Item) -> None:
        """Two items in the same file would not both be as asked; but keys share theirs, and of a path that is given
        twice the later content counts.
        """
        for body, path in draft.written.items():
            other = self._claims.setdefault(body, item)
            if other != item and not _share(other, item):
                named = describe(other.kind, other.name)
                raise ItemRefused(f"'{paths.shown(path)}' already holds {named}, and cannot hold both")
        self._claims |= dict.fromkeys(draft.written, item)


def _share(one: Item, other: Item) -> bool:
    if one.kind is ItemKind.FILE and other.kind is ItemKind.FILE:
        return absolute(one.name) == absolute(other.name)
    return one.kind is other.kind is ItemKind.KEY


def _labeller(files: GuestFiles) -> Labeller:
    policy = selinux_of(files)
    return no_label if policy is None else labeller_of(files, policy)


def _once(many: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(many))


def _seen(files: GuestFiles, path: str) -> SeenFile:
    place = paths.resolve(files, path)
    if place.entry is None or place.entry.kind is not Kind.FILE:
        raise GuestUnreadable(f"what was written is not there when it is read back: '{paths.shown(path)}'")
    return _seen_file(files, path, place.path, place.entry, _LONGEST_READ)


def _seen_file(files: GuestFiles, path: str, real: str, entry: Entry, limit: int) -> SeenFile:
    content = Secret(files.read(real, limit))
    return SeenFile(path, real, content, entry.mode, entry.uid, entry.gid, entry.label)


def _told(seen: SeenFile) -> SeenFile:
    """As it can travel: a guest's links and labels may be made of bytes that are no text."""
    return replace(seen, real=_text(seen.real), label=None if seen.label is None else _text(seen.label))


def _text(odd: str) -> str:
    return odd.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _meant(draft: Draft, path: str) -> SeenFile:
    """The file as the draft has it."""
    place = paths.file_place(draft, path)
    if place.entry is None:
        raise InternalError(f"nothing was drafted for '{paths.shown(path)}'")
    entry = place.entry
    content = Secret(draft.read(place.path, _LONGEST_READ))
    return SeenFile(path, place.path, content, entry.mode, entry.uid, entry.gid, entry.label)


def _compare(meant: SeenFile, seen: SeenFile) -> None:
    """What the file system remembers now is what was meant, to the byte.

    Where it does not, the guest gave blocks away that are in use: a disk of the host that fails is an OSError.
    """
    same = replace(meant, label=seen.label) == seen if meant.label is None else meant == seen
    if not same:
        raise GuestUnreadable(f"read back, but not as written: '{paths.shown(seen.path)}'")


def _look(errand: Look, opener: Opener) -> Looked:
    found: list[SeenFile] = []
    too_long: list[str] = []
    with opener.open(errand.root, writable=False, stamp=0) as files:
        for path in _once(errand.paths):
            place = _place(files, path)
            if place is None or place.entry is None:
                continue
            if place.entry.size > errand.limit:
                too_long.append(path)
            else:
                found.append(_seen_file(files, path, place.path, place.entry, errand.limit))
    return Looked(tuple(map(_told, found)), tuple(too_long))


def _place(files: GuestFiles, path: str) -> paths.Place | None:
    """None where the guest has something else by now."""
    try:
        return paths.file_place(files, path)
    except ItemRefused:
        return None
