"""Connections that hold a thread of the server no longer than for a while, however slowly the caller sends.

Cheroot's own timeout is for each piece that is received: one byte every nine seconds would be in time for ever.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cheroot.makefile import MakeFile, StreamReader
from cheroot.server import HTTPConnection, HTTPRequest

HEAD_SECONDS = 10.0


class _Raw(socket.SocketIO):
    """What is received of a socket; until ``by``, if that is set."""

    by: float | None = None

    def __init__(self, connection: socket.socket, mode: Any) -> None:
        super().__init__(connection, mode)
        self._connection = connection

    def readinto(self, buffer: Any) -> int | None:
        if self.by is None:
            return super().readinto(buffer)
        left = self.by - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")  # in the words that cheroot answers with a 408
        usual = self._connection.gettimeout()
        self._connection.settimeout(left if usual is None else min(left, usual))
        try:
            return super().readinto(buffer)
        finally:
            self._connection.settimeout(usual)


class _Reader(StreamReader):
    def __init__(self, connection: socket.socket, mode: str, size: int) -> None:
        self.received = _Raw(connection, mode)
        super(StreamReader, self).__init__(self.received, size)  # its own would make a SocketIO
        self.bytes_read = 0


def _make_file(connection: socket.socket, mode: str, size: int) -> Any:
    return _Reader(connection, mode, size) if "r" in mode else MakeFile(connection, mode, size)


class _Request(HTTPRequest):
    def parse_request(self) -> None:
        with self.conn.within(HEAD_SECONDS):
            super().parse_request()


class Connection(HTTPConnection):
    """The line and the headers of a request have to be there in time; else it is a 408."""

    RequestHandlerClass = _Request

    def __init__(self, server: Any, connection: socket.socket, _makefile: Any = None) -> None:
        super().__init__(server, connection, _make_file)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All that is received inside comes in time, or TimeoutError."""
        self.rfile.received.by = time.monotonic() + seconds
        try:
            yield
        finally:
            self.rfile.received.by = None
