"""Packs a config drive as ISO9660 with Rock Ridge and Joliet: two trees over the same content, each content once.

The disk, by sectors: 16 empty, the two descriptors and their end, the sector that names Rock Ridge, the path tables
and the directories of each tree, the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Protocol

from injector.inject.configdrive import isofields as fields
from injector.inject.configdrive.isofields import DIRECTORY_MODE, FILE_MODE, SECTOR, Extent, Moment
from injector.inject.configdrive.packer import Volume
from injector.inject.configdrive.tree import Tree

_SYSTEM_AREA = 16
_EXTENSION = Extent(_SYSTEM_AREA + 3, len(fields.EXTENSION_ENTRY))
_FIRST_FREE = _EXTENSION.sector + 1
_NOT_IN_IDENTIFIERS = re.compile("[^A-Z0-9_]")


class Iso9660Packer:
    """Equal content is stored once: the version directories share most of it."""

    format = "iso9660"

    def pack(self, tree: Tree, volume: Volume, into: BinaryIO) -> None:
        date = Moment.of(volume.made_at)
        root = _directories(tree)
        primary = _Side(root, _Primary(date), _FIRST_FREE)
        joliet = _Side(root, _Joliet(), primary.end)
        contents, end = _placed(tree, joliet.end)
        sides = (primary, joliet)
        files = {path: contents[content] for path, content in tree.items()}
        into.write(bytes(_SYSTEM_AREA * SECTOR))
        for side in sides:
            into.write(fields.descriptor(side.described(end, date), volume.label, volume.publisher, date))
        into.write(fields.TERMINATOR + fields.padded(fields.EXTENSION_ENTRY))
        for side in sides:
            into.writelines(side.path_tables())
            into.writelines(side.directories(files, date))
        into.writelines(fields.padded(content) for content in contents)


@dataclass(eq=False, slots=True)
class _Directory:
    """What lies in one directory of the tree; ``files`` are paths of the tree by name."""

    name: str = ""
    below: dict[str, _Directory] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def links(self) -> int:
        """As ``stat`` counts them: its name, itself, and the ``..`` of each directory below."""
        return 2 + len(self.below)


def _directories(tree: Tree) -> _Directory:
    root = _Directory()
    for path in tree:
        *parents, name = path.split("/")
        inside = root
        for parent in parents:
            inside = inside.below.setdefault(parent, _Directory(parent))
        inside.files[name] = path
    return root


def _placed(tree: Tree, free: int) -> tuple[Mapping[bytes, Extent], int]:
    """Where each content lies, in the order of the disk, and the number of sectors of the whole."""
    found: dict[bytes, Extent] = {}
    for content in tree.values():
        if content not in found:
            found[content] = Extent(free, len(content))
            free += fields.sectors(len(content))
    return found, free


class _Names(Protocol):
    """How one of the two trees names what is in it, and what it says of it besides (its system use)."""

    kind: int

    def directory(self, name: str, /) -> bytes: ...

    def file(self, name: str, /) -> bytes: ...

    def of_itself(self, directory: _Directory, is_root: bool, /) -> bytes: ...

    def of_child(self, name: str, mode: int, links: int, /) -> bytes: ...


class _Primary:
    """For Linux: identifiers as the standard wants them, which no reader looks at, beside Rock Ridge's real names."""

    kind = fields.PRIMARY

    def __init__(self, date: Moment) -> None:
        self._date = date

    def directory(self, name: str) -> bytes:
        return _NOT_IN_IDENTIFIERS.sub("_", name.upper()).encode()

    def file(self, name: str) -> bytes:
        stem, _, ending = name.partition(".")
        return self.directory(stem) + b"." + self.directory(ending) + b";1"

    def of_itself(self, directory: _Directory, is_root: bool) -> bytes:
        if is_root:
            return fields.root_itself(directory.links, self._date, _EXTENSION)
        return fields.attributes(DIRECTORY_MODE, directory.links, self._date)

    def of_child(self, name: str, mode: int, links: int) -> bytes:
        return fields.named(name, mode, links, self._date)


class _Joliet:
    """For Windows: the real names are the identifiers, in UCS-2, and nothing more is said."""

    kind = fields.JOLIET

    def directory(self, name: str) -> bytes:
        return name.encode("utf-16-be")

    def file(self, name: str) -> bytes:
        return self.directory(name)

    def of_itself(self, _directory: _Directory, _is_root: bool) -> bytes:
        return b""

    def of_child(self, _name: str, _mode: int, _links: int) -> bytes:
        return b""


