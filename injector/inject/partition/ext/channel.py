"""An io_manager of ours for libext2fs: what it reads and writes goes through Python, over a partition held back.

All functions that C calls are made when this module is imported: making one maps executable memory and looks into
/proc (libffi does, seen by strace), which a sealed process cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, byref, memmove, string_at
from typing import Any
from weakref import WeakValueDictionary

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
        self.error: BaseException | None = None
        self._held = held
        self._block = 1024
        self._channel = IoChannel(
            magic=CHANNEL_MAGIC, manager=addressof(_manager), name=b"guest", block_size=1024, refcount=1
        )
        self.address = addressof(self._channel)
        _channels[self.address] = self

    @property
    def name(self) -> bytes:
        """By which the library is to open it."""
        return b"%d" % self.address

    @property
    def manager(self) -> Any:
        return byref(_manager)

    def set_block(self, size: int) -> None:
        self._block = self._channel.block_size = size

    def read(self, block: int, count: int, data: int) -> None:
        length = self._length(count)
        memmove(data, self._held.read(block * self._block, length), length)

    def write(self, block: int, count: int, data: int) -> None:
        self._held.write(block * self._block, string_at(data, self._length(count)))

    def write_bytes(self, offset: int, count: int, data: int) -> None:
        self._held.write(offset, string_at(data, count))

    def _length(self, count: int) -> int:
        """The library counts in blocks, or in bytes when it is negative."""
        return -count if count < 0 else count * self._block


_channels: WeakValueDictionary[int, Channel] = WeakValueDictionary()
"""Those that are there, by their address: all that C knows of one."""


def _open(name: bytes, _flags: int, result: Any) -> int:
    result[0] = int(name)
    return 0


def _nothing(_address: int) -> int:
    return 0


def _of_channel(method: Callable[..., None]) -> Callable[..., int]:
    def call(address: int, *arguments: int) -> int:
        channel = _channels[address]
        try:
            method(channel, *arguments)
        except BaseException as error:
            channel.error = channel.error or error
            return _EIO
        return 0

    return call


_manager = IoManager(
    magic=MANAGER_MAGIC,
    name=b"guest",
    open=Open(_open),
    close=OfChannel(_nothing),
    set_blksize=SetBlockSize(_of_channel(Channel.set_block)),
    read_blk=ReadBlocks(_of_channel(Channel.read)),
    write_blk=ReadBlocks(_of_channel(Channel.write)),
    flush=OfChannel(_nothing),
    write_byte=WriteByte(_of_channel(Channel.write_bytes)),
    read_blk64=ReadBlocks(_of_channel(Channel.read)),
    write_blk64=ReadBlocks(_of_channel(Channel.write)),
)
