"""A guest's disk as a worker has it: one NBD connection, inherited, to a block layer of its own."""

from __future__ import annotations

import errno
import os
import socket

import nbd  # type: ignore[import-untyped]

from injector.inject.partition.crew.charter import EXPORT

_LARGEST = 16 << 20


class NbdDisk:
    """Reads and writes in pieces that any NBD server takes. What the server reports comes out as OSError."""

    def __init__(self, connection: socket.socket) -> None:
        self._handle = nbd.NBD()
        self._handle.set_export_name(EXPORT)
        try:
            self._handle.connect_socket(connection.detach())
            self._size: int = self._handle.get_size()
        except nbd.Error as error:
            raise _translated(error) from error

    @property
    def size(self) -> int:
        return self._size

    def read(self, start: int, length: int) -> bytes:
        try:
            if length <= _LARGEST:
                return bytes(self._handle.pread(length, start)) if length else b""
            pieces = (
                self._handle.pread(min(_LARGEST, length - done), start + done) for done in range(0, length, _LARGEST)
            )
            return b"".join(pieces)
        except nbd.Error as error:
            raise _translated(error) from error

    def write(self, start: int, data: bytes) -> None:
        try:
            for done in range(0, len(data), _LARGEST):
                self._handle.pwrite(data[done : done + _LARGEST], start + done)
        except nbd.Error as error:
            raise _translated(error) from error

    def flush(self) -> None:
        try:
            self._handle.flush()
        except nbd.Error as error:
            raise _translated(error) from error


def warm_up() -> None:
    """Have libnbd load what it loads late; nothing is connected."""
    nbd.NBD()


def _translated(error: nbd.Error) -> OSError:
    number = error.errnum or errno.EIO
    return OSError(number, f"the guest's disk: {os.strerror(number)}")