class _Row(NamedTuple):
    """A directory record before it is known where its ``target`` lies: a folder's number, or a path of the tree."""

    identifier: bytes
    system_use: bytes
    target: int | str


@dataclass(frozen=True, slots=True)
class _Folder:
    """A directory as one of the trees has it, its rows by sector; ``parent`` is a folder's number, 0 for the root."""

    directory: _Directory
    identifier: bytes
    parent: int
    sectors: list[list[_Row]] = field(default_factory=list)


class _Side:
    """One of the two trees, its folders in the order of the path table, laid out from ``start`` to before ``end``."""

    def __init__(self, root: _Directory, names: _Names, start: int) -> None:
        self._kind = names.kind
        self._folders = _folders(root, names)
        self._table = Extent(start, len(b"".join(self._path_table("<", [0] * len(self._folders)))))
        self._extents: list[Extent] = []
        self.end = start + 2 * fields.sectors(self._table.size)
        for folder in self._folders:
            self._extents.append(Extent(self.end, len(folder.sectors) * SECTOR))
            self.end += len(folder.sectors)

    def described(self, sectors: int, date: Moment) -> fields.Described:
        root = fields.record(fields.SELF, self._extents[0], date, directory=True)
        return fields.Described(self._kind, sectors, self._table, root)

    def path_tables(self) -> Iterator[bytes]:
        starts = [extent.sector for extent in self._extents]
        for order in "<>":
            yield fields.padded(b"".join(self._path_table(order, starts)))

    def _path_table(self, order: str, starts: list[int]) -> Iterator[bytes]:
        for folder, sector in zip(self._folders, starts, strict=True):
            yield fields.path_record(folder.identifier, sector, folder.parent + 1, order)

    def directories(self, files: Mapping[str, Extent], date: Moment) -> Iterator[bytes]:
        for folder in self._folders:
            for rows in folder.sectors:
                yield fields.padded(b"".join(self._record(row, files, date) for row in rows))

    def _record(self, row: _Row, files: Mapping[str, Extent], date: Moment) -> bytes:
        identifier, system_use, target = row
        if isinstance(target, int):
            return fields.record(identifier, self._extents[target], date, directory=True, system_use=system_use)
        return fields.record(identifier, files[target], date, directory=False, system_use=system_use)


def _folders(root: _Directory, names: _Names) -> list[_Folder]:
    """Breadth first, each level in the order of its identifiers, as ECMA-119 (6.9.1) has the path table."""
    folders = [_Folder(root, fields.SELF, 0)]
    for number, folder in enumerate(folders):
        above = folders[folder.parent].directory
        rows = [
            _Row(fields.SELF, names.of_itself(folder.directory, number == 0), number),
            _Row(fields.PARENT, names.of_itself(above, False), folder.parent),
        ]
        for identifier, child in _sorted(folder.directory, names):
            if isinstance(child, _Directory):
                rows.append(_Row(identifier, names.of_child(child.name, DIRECTORY_MODE, child.links), len(folders)))
                folders.append(_Folder(child, identifier, number))
            else:
                rows.append(_Row(identifier, names.of_child(child.rpartition("/")[2], FILE_MODE, 1), child))
        folder.sectors.extend(_by_sector(rows))
    return folders


def _sorted(directory: _Directory, names: _Names) -> list[tuple[bytes, _Directory | str]]:
    """What lies in a directory in the order of its identifiers; ValueError when two of them are one."""
    found: dict[bytes, _Directory | str] = {names.directory(name): one for name, one in directory.below.items()}
    for name, path in directory.files.items():
        found[names.file(name)] = path
    if len(found) != len(directory.below) + len(directory.files):
        raise ValueError("two names in one directory are one to ISO9660")
    return sorted(found.items())


def _by_sector(rows: list[_Row]) -> list[list[_Row]]:
    """The rows of one directory as they fill its sectors: no record crosses from one into the next."""
    sectors: list[list[_Row]] = []
    free = 0
    for row in rows:
        length = fields.record_length(row.identifier, row.system_use)
        if length > free:
            sectors.append([])
            free = SECTOR
        sectors[-1].append(row)
        free -= length
    return sectors
