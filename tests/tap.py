"""A tap on a TCP connection: hands everything on, and keeps it, as somebody in the middle could."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Tap:
    """Listens on the loopback in front of a server there; ``heard`` is what passed, a connection after the other."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._streams: list[bytearray] = []
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def heard(self) -> bytes:
        with self._lock:
            return b"\n".join(bytes(stream) for stream in self._streams)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                for source, target in ((client, server), (server, client)):
                    stream = bytearray()
                    with self._lock:
                        self._streams.append(stream)
                        self._ends.append(source)
                    threading.Thread(target=self._pass_on, args=(source, target, stream), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, stream: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    stream += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """No connection outlives it."""
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def a_tap(port: int) -> Iterator[Tap]:
    tap = Tap(port)
    try:
        yield tap
    finally:
        tap.close()
