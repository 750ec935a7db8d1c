"""A partition of a disk with a memory: what was read is kept for a while, what is written is held back until commit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.filesystem import Disk

CHUNK = 64 * 1024
"""What is read at once: a round trip costs 50 microseconds, and what belongs together lies together."""
PAGE = 4096
"""What is kept of a change, and written."""
_KEPT = 32 * 1024 * 1024
_HELD = 256 * 1024 * 1024
_RUN = 1024 * 1024


class Held:
    """Bytes ``start`` to ``start + size`` of a disk, counted from 0. Nothing is written to the disk before ``commit``.

    The disk's OSErrors go through; GuestUnreadable is raised for whatever lies outside, CannotServe for more than
    ``limit`` bytes of changes.
    """

    def __init__(self, disk: Disk, start: int, size: int, *, limit: int = _HELD) -> None:
        if start < 0 or size < 0 or start + size > disk.size:
            raise GuestUnreadable("its partition reaches beyond the end of its disk")
        self.size = size
        self._disk = disk
        self._start = start
        self._limit = limit
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._pages: dict[int, bytearray] = {}
        self._touched: set[int] = set()
        """Chunks with changed pages: reading any other is a slice."""

    def read(self, offset: int, length: int) -> bytes:
        self._inside(offset, length)
        chunk, skip = divmod(offset, CHUNK)
        if skip + length <= CHUNK and chunk not in self._touched:
            return self._chunk(chunk)[skip : skip + length]
        return b"".join(
            memoryview(self._page(page))[skip : skip + count] for page, skip, count in _pieces(offset, length)
        )

    def write(self, offset: int, data: bytes) -> None:
        """Held back; what is there already is no change."""
        self._inside(offset, len(data))
        done = 0
        for page, skip, count in _pieces(offset, len(data)):
            self._change(page, skip, data[done : done + count])
            done += count

    def commit(self) -> None:
        """Everything held back goes to the disk, in ascending order, and is flushed."""
        if not self._pages:
            return
        for offset, data in self._runs():
            self._disk.write(self._start + offset, data)
        self._disk.flush()

    def _inside(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise GuestUnreadable("its file system points outside its partition")

    def _chunk(self, place: int) -> bytes:
        """As it is on the disk."""
        found = self._chunks.get(place)
        if found is not None:
            self._chunks.move_to_end(place)
            return found
        at = place * CHUNK
        found = self._disk.read(self._start + at, min(CHUNK, self.size - at))
        self._chunks[place] = found
        if len(self._chunks) > _KEPT // CHUNK:
            self._chunks.popitem(last=False)
        return found

    def _page(self, place: int) -> bytes | bytearray:
        found = self._pages.get(place)
        if found is not None:
            return found
        chunk, skip = divmod(place * PAGE, CHUNK)
        return self._chunk(chunk)[skip : skip + PAGE]

    def _change(self, place: int, skip: int, data: bytes) -> None:
        page = self._page(place)
        if page[skip : skip + len(data)] == data:
            return
        if not isinstance(page, bytearray):
            if len(self._pages) * PAGE >= self._limit:
                raise CannotServe(f"the change is larger than {self._limit >> 20} MiB")
            page = self._pages[place] = bytearray(page)
            self._touched.add(place * PAGE // CHUNK)
        page[skip : skip + len(data)] = data

    def _runs(self) -> Iterator[tuple[int, bytes]]:
        """Neighbours together, up to a size that one write takes."""
        start, run = 0, bytearray()
        for place, page in sorted(self._pages.items()):
            offset = place * PAGE
            if run and (offset != start + len(run) or len(run) >= _RUN):
                yield start, bytes(run)
                run = bytearray()
            if not run:
                start = offset
            run += page
        if run:
            yield start, bytes(run)


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Page, offset in it, bytes of it."""
    while length > 0:
        place, skip = divmod(offset, PAGE)
        count = min(PAGE - skip, length)
        yield place, skip, count
        offset += count
        length -= count
