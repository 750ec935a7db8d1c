"""Which file system of a disk is written into, and which back ends can; pure, on what is known of the image."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from injector.errors import GuestUnreadable
from injector.model.facts import ImageFacts, Partition, Root

_EXT = frozenset({"ext2", "ext3", "ext4"})
_EDITED: Mapping[str, frozenset[str]] = {"ext": _EXT, "mounted": _EXT | {"xfs", "btrfs"}}
"""What a back end edits, as blkid names it; one that is not here edits everything (guestfs)."""


def root_of(facts: ImageFacts, inject_partition: int) -> Root:
    """The operator's choice on this image: -1 what inspection found, 0 the whole disk, N partition N.

    GuestUnreadable when there is no such thing, saying what there is.
    """
    if inject_partition == -1:
        if facts.root is None:
            raise GuestUnreadable(
                f"the image's root file system was not found: {facts.doubt or 'nothing looks like one'}"
            )
        return facts.root
    if inject_partition == 0:
        return _whole(facts)
    found = next((one for one in facts.partitions if one.number == inject_partition), None)
    if found is None:
        there = ", ".join(str(one.number) for one in facts.partitions if one.number) or "none"
        message = f"the image has no partition {inject_partition} (inject_partition); it has: {there}"
        raise GuestUnreadable(message)
    return _named(found, facts, f"the operator names partition {inject_partition} (inject_partition)")


def _whole(facts: ImageFacts) -> Root:
    if facts.root is not None and facts.root.partition == 0 and facts.root.volume is None:
        return facts.root
    found = next((one for one in facts.partitions if one.number == 0), None)
    if found is None:
        what = f"it has a partition table ({facts.table})" if facts.table != "none" else "none is recognised on it"
        raise GuestUnreadable(f"the image's whole disk is no file system (inject_partition is 0): {what}")
    return _named(found, facts, "the operator names the whole disk (inject_partition)")


def _named(partition: Partition, facts: ImageFacts, why: str) -> Root:
    """What inspection knows of it besides (a subvolume, a logical volume) stays known."""
    if facts.root is not None and facts.root.partition == partition.number:
        return facts.root
    if partition.filesystem is None:
        raise GuestUnreadable(f"no file system is recognised in the image's partition {partition.number}")
    return Root(partition.number, partition.start, partition.size, partition.filesystem, why)


def able(back_ends: Collection[str], root: Root) -> tuple[str, ...]:
    """Those that edit such a root, in their order; a volume that is no plain partition is libguestfs's matter."""
    return tuple(
        name for name in back_ends if name not in _EDITED or (root.volume is None and root.filesystem in _EDITED[name])
    )
