"""The nursery: a process with one thread that has everything loaded, and forks a worker when the daemon asks for one.

Started by the daemon with a socket as its only tie: when that ends, so does the nursery, and with it (the kernel sees
to it, whatever kills the nursery) every worker and every program. It never reads a byte that a stranger wrote.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass, field

from injector import wire
from injector.errors import InjectorError
from injector.inject.partition.crew import worker
from injector.inject.partition.crew.charter import BROKEN, READY, WANTED, WORKER, Charter, Fate
from injector.inject.partition.crew.frames import receive_note, send_note
from injector.inject.partition.crew.rehearsal import warm_up
from injector.inject.partition.crew.storage import BlockLayer
from injector.system import landlock
from injector.system.confinement import (
    NO_CAPABILITY,
    SEALED,
    TO_CHANGE_USER,
    Bounds,
    forbid_new_rights,
    hide_memory,
    keep_capabilities,
    mapped_bytes,
    nobody,
)
from injector.system.process import Companion

_LAST_WORDS = 2048


@dataclass
class _Pair:
    """A worker and its block layer; ``fate`` is where their end is told, once both have ended."""

    worker: int
    disk: Companion
    fate: int
    complaints: int
    ended: dict[str, int] = field(default_factory=dict)

    def tell(self) -> None:
        said = os.read(self.complaints, _LAST_WORDS).decode("utf-8", "replace")
        os.close(self.complaints)
        _tell(self.fate, Fate(self.ended["worker"], self.ended["disk"], said))


def _tell(fate: int, what: Fate) -> None:
    try:
        os.write(fate, wire.to_clear(what))
    except BrokenPipeError:
        pass
    finally:
        os.close(fate)


class Nursery:
    """Waits for the daemon's wishes and its children's ends."""

    def __init__(self, daemon: socket.socket, block_layer: BlockLayer, birth: worker.Birth) -> None:
        self._daemon = daemon
        self._block_layer = block_layer
        self._birth = birth
        self._pairs: dict[int, tuple[_Pair, str]] = {}
        self._poll = select.poll()
        self._poll.register(daemon.fileno(), select.POLLIN)

    def run(self) -> None:
        """Until the daemon has gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._daemon.fileno():
                    self._bury(descriptor)
                elif not self._obey():
                    return self._end()

    def _obey(self) -> bool:
        note, _ = receive_note(self._daemon)
        try:
            if note == WANTED:
                self._bear()
        except (InjectorError, OSError) as error:
            send_note(self._daemon, BROKEN + b" " + _reason(error))
        return bool(note)

    def _end(self) -> None:
        """Whoever waits for this process's end finds none of its children."""
        for pair, who in self._pairs.values():
            if who == "worker":
                os.kill(pair.worker, signal.SIGKILL)
                os.waitpid(pair.worker, 0)
            else:
                pair.disk.kill()
                pair.disk.wait()

    def _bear(self) -> None:
        """Everything is connected before the block layer starts, and nobody else can connect to it ever."""
        own_control, control = socket.socketpair()
        own_monitor, monitor = socket.socketpair()
        listener, connection = connected_listener()
        told, fate = os.pipe2(os.O_CLOEXEC)
        complaints, complaining = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(complaints, False)
        with own_control, control, own_monitor, monitor, listener, connection:
            disk = self._block_layer.start(monitor, listener, complaining)
            pid = os.fork()
            if pid == 0:
                worker.live(self._birth, control, connection)
            os.close(complaining)
            ends = os.pidfd_open(pid), os.pidfd_open(disk.pid)
            pair = _Pair(pid, disk, fate, complaints)
            self._watch(ends[0], pair, "worker")
            self._watch(ends[1], pair, "disk")
            send_note(self._daemon, WORKER, (own_control.fileno(), own_monitor.fileno(), told, *ends))
        os.close(told)

    def _watch(self, ended: int, pair: _Pair, who: str) -> None:
        self._pairs[ended] = pair, who
        self._poll.register(ended, select.POLLIN)

    def _bury(self, ended: int) -> None:
        pair, who = self._pairs.pop(ended)
        self._poll.unregister(ended)
        os.close(ended)
        if who == "worker":
            pair.ended[who] = os.waitstatus_to_exitcode(os.waitpid(pair.worker, 0)[1])
        else:
            pair.ended[who] = pair.disk.wait()
        if len(pair.ended) == 2:
            pair.tell()


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


def _landlock_here() -> int:
    """Found out by a child: a service manager's filter may kill who asks."""
    answer, asking = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.write(asking, bytes([landlock.version()]))
        os._exit(0)
    os.close(asking)
    with os.fdopen(answer, "rb") as told:
        version = told.read(1)
    os.waitpid(pid, 0)
    return version[0] if version else 0


def _prepare(charter: Charter, daemon: socket.socket) -> Nursery:
    trade = importlib.import_module(charter.trade)
    identity = nobody()
    abi = _landlock_here()
    block_layer = BlockLayer(charter, abi)
    seal = SEALED.compile()
    warm_up(trade.perform)
    forbid_new_rights()
    keep_capabilities(NO_CAPABILITY if identity is None else TO_CHANGE_USER)
    gc.collect()
    gc.freeze()
    bounds = Bounds(
        address_space=mapped_bytes() + charter.memory_limit,
        cpu_seconds=charter.cpu_seconds,
        file_size=0,
        open_files=worker.DESCRIPTORS,
        processes=0,
    )
    hide_memory()
    birth = worker.Birth(os.getpid(), identity, landlock.prepare(landlock.NOWHERE, abi), bounds, seal, trade.perform)
    return Nursery(daemon, block_layer, birth)


def _reason(error: Exception) -> bytes:
    detail = getattr(error, "detail", None)
    return (f"{error}: {detail}" if detail else str(error)).encode("utf-8", "replace")[:_LAST_WORDS]


def main(descriptor: str, charter: str) -> None:
    daemon = socket.socket(fileno=int(descriptor))
    try:
        nursery = _prepare(wire.from_clear(charter.encode(), Charter), daemon)
    except (InjectorError, ImportError, OSError, AttributeError) as error:
        send_note(daemon, BROKEN + b" " + _reason(error))
        return
    send_note(daemon, READY)
    nursery.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
