"""What blocks and inodes a file system says are in use, and whether that can be true; asked before the first change.

A kernel asks the same (``ext4_mb_generate_buddy``, ``ext4_inode_block_valid``): whoever believes a wrong bitmap writes
over something else of the guest's, and finds out when it is read back, or nobody does.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from injector.errors import GuestUnreadable
from injector.inject.partition.ext.features import Superblock


@dataclass(frozen=True, slots=True)
class Group:
    """A group's descriptor: where its bitmaps and inodes are, how much of it is said to be free.

    ``unused``: inodes at its end that were never used, whose bytes may be anything.
    """

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    unused: int


def groups_in(raw: bytes, size: int) -> tuple[Group, ...]:
    """From descriptors of ``size`` bytes each (struct ext4_group_desc)."""
    if size == 32:
        return tuple(Group(*low) for low in struct.iter_unpack("<IIIHH12xH2x", raw))
    halves = struct.iter_unpack("<IIIHH12xH2xIIIHH2xH12x", raw)
    return tuple(
        Group(
            *(
                low | high << (32 if place < 3 else 16)
                for place, (low, high) in enumerate(zip(one[:6], one[6:], strict=True))
            )
        )
        for one in halves
    )


class Ground:
    """``blocks`` and ``inodes`` are the bitmaps of all groups, one bit each; ``backups`` are the blocks of superblocks
    and descriptors, ``table`` the blocks of one group's inodes. GuestUnreadable when they contradict each other.
    """

    def __init__(
        self,
        superblock: Superblock,
        groups: tuple[Group, ...],
        blocks: bytes,
        inodes: bytes,
        backups: Iterable[tuple[int, int]],
        table: int,
    ) -> None:
        self._superblock = superblock
        self._groups = groups
        own = [*backups, *(place for group in groups for place in _places(group, table))]
        self._own = sorted((start, start + count) for start, count in own)
        self._require_counts(blocks, inodes)
        for start, end in self._own:
            if not self._all_used(blocks, start, end):
                raise _lies("its bitmaps call free what belongs to the file system itself")

    def require_foreign(self, blocks: Iterable[int]) -> None:
        """That none of a file's blocks belongs to the file system itself, and none comes twice."""
        seen = set[int]()
        for block in blocks:
            place = bisect_right(self._own, (block, self._superblock.blocks)) - 1
            if place >= 0 and block < self._own[place][1]:
                raise _lies("a file lies where the file system keeps its own")
            if block in seen:
                raise _lies("a file has a block twice")
            seen.add(block)

    def was_used(self, inode: int) -> bool:
        """Whether its bytes mean something; of others the table need not have been cleared."""
        group, index = divmod(inode - 1, self._superblock.inodes_per_group)
        return index < self._superblock.inodes_per_group - self._groups[group].unused

    def _require_counts(self, blocks: bytes, inodes: bytes) -> None:
        superblock = self._superblock
        count = superblock.blocks - superblock.first_block
        for number, group in enumerate(self._groups):
            length = min(superblock.blocks_per_group, count - number * superblock.blocks_per_group)
            free = length - _ones(blocks, number * superblock.blocks_per_group, length)
            if free != group.free_blocks:
                raise _lies(
                    f"block group {number} says that {group.free_blocks} blocks are free, and its bitmap {free}"
                )
            length = superblock.inodes_per_group
            free = length - _ones(inodes, number * length, length)
            if free != group.free_inodes:
                raise _lies(
                    f"block group {number} says that {group.free_inodes} inodes are free, and its bitmap {free}"
                )

    def _all_used(self, blocks: bytes, start: int, end: int) -> bool:
        first = self._superblock.first_block
        start, end = max(start, first) - first, min(end, self._superblock.blocks) - first
        return end <= start or _ones(blocks, start, end - start) == end - start


def _places(group: Group, table: int) -> Iterator[tuple[int, int]]:
    yield from ((group.block_bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, table))


def _ones(bits: bytes, start: int, count: int) -> int:
    """How many of these bits are set."""
    skip = start % 8
    window = int.from_bytes(bits[start // 8 : (start + count + 7) // 8], "little") >> skip
    return (window & ((1 << count) - 1)).bit_count()


def _lies(how: str) -> GuestUnreadable:
    return GuestUnreadable(f"its file system is damaged: {how}")
