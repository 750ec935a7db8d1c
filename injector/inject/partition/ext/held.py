"""A partition of a disk with a memory: what was read is kept for a while, what is written is held back until commit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.filesystem import Disk

CHUNK = 64 * 1024
"""What is read at once: a round trip costs 50 microseconds, and what belongs together lies together."""
_SECTOR = 1024
"""The unit of being changed: nothing of ext is smaller."""
_KEPT = 32 * 1024 * 1024
_HELD = 512 * 1024 * 1024
_RUN = 1024 * 1024


class Held:
    """Bytes ``start`` to ``start + size`` of a disk, counted from 0. Nothing is written to the disk before ``commit``.

    The disk's OSErrors go through; GuestUnreadable is raised for whatever lies outside.
    """

    def __init__(self, disk: Disk, start: int, size: int, *, limit: int = _HELD) -> None:
        if start < 0 or size < 0 or start + size > disk.size:
            raise GuestUnreadable("its partition reaches beyond the end of its disk")
        self.size = size
        self._disk = disk
        self._start = start
        self._most = limit // CHUNK
        self._clean: OrderedDict[int, bytearray] = OrderedDict()
        self._changed: dict[int, bytearray] = {}
        self._marks: dict[int, int] = {}

    def read(self, offset: int, length: int) -> bytes:
        self._inside(offset, length)
        place, skip = divmod(offset, CHUNK)
        if skip + length <= CHUNK:
            return bytes(memoryview(self._chunk(place))[skip : skip + length])
        return b"".join(
            memoryview(self._chunk(place))[skip : skip + count] for place, skip, count in _pieces(offset, length)
        )

    def write(self, offset: int, data: bytes) -> None:
        """Held back; what is there already is no change."""
        self._inside(offset, len(data))
        done = 0
        for place, skip, count in _pieces(offset, len(data)):
            self._change(place, skip, data[done : done + count])
            done += count

    @property
    def changed(self) -> bool:
        return bool(self._marks)

    def commit(self) -> None:
        """Everything held back goes to the disk, in ascending order, and is flushed."""
        if not self._marks:
            return
        for offset, data in self._runs():
            self._disk.write(self._start + offset, data)
        self._disk.flush()
        self._marks.clear()

    def _inside(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise GuestUnreadable("its file system points outside its partition")

    def _chunk(self, place: int) -> bytearray:
        found = self._changed.get(place)
        if found is not None:
            return found
        found = self._clean.get(place)
        if found is not None:
            self._clean.move_to_end(place)
            return found
        at = place * CHUNK
        found = bytearray(self._disk.read(self._start + at, min(CHUNK, self.size - at)))
        self._clean[place] = found
        if len(self._clean) > _KEPT // CHUNK:
            self._clean.popitem(last=False)
        return found

    def _change(self, place: int, skip: int, data: bytes) -> None:
        chunk = self._chunk(place)
        if chunk[skip : skip + len(data)] == data:
            return
        if place not in self._changed:
            if len(self._changed) >= self._most:
                raise CannotServe(f"the change is larger than {self._most * CHUNK >> 20} MiB")
            self._changed[place] = self._clean.pop(place)
        chunk[skip : skip + len(data)] = data
        first, last = skip // _SECTOR, (skip + len(data) - 1) // _SECTOR
        self._marks[place] = self._marks.get(place, 0) | ((1 << (last - first + 1)) - 1) << first

    def _runs(self) -> Iterator[tuple[int, bytes]]:
        """Neighbours together, up to a size that one write takes."""
        start, run = 0, bytearray()
        for offset in self._sectors():
            if run and (offset != start + len(run) or len(run) >= _RUN):
                yield start, bytes(run)
                run = bytearray()
            if not run:
                start = offset
            place, skip = divmod(offset, CHUNK)
            run += self._changed[place][skip : skip + _SECTOR]
        if run:
            yield start, bytes(run)

    def _sectors(self) -> Iterator[int]:
        for place, marks in sorted(self._marks.items()):
            for sector in range(CHUNK // _SECTOR):
                if marks >> sector & 1:
                    yield place * CHUNK + sector * _SECTOR


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Chunk, offset in it, bytes of it."""
    while length > 0:
        place, skip = divmod(offset, CHUNK)
        count = min(CHUNK - skip, length)
        yield place, skip, count
        offset += count
        length -= count
