"""A worker and its block layer as the nursery has them: born together, put down together, their end told together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

from injector import wire
from injector.inject.partition.crew import worker
from injector.inject.partition.crew.charter import WORKER, Fate
from injector.inject.partition.crew.frames import close_all, send_note
from injector.inject.partition.crew.storage import BlockLayer
from injector.system.process import Companion

_LAST_WORDS = 2048


class Pair:
    """``worker_end`` and ``disk_end`` are pidfds; ``fate`` is a pipe in which their end is told, and a leash: nobody
    has its other end any more when nobody waits for them.
    """

    def __init__(self, pid: int, disk: Companion, fate: int, complaints: int, ends: tuple[int, int]) -> None:
        self.fate = fate
        self.worker_end, self.disk_end = ends
        self._pid = pid
        self._disk = disk
        self._complaints = complaints
        self._statuses: dict[int, int] = {}

    @property
    def ended(self) -> bool:
        return len(self._statuses) == 2

    def reap(self, end: int) -> None:
        """Wait for the one whose end this is."""
        if end == self.worker_end:
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        else:
            status = self._disk.wait()
        self._statuses[end] = status
        os.close(end)

    def kill(self) -> None:
        """Both, as far as they still run; nothing is waited for."""
        if self.worker_end not in self._statuses:
            os.kill(self._pid, signal.SIGKILL)
        if self.disk_end not in self._statuses:
            self._disk.kill()

    def put_down(self) -> None:
        self.kill()
        for end in {self.worker_end, self.disk_end} - self._statuses.keys():
            self.reap(end)

    def tell(self) -> None:
        """Of both ends, to whoever still wants to know."""
        with os.fdopen(self._complaints, "rb", buffering=0) as complaints:
            said = (complaints.read(_LAST_WORDS) or b"").decode("utf-8", "replace")
        what = Fate(self._statuses[self.worker_end], self._statuses[self.disk_end], said)
        with os.fdopen(self.fate, "wb", buffering=0) as fate, contextlib.suppress(BrokenPipeError):
            fate.write(wire.to_clear(what))


def bear(daemon: socket.socket, block_layer: BlockLayer, birth: worker.Birth) -> Pair:
    """A pair of which the daemon has been given its part; when that fails, nothing of it is left.

    Everything is connected before the block layer starts, and nobody else can connect to it ever.
    """
    with contextlib.ExitStack() as given, contextlib.ExitStack() as kept:
        own_control, control = (given.enter_context(one) for one in socket.socketpair())
        own_monitor, monitor = (given.enter_context(one) for one in socket.socketpair())
        listener, connection = (given.enter_context(one) for one in connected_listener())
        told, fate = _pipe()
        given.callback(os.close, told)
        kept.callback(os.close, fate)
        gate, opening = _pipe()
        given.callback(close_all, (gate, opening))
        complaints, complaining = _pipe()
        kept.callback(os.close, complaints)
        given.callback(os.close, complaining)
        os.set_blocking(complaints, False)
        disk = block_layer.start(monitor, listener, gate, complaining)
        kept.callback(disk.wait)
        kept.callback(disk.kill)
        pid = os.fork()
        if pid == 0:
            worker.live(birth, control, connection)
        kept.callback(os.waitpid, pid, 0)
        kept.callback(os.kill, pid, signal.SIGKILL)
        ends = _pidfd(kept, pid), _pidfd(kept, disk.pid)
        send_note(daemon, WORKER, (own_control.fileno(), own_monitor.fileno(), told, opening, *ends))
        kept.pop_all()
        return Pair(pid, disk, fate, complaints, ends)


def connected_listener() -> tuple[socket.socket, socket.socket]:
    """A listening socket and the only connection that it will ever have, in this order.

    No file: the name is of the kernel's making. Its queue has room for one, so that ours is the one in it; whoever
    was quicker has the place, and is left alone with a socket that nobody serves. Shut down, it refuses all others.
    """
    while True:
        listener, connection = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        listener.bind("")
        listener.listen(0)
        connection.setblocking(False)
        try:
            connection.connect(listener.getsockname())
        except BlockingIOError:
            listener.close()
            connection.close()
            continue
        connection.setblocking(True)
        listener.shutdown(socket.SHUT_RDWR)
        return listener, connection


def _pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC)


def _pidfd(kept: contextlib.ExitStack, pid: int) -> int:
    descriptor = os.pidfd_open(pid)
    kept.callback(os.close, descriptor)
    return descriptor
