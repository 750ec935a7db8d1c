"""What the processes of the crew say to each other: messages of bounded length, and a time to be done by."""

from __future__ import annotations

import array
import errno
import math
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence

_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 20
_DESCRIPTORS = 8
_NOTE = 64 * 1024


class Deadline:
    """A moment, ``seconds`` from now, by which everything must be done."""

    def __init__(self, seconds: float) -> None:
        self._moment = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; TimeoutError when there are none."""
        left = self._moment - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def wait(self, descriptor: int) -> None:
        """Until there is something to read, or the far side has gone; TimeoutError when that is too late."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(math.ceil(self.left() * 1000)):
            pass


NEVER = Deadline(math.inf)


class Stream:
    """Messages over a stream socket; every wait ends with the deadline, however slowly the far side drips.

    Raises TimeoutError, and ConnectionError when the far side has gone or announces more than is allowed.
    """

    def __init__(self, connection: socket.socket, deadline: Deadline = NEVER) -> None:
        self._connection = connection
        self._deadline = deadline

    def send(self, body: bytes) -> None:
        data = memoryview(_LENGTH.pack(len(body)) + body)
        while data:
            self._ready()
            data = data[self._connection.send(data[:_CHUNK]) :]

    def receive(self, limit: int) -> bytes:
        """The next message, of ``limit`` bytes at most."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > limit:
            raise ConnectionError(f"a message of {length} bytes, where {limit} are allowed")
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        body = bytearray()
        while len(body) < length:
            self._ready()
            chunk = self._connection.recv(min(length - len(body), _CHUNK))
            if not chunk:
                raise ConnectionResetError("the far side has gone")
            body += chunk
        return bytes(body)

    def _ready(self) -> None:
        if self._deadline is not NEVER:
            self._connection.settimeout(self._deadline.left())


def send_note(connection: socket.socket, body: bytes, descriptors: Sequence[int] = ()) -> None:
    """A whole message over a socket that keeps messages apart."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([body], ancillary)


def receive_note(connection: socket.socket, *, wait: bool = True) -> tuple[bytes, tuple[int, ...]]:
    """A whole message, with descriptors that no program inherits; empty when the far side has gone.

    BlockingIOError when there is none and none is waited for. OSError with EMFILE when this process has no room for
    the descriptors: the note is lost then, and so are they.
    """
    room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
    data, ancillary, came, _ = connection.recvmsg(_NOTE, room, flags)
    received = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
    if came & socket.MSG_CTRUNC:
        close_all(received)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return data, tuple(received)


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
