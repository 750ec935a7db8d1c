"""An io_manager of ours for libext2fs: what it reads and writes goes through Python, over a partition held back."""

from __future__ import annotations

from ctypes import addressof, byref, memmove, string_at
from typing import Any

from injector.inject.partition.ext.held import Held
from injector.inject.partition.ext.library import (
    CHANNEL_MAGIC,
    MANAGER_MAGIC,
    IoChannel,
    IoManager,
    OfChannel,
    Open,
    ReadBlocks,
    SetBlockSize,
    WriteByte,
)

_EIO = 5


class Channel:
    """What the library opens instead of a device. It must outlive every handle of the library that uses it.

    No exception can pass through C: the first one is kept in ``error``, the library gets an error code, and whoever
    called the library raises it.
    """

    def __init__(self, held: Held) -> None:
        self.held = held
        self.error: BaseException | None = None
        self._block = 1024
        self._channel = IoChannel(magic=CHANNEL_MAGIC, name=b"guest", block_size=1024, refcount=1)
        self.manager = IoManager(
            magic=MANAGER_MAGIC,
            name=b"guest",
            open=Open(self._open),
            close=OfChannel(_nothing),
            set_blksize=SetBlockSize(self._set_block),
            read_blk=ReadBlocks(self._read),
            write_blk=ReadBlocks(self._write),
            flush=OfChannel(_nothing),
            write_byte=WriteByte(self._write_bytes),
            read_blk64=ReadBlocks(self._read),
            write_blk64=ReadBlocks(self._write),
        )
        self._channel.manager = addressof(self.manager)

    @property
    def reference(self) -> Any:
        return byref(self.manager)

    def _open(self, _name: bytes, _flags: int, result: Any) -> int:
        result[0] = addressof(self._channel)
        return 0

    def _set_block(self, _channel: int, size: int) -> int:
        self._block = self._channel.block_size = size
        return 0

    def _read(self, _channel: int, block: int, count: int, data: int) -> int:
        try:
            offset, length = block * self._block, self._length(count)
            memmove(data, self.held.read(offset, length), length)
        except BaseException as error:
            return self._failed(error)
        return 0

    def _write(self, _channel: int, block: int, count: int, data: int) -> int:
        try:
            self.held.write(block * self._block, string_at(data, self._length(count)))
        except BaseException as error:
            return self._failed(error)
        return 0

    def _write_bytes(self, _channel: int, offset: int, count: int, data: int) -> int:
        try:
            self.held.write(offset, string_at(data, count))
        except BaseException as error:
            return self._failed(error)
        return 0

    def _length(self, count: int) -> int:
        """The library counts in blocks, or in bytes when it is negative."""
        return -count if count < 0 else count * self._block

    def _failed(self, error: BaseException) -> int:
        if self.error is None:
            self.error = error
        return _EIO


def _nothing(_channel: int) -> int:
    return 0
