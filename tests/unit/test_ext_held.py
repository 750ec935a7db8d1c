"""Writes to a partition are held back, all of them or none reach the disk, and nothing outside is touched."""

from __future__ import annotations

import random

import pytest

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.ext.held import CHUNK, PAGE, Held


class Bytes:
    """A disk in memory that remembers what was done to it."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.done: list[str] = []
        self.reads = 0

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, length: int) -> bytes:
        self.reads += 1
        return bytes(self.content[start : start + length])

    def write(self, start: int, data: bytes) -> None:
        self.done.append(f"write {start} {len(data)}")
        self.content[start : start + len(data)] = data

    def flush(self) -> None:
        self.done.append("flush")


def _disk(size: int = 5 * CHUNK) -> Bytes:
    return Bytes(random.Random(1).randbytes(size))


def test_what_was_written_is_read_and_the_disk_is_as_it_was() -> None:
    disk = _disk()
    before = bytes(disk.content)
    held = Held(disk, 1000, 4 * CHUNK)
    held.write(CHUNK - 10, b"across the border of two")
    assert (
        held.read(CHUNK - 12, 28)
        == before[1000 + CHUNK - 12 :][:2] + b"across the border of two" + before[1000 + CHUNK + 14 :][:2]
    )
    assert disk.done == []
    assert disk.content == before


def test_commit_writes_once_in_order_and_flushes() -> None:
    disk = _disk()
    held = Held(disk, 0, disk.size)
    for offset in (3 * CHUNK, PAGE, 0, 3 * CHUNK + 5):
        held.write(offset, b"new")
    held.commit()
    assert disk.done == [f"write 0 {2 * PAGE}", f"write {3 * CHUNK} {PAGE}", "flush"]


def test_writing_what_is_there_is_no_change() -> None:
    disk = _disk()
    held = Held(disk, 0, disk.size)
    held.write(100, bytes(disk.content[100:9000]))
    held.commit()
    assert disk.done == []


def test_it_agrees_with_plain_bytes() -> None:
    disk = _disk(3 * CHUNK + 3000)
    start, size = 1536, 2 * CHUNK + 2500
    plain = bytearray(disk.content)
    held = Held(disk, start, size)
    dice = random.Random(2)
    for _ in range(400):
        offset = dice.randrange(size)
        length = min(size - offset, dice.choice((1, 100, 1024, 5000, CHUNK + 1)))
        if dice.random() < 0.5:
            data = dice.randbytes(length)
            held.write(offset, data)
            plain[start + offset : start + offset + length] = data
        assert held.read(offset, length) == plain[start + offset : start + offset + length]
    held.commit()
    assert disk.content == plain


def test_neighbours_are_read_at_once() -> None:
    disk = _disk()
    held = Held(disk, 0, disk.size)
    for offset in range(0, CHUNK, 1024):
        held.read(offset, 1024)
    assert disk.reads == 1


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (4096, 1), (4095, 2), (1 << 60, 1), (0, -1)])
def test_nothing_outside_is_reached(offset: int, length: int) -> None:
    held = Held(_disk(), 100, 4096)
    with pytest.raises(GuestUnreadable):
        held.read(offset, length)
    if length > 0:
        with pytest.raises(GuestUnreadable):
            held.write(offset, bytes(length))


def test_a_partition_beyond_its_disk_is_refused() -> None:
    disk = _disk(4096)
    with pytest.raises(GuestUnreadable):
        Held(disk, 1, 4096)


def test_more_changes_than_memory_is_given_for_are_refused() -> None:
    disk = _disk()
    held = Held(disk, 0, disk.size, limit=2 * PAGE)
    held.write(0, bytes(2 * PAGE))
    with pytest.raises(CannotServe):
        held.write(2 * PAGE, b"x")


def test_a_disk_that_fails_is_the_hosts_fault() -> None:
    class Broken(Bytes):
        def read(self, start: int, length: int) -> bytes:
            raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        Held(Broken(bytes(4096)), 0, 4096).read(0, 1)
