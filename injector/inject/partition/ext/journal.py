"""A journal that was not played to its end (jbd2), replayed here as a kernel would at its next mount.

The format is that of the kernel's fs/jbd2 and include/linux/jbd2.h. Numbers in a journal are big-endian.

Neither e2fsck nor debugfs can do it on a copy of the blocks that the journal names: the first goes on to end orphans,
wherever they lie, and the second wants bitmaps that agree before it begins. Orphans are left to the guest's kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.ext.channel import Channel
from injector.inject.partition.ext.features import (
    INCOMPAT_AT,
    METADATA_CSUM,
    NEEDS_RECOVERY,
    SUPERBLOCK_AT,
    SUPERBLOCK_SIZE,
    Superblock,
)
from injector.inject.partition.ext.handle import Handle
from injector.inject.partition.ext.held import Held
from injector.inject.partition.ext.library import library

LARGEST = 1 << 30
"""Bytes of a journal; what mke2fs makes at most."""

_MAGIC = 0xC03B3998
_DESCRIPTOR, _COMMIT, _SUPERBLOCK_V1, _SUPERBLOCK_V2, _REVOKE = 1, 2, 3, 4, 5
_HEADER = 12

_REVOCATIONS, _BIT64, _CSUM_V2, _CSUM_V3 = 0x01, 0x02, 0x08, 0x10
_KNOWN = _REVOCATIONS | _BIT64 | _CSUM_V2 | _CSUM_V3
_CRC32C = 4
_TAIL = 4

_ESCAPED, _SAME_UUID, _LAST_TAG = 1, 2, 8

_SEQUENCE_AT, _START_AT, _ERROR_AT, _UUID_AT, _CHECKSUM_AT = 24, 28, 32, 48, 252
_COMMIT_CHECKSUM_AT, _COMMIT_TIME_AT = 16, 48


def recover(held: Held, found: Superblock) -> None:
    """Replay into ``held``, so that nothing needs recovery any more.

    Raises CannotServe for a journal of another kind, GuestUnreadable for a damaged one.
    """
    log = _Log.of(held, found)
    end = log.replay() if log.start else log.sequence
    log.reset(end + 1 & 0xFFFFFFFF)
    raw = bytearray(held.read(SUPERBLOCK_AT, SUPERBLOCK_SIZE))
    incompat = struct.unpack_from("<I", raw, INCOMPAT_AT)[0]
    struct.pack_into("<I", raw, INCOMPAT_AT, incompat & ~NEEDS_RECOVERY)
    if found.ro_compat & METADATA_CSUM:
        struct.pack_into("<I", raw, SUPERBLOCK_SIZE - 4, _crc(0xFFFFFFFF, raw[:-4]))
    held.write(SUPERBLOCK_AT, bytes(raw))


@dataclass(frozen=True, slots=True)
class _Tag:
    """A block of the file system that is in the journal, at ``place`` there."""

    block: int
    place: int
    flags: int
    checksum: int


@dataclass(slots=True)
class _Transaction:
    sequence: int
    tags: list[_Tag] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Log:
    """A journal: a ring of the blocks from ``first`` on; the oldest transaction begins at ``start`` (0: none is left).

    ``blocks`` are those of the journal, by their place in it; ``seed`` of its checksums, None where it has none.
    """

    held: Held
    found: Superblock
    blocks: tuple[int, ...]
    features: int
    first: int
    start: int
    sequence: int
    seed: int | None

    @classmethod
    def of(cls, held: Held, found: Superblock) -> _Log:
        blocks = _blocks(held, found)
        raw = held.read(blocks[0] * found.block, 1024)
        magic, form, _, size, last, first, sequence, start, error = struct.unpack_from(">9I", raw)
        if magic != _MAGIC or form not in (_SUPERBLOCK_V1, _SUPERBLOCK_V2) or size != found.block:
            raise _damaged("it has no superblock")
        features = _features(raw) if form == _SUPERBLOCK_V2 else 0
        if not 1 <= first < last <= len(blocks) or (start and not first <= start < last):
            raise _damaged("its superblock makes no sense")
        if error:
            raise GuestUnreadable("its file system is marked as having errors: it needs e2fsck")
        seed = None
        if features & (_CSUM_V2 | _CSUM_V3):
            if raw[80] != _CRC32C or _own_checksum(raw) != struct.unpack_from(">I", raw, _CHECKSUM_AT)[0]:
                raise _damaged("the checksum of its superblock is wrong")
            seed = _crc(0xFFFFFFFF, raw[_UUID_AT : _UUID_AT + 16])
        return cls(held, found, blocks[:last], features, first, start, sequence, seed)

    def replay(self) -> int:
        """Every committed transaction, in order; the number after the last of them."""
        done = self.sequence
        committed = list(self._committed())
        revoked = _last_revocations(committed)
        for transaction in committed:
            done = transaction.sequence + 1
            for tag in transaction.tags:
                last = revoked.get(tag.block)
                if last is None or _later(transaction.sequence, last):
                    self._restore(tag, transaction.sequence)
        return done

    def reset(self, sequence: int) -> None:
        """Empty, as after an orderly end."""
        raw = bytearray(self.held.read(self.blocks[0] * self.found.block, 1024))
        struct.pack_into(">2I", raw, _SEQUENCE_AT, sequence, 0)
        if self.seed is not None:
            struct.pack_into(">I", raw, _CHECKSUM_AT, _own_checksum(bytes(raw)))
        self.held.write(self.blocks[0] * self.found.block, bytes(raw))

    def _committed(self) -> Iterator[_Transaction]:
        """Up to the first that was not ended.

        A wrong checksum is damage, unless time runs backwards there: then it is a rest of an older journal.
        """
        place, now, doubtful = self.start, 0, False
        transaction = _Transaction(self.sequence)
        for _ in self.blocks:
            raw = self._read(place)
            place = self._after(place)
            magic, kind, sequence = struct.unpack_from(">3I", raw)
            if magic != _MAGIC or sequence != transaction.sequence:
                return
            if kind == _DESCRIPTOR:
                doubtful = doubtful or not self._tail_holds(raw)
                for block, flags, checksum in self._tags(raw):
                    transaction.tags.append(_Tag(block, place, flags, checksum))
                    place = self._after(place)
            elif kind == _REVOKE:
                doubtful = doubtful or not self._tail_holds(raw)
                transaction.revoked += [] if doubtful else self._revocations(raw)
            elif kind == _COMMIT:
                time = struct.unpack_from(">Q", raw, _COMMIT_TIME_AT)[0]
                if doubtful or not self._holds(raw, _COMMIT_CHECKSUM_AT):
                    if time < now:
                        return
                    raise _damaged(f"a checksum in transaction {sequence} is wrong")
                now = time
                yield transaction
                transaction = _Transaction(sequence + 1 & 0xFFFFFFFF)
            else:
                return

    def _tags(self, raw: bytes) -> Iterator[tuple[int, int, int]]:
        at, end = _HEADER, len(raw) - (0 if self.seed is None else _TAIL)
        while at + self._tag_size <= end:
            if self.features & _CSUM_V3:
                low, flags, high, checksum = struct.unpack_from(">4I", raw, at)
            else:
                low, checksum, flags = struct.unpack_from(">IHH", raw, at)
                high = struct.unpack_from(">I", raw, at + 8)[0] if self.features & _BIT64 else 0
            yield low | (high << 32 if self.features & _BIT64 else 0), flags, checksum
            if flags & _LAST_TAG:
                return
            at += self._tag_size + (0 if flags & _SAME_UUID else 16)

    @property
    def _tag_size(self) -> int:
        if self.features & _CSUM_V3:
            return 16
        return 8 + (4 if self.features & _BIT64 else 0) + (2 if self.features & _CSUM_V2 else 0)

    def _revocations(self, raw: bytes) -> list[int]:
        size = 8 if self.features & _BIT64 else 4
        end = struct.unpack_from(">I", raw, _HEADER)[0]
        if end > len(raw) - (0 if self.seed is None else _TAIL):
            raise _damaged("a list of revoked blocks is too long")
        count = max(0, end - _HEADER - 4) // size
        return list(struct.unpack_from(f">{count}{'Q' if size == 8 else 'I'}", raw, _HEADER + 4))

    def _restore(self, tag: _Tag, sequence: int) -> None:
        if tag.block >= self.found.blocks:
            raise _damaged("it names a block outside the file system")
        raw = self._read(tag.place)
        if self.seed is not None:
            checksum = _crc(_crc(self.seed, struct.pack(">I", sequence)), raw)
            if tag.checksum != (checksum if self.features & _CSUM_V3 else checksum & 0xFFFF):
                raise _damaged(f"the checksum of a block in transaction {sequence} is wrong")
        if tag.flags & _ESCAPED:
            # It began like a block of the journal itself.
            raw = struct.pack(">I", _MAGIC) + raw[4:]
        self.held.write(tag.block * self.found.block, raw)

    def _tail_holds(self, raw: bytes) -> bool:
        return self._holds(raw, len(raw) - _TAIL)

    def _holds(self, raw: bytes, at: int) -> bool:
        """Whether the checksum at this offset is that of the block with zeros in its place."""
        if self.seed is None:
            return True
        return _crc(self.seed, raw[:at] + bytes(4) + raw[at + 4 :]) == int(struct.unpack_from(">I", raw, at)[0])

    def _read(self, place: int) -> bytes:
        return self.held.read(self.blocks[place] * self.found.block, self.found.block)

    def _after(self, place: int) -> int:
        return place + 1 if place + 1 < len(self.blocks) else self.first


def _blocks(held: Held, found: Superblock) -> tuple[int, ...]:
    with closing(Handle(Channel(held), found, writable=False, stamp=0)) as handle:
        size = handle.inode(found.journal_inode).size
        if size > LARGEST:
            raise CannotServe(f"its journal needs recovery and has {size >> 20} MiB")
        places = {place: block for place, block in handle.blocks_of(found.journal_inode) if place >= 0}
    count = min(len(places), size // found.block)
    if count < 2 or any(place not in places for place in range(count)):
        raise _damaged("it has holes")
    return tuple(places[place] for place in range(count))


def _features(raw: bytes) -> int:
    compat, incompat, ro_compat = struct.unpack_from(">3I", raw, 36)
    if compat or ro_compat or incompat & ~_KNOWN:
        flags = f"{compat:#x}, {incompat:#x}, {ro_compat:#x}"
        raise CannotServe(f"its journal needs recovery and is of a kind that is not replayed here ({flags})")
    if incompat & _CSUM_V2 and incompat & _CSUM_V3:
        raise _damaged("it has checksums of two kinds")
    return int(incompat)


def _last_revocations(committed: list[_Transaction]) -> dict[int, int]:
    """Of each block that was revoked, the last transaction that did: what came up to then is not written."""
    return {block: transaction.sequence for transaction in committed for block in transaction.revoked}


def _later(sequence: int, than: int) -> bool:
    """Numbers of transactions go round."""
    return 0 < (sequence - than) & 0xFFFFFFFF < 0x80000000


def _own_checksum(raw: bytes) -> int:
    return _crc(0xFFFFFFFF, raw[:_CHECKSUM_AT] + bytes(4) + raw[_CHECKSUM_AT + 4 : 1024])


def _crc(start: int, data: bytes | bytearray) -> int:
    return int(library().ext2fs_crc32c_le(start, bytes(data), len(data)))


def _damaged(how: str) -> GuestUnreadable:
    return GuestUnreadable(f"its journal is damaged: {how}")
