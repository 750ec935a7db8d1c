"""Finds the root in a guest's disk and says what lives there: by the table first, then by looking into file systems.

The table's own word (the type of a partition, a label) comes before what is inside: it is the image maker's, and does
not depend on which file systems can be read here. Two that are equally likely are nobody's root: Nova refuses images
with several systems too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.filesystem import Opener
from injector.inject.partition.guest import Seen, look_around
from injector.inject.partition.tables import WHOLE_DISK, Readable, Table, read_table
from injector.model.facts import ImageFacts, Partition, Root

_ROOT_TYPES = frozenset(
    {
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",  # x86-64
        "b921b045-1df0-41c3-af44-4c6f280d3fae",  # arm64
        "44479540-f297-41b2-9af7-d131d5f0458a",  # x86
        "69dad710-2ce4-4e3c-b16c-21a1d49abed3",  # arm
        "72ec70a6-cf74-40e6-bd49-4bda08e8f224",  # riscv64
        "c31c45e6-3f39-412e-80fb-4809c4980599",  # ppc64-le
        "5eead9a9-fe09-4a1e-a1d7-520d00531306",  # s390x
    }
)
"""The Discoverable Partitions Specification's."""

_LABELS = frozenset({"/", "root", "rootfs", "cloudimg-rootfs", "cirros-rootfs"})
_WRITABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "bcachefs"})
"""File systems that a root may be and that can be written."""

_HOLDERS = frozenset({"LVM2_member", "crypto_LUKS", "linux_raid_member"})
_IN_SUBVOLUMES = frozenset({"btrfs"})
"""Here the root is one of several trees: which one, only a look inside can tell."""

_MOST_OPENED = 16
_LONGEST_DOUBT = 1000


def survey(disk: Readable, opener: Opener) -> ImageFacts:
    """What is not found out is None, with the reason as ``doubt``.

    Raises GuestUnreadable for a damaged or hostile partition table, and OSError when the disk cannot be read.
    """
    table = read_table(disk)
    search = _Search(table, opener)
    found = search.root()
    seen = None if found is None else search.look(found.partition)
    root = None if found is None else search.certain(found, seen)
    doubts = tuple(dict.fromkeys([*search.doubts, *([seen.doubt] if seen and seen.doubt else [])]))
    doubt = "; ".join(doubts)[:_LONGEST_DOUBT] or None
    facts = ImageFacts(table.kind, table.partitions, root, back_end=opener.name, doubt=doubt)
    return facts if seen is None or root is None else seen.added_to(facts)


@dataclass(frozen=True, slots=True)
class _Found:
    """Which it is, and how that is known."""

    partition: Partition
    by: str


class _Search:
    """``doubts`` say why something is not known, in the order in which it was noticed."""

    def __init__(self, table: Table, opener: Opener) -> None:
        self.doubts: list[str] = []
        self._table = table
        self._opener = opener
        self._candidates = [one for one in table.partitions if one.filesystem in _WRITABLE]
        self._looked: dict[int, Seen | None] = {}
        self._unread: set[int] = set()

    def root(self) -> _Found | None:
        """The first way that names one settles it; one that names several ends the search."""
        for by, likely in self._ways():
            if len(likely) == 1:
                return _Found(likely[0], f"{_place(likely[0])}, by {by}")
            if likely:
                names = " and ".join(_named(one) for one in likely)
                self.doubts.append(f"{names} are equally likely to be the root, by {by}")
                return None
        self._say_why_not()
        return None

    def _ways(self) -> Iterator[tuple[str, list[Partition]]]:
        some = self._candidates
        yield "the type of its partition", [one for one in some if one.type in _ROOT_TYPES]
        yield "its label", [one for one in some if (one.label or "").lower() in _LABELS]
        yield "the name of its partition", [one for one in some if (one.name or "").lower() in _LABELS]
        yield "the guest's fstab", self._by_fstab()
        yield "the system in it", [one for one in some if (seen := self.look(one)) and seen.has_system]
        if not any(one.filesystem in _HOLDERS for one in self._table.partitions):
            yield "being the only one left", [one for one in some if one.number in self._unread]

    def _by_fstab(self) -> list[Partition]:
        specs = {seen.mounts["/"] for one in self._candidates if (seen := self.look(one)) and "/" in seen.mounts}
        named = {found.number: found for spec in specs if (found := self._meant(spec)) is not None}
        return list(named.values())

    def _meant(self, spec: str) -> Partition | None:
        """The candidate that a line of fstab names, by whichever of its names."""
        key, _, value = spec.partition("=")
        value = value.strip('"').lower()
        for one in self._candidates:
            names = {
                "UUID": one.uuid,
                "LABEL": one.label,
                "PARTUUID": self._table.part_uuids.get(one.number),
                "PARTLABEL": one.name,
            }
            if value and (names.get(key) or "").lower() == value:
                return one
            if spec in _device_names(one.number):
                return one
        return None

    def look(self, one: Partition) -> Seen | None:
        """What is in it, looked at once; None when it cannot be read here."""
        if one.number not in self._looked:
            self._looked[one.number] = self._look(one)
        return self._looked[one.number]

    def _look(self, one: Partition) -> Seen | None:
        if len(self._looked) >= _MOST_OPENED:
            self.doubts.append("it has too many file systems to look into all")
            return None
        try:
            with self._opener.open(_root(one, ""), writable=False, stamp=0) as files:
                return look_around(files)
        except CannotServe as error:
            self._unread.add(one.number)
            self.doubts.append(f"{_named(one)} is not read by {self._opener.name}: {error.message}")
        except GuestUnreadable as error:
            self.doubts.append(f"{_named(one)} cannot be read: {error.message}")
        return None

    def certain(self, found: _Found, seen: Seen | None) -> Root | None:
        """The root itself, unless it may be one of several trees of this file system."""
        if found.partition.filesystem in _IN_SUBVOLUMES and not (seen and seen.has_system):
            self.doubts.append(f"in which subvolume of {_named(found.partition)} the root is needs guestfs")
            return None
        return _root(found.partition, found.by)

    def _say_why_not(self) -> None:
        holders = [one for one in self._table.partitions if one.filesystem in _HOLDERS]
        if holders:
            self.doubts.append(f"the root may be in {_all_named(holders)}, which needs guestfs")
        elif self._candidates:
            self.doubts.append(f"no system is recognised in {_all_named(self._candidates)}")
        else:
            self.doubts.append("it has no file system that a root could be in")


def _device_names(number: int) -> frozenset[str]:
    """As the guest's kernel may name its first disk, or this partition of it."""
    if number == WHOLE_DISK:
        return frozenset(f"/dev/{letters}" for letters in ("vda", "sda", "xvda", "hda"))
    plain = {f"/dev/{letters}{number}" for letters in ("vda", "sda", "xvda", "hda")}
    return frozenset(plain | {f"/dev/{name}p{number}" for name in ("nvme0n1", "mmcblk0")})


def _root(one: Partition, by: str) -> Root:
    return Root(one.number, one.start, one.size, one.filesystem or "", by)


def _place(one: Partition) -> str:
    return "the whole disk" if one.number == WHOLE_DISK else f"partition {one.number}"


def _named(one: Partition) -> str:
    return f"{_place(one)} ({one.filesystem})"


def _all_named(some: Collection[Partition]) -> str:
    return ", ".join(_named(one) for one in some)
