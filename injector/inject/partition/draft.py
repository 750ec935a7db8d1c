"""A guest's files as they will be: what is read here has every edit so far in it, and nothing is written yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from injector.inject.partition import paths
from injector.inject.partition.edits import Change, Edit, MakeDirectory, WriteFile, follow
from injector.inject.partition.filesystem import Attributes, Entry, GuestFiles, Kind, Room
from injector.inject.partition.paths import Place

Labeller = Callable[[str, Kind, str | None], str | None]
"""The SELinux label of something new at a real path, in a directory that has this one; None for none."""

Body = str | int
"""What has one content: a path, or the inode of a file with several names."""

AS_IT_IS = Attributes()

_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644


def no_label(path: str, kind: Kind, above: str | None) -> None:
    """For a guest without SELinux."""


@dataclass
class Draft:
    """Over ``files``, which only answers questions here; every path is a real one (``paths``).

    Of several edits of one path one is left, at the place of the last: a file that three items write is written once.
    """

    files: GuestFiles
    labeller: Labeller = no_label
    _edits: dict[str, Edit] = field(default_factory=dict)
    _entries: dict[str, Entry | None] = field(default_factory=dict)
    _bodies: dict[Body, bytes] = field(default_factory=dict)
    _new: frozenset[str] = frozenset()
    written: dict[Body, str] = field(default_factory=dict)

    def fork(self) -> Draft:
        """To try something out on: what is not wanted after all is forgotten with it.

        ``written`` begins anew: it tells the contents that were written on this fork, by a path of each.
        """
        return Draft(self.files, self.labeller, dict(self._edits), dict(self._entries), dict(self._bodies), self._new)

    @property
    def edits(self) -> tuple[Edit, ...]:
        return tuple(self._edits.values())

    def entry(self, path: str) -> Entry | None:
        if path not in self._entries:
            self._entries[path] = self.files.entry(path)
        return self._entries[path]

    def read(self, path: str, limit: int) -> bytes:
        """The whole content; ItemRefused when it is longer than ``limit`` bytes."""
        body = self._bodies.get(self._body(path))
        return self.files.read(path, limit) if body is None else body

    def text(self, path: str, limit: int) -> bytes:
        """The content of the file that a path leads to; none when there is none."""
        return self.old(paths.file_place(self, path), limit)

    def old(self, place: Place, limit: int) -> bytes:
        """The content of the file at a place; none when there is none."""
        return b"" if place.entry is None else self.read(place.path, limit)

    def make_directories(self, place: Place) -> None:
        """Those that are missing above a place: root's, 0755."""
        for path in place.missing:
            self.make_directory(path, AS_IT_IS)

    def make_directory(self, path: str, attributes: Attributes) -> None:
        attributes = self._labelled(path, Kind.DIRECTORY, attributes)
        self._put(MakeDirectory(path, attributes))
        self._create(path, Kind.DIRECTORY, _DIRECTORY_MODE, 0, attributes)

    def write(self, place: Place, content: bytes, attributes: Attributes = AS_IT_IS, *, yielding: bool = False) -> None:
        """The directories it lies in are there by now. ``yielding``: whoever wants the file for himself may have it."""
        path, size = place.path, len(content)
        entry = self.entry(path)
        if entry is None:
            attributes = self._labelled(path, Kind.FILE, attributes)
            self._create(path, Kind.FILE, _FILE_MODE, size, attributes)
        else:
            self._entries[path] = replace(_with(entry, attributes), size=size)
        self._put(WriteFile(path, content, attributes))
        self._bodies[self._body(path)] = content
        if not yielding:
            self.written[self._body(path)] = path

    def keep(self, place: Place, attributes: Attributes = AS_IT_IS) -> None:
        """A file whose content is right as it is, and counts as written."""
        self.change(place.path, attributes)
        self.written[self._body(place.path)] = place.path

    def change(self, path: str, attributes: Attributes) -> None:
        """Of something that is there; nothing when it has all of it."""
        entry = self.entry(path)
        if entry is not None and _with(entry, attributes) != entry:
            self._entries[path] = _with(entry, attributes)
            self._put(Change(path, attributes))

    def needs(self, block: int) -> Room:
        """What the edits take beyond what their files have: a directory that gets new names may grow by a block."""
        grown = sum(self._growth(edit, block) for edit in self._edits.values())
        grown += len({paths.parent(path) for path in self._new} - self._new) * block
        return Room(bytes=grown, inodes=len(self._new), block=block)

    def _growth(self, edit: Edit, block: int) -> int:
        match edit:
            case MakeDirectory():
                return block
            case WriteFile(path, content, _):
                before = None if path in self._new else self.files.entry(path)
                return max(0, _blocks(len(content), block) - _blocks(before.size if before else 0, block)) * block
            case _:
                return 0

    def _put(self, edit: Edit) -> None:
        before = self._edits.get(edit.path)
        if before is None:
            self._edits[edit.path] = edit
        elif isinstance(before, MakeDirectory):  # what lies in it comes after it
            self._edits[edit.path] = follow(before, edit)
        else:
            del self._edits[edit.path]
            self._edits[edit.path] = follow(before, edit)

    def _create(self, path: str, kind: Kind, mode: int, size: int, attributes: Attributes) -> None:
        entry = Entry(kind, mode, uid=0, gid=0, size=size, inode=0, links=1)
        self._entries[path] = _with(entry, attributes)
        self._new |= {path}

    def _labelled(self, path: str, kind: Kind, attributes: Attributes) -> Attributes:
        above = self.entry(paths.parent(path))
        label = self.labeller(path, kind, above.label if above else None)
        return attributes if label is None else replace(attributes, label=label)

    def _body(self, path: str) -> Body:
        entry = self.entry(path)
        return path if entry is None or entry.links < 2 else entry.inode


def _with(entry: Entry, attributes: Attributes) -> Entry:
    return replace(
        entry,
        mode=entry.mode if attributes.mode is None else attributes.mode,
        uid=entry.uid if attributes.uid is None else attributes.uid,
        gid=entry.gid if attributes.gid is None else attributes.gid,
        label=entry.label if attributes.label is None else attributes.label,
    )


def _blocks(size: int, block: int) -> int:
    return -(-size // block)
