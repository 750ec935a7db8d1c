"""The nursery: a process with one thread that has everything loaded, and forks a worker when the daemon asks for one.

Started by the daemon with a socket as its only tie: when that ends, so does the nursery, and with it (the kernel sees
to it, whatever kills the nursery) every worker and every program. It never reads a byte that a stranger wrote.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import socket

from injector.errors import InjectorError
from injector.inject.partition.crew import worker
from injector.inject.partition.crew.charter import WANTED, Charter, broken
from injector.inject.partition.crew.frames import receive_note, send_note
from injector.inject.partition.crew.pair import Pair, bear
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


class Nursery:
    """Waits for the daemon's wishes, its children's ends, and the moment when nobody waits for these any more."""

    def __init__(self, daemon: socket.socket, block_layer: BlockLayer, birth: worker.Birth) -> None:
        self._daemon = daemon
        self._block_layer = block_layer
        self._birth = birth
        self._pairs: dict[int, Pair] = {}
        self._poll = select.poll()
        self._poll.register(daemon.fileno(), select.POLLIN)

    def run(self) -> None:
        """Until the daemon has gone. Whoever waits for this process's end finds none of its children."""
        try:
            while self._turn():
                pass
        finally:
            pairs = set(self._pairs.values())
            for pair in pairs:
                pair.kill()
            for pair in pairs:
                pair.put_down()

    def _turn(self) -> bool:
        """The daemon comes last: a descriptor made for it may have the number of one that just ended."""
        ready = [descriptor for descriptor, _ in self._poll.poll()]
        for descriptor in ready:
            pair = self._pairs.get(descriptor)
            if pair is not None:
                self._attend(pair, descriptor)
        return self._daemon.fileno() not in ready or self._obey()

    def _obey(self) -> bool:
        """False when the daemon has gone."""
        try:
            note, _ = receive_note(self._daemon)
            if note == WANTED:
                self._bear()
            return bool(note)
        except ConnectionError:
            return False

    def _bear(self) -> None:
        try:
            pair = bear(self._daemon, self._block_layer, self._birth)
        except ConnectionError:
            raise
        except (InjectorError, OSError) as error:
            send_note(self._daemon, broken(error))
        else:
            self._watch(pair.worker_end, pair, select.POLLIN)
            self._watch(pair.disk_end, pair, select.POLLIN)
            self._watch(pair.fate, pair, 0)

    def _watch(self, descriptor: int, pair: Pair, events: int) -> None:
        self._pairs[descriptor] = pair
        self._poll.register(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        if self._pairs.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _attend(self, pair: Pair, descriptor: int) -> None:
        self._forget(descriptor)
        if descriptor == pair.fate:
            pair.kill()
            return
        pair.reap(descriptor)
        if pair.ended:
            self._forget(pair.fate)
            pair.tell()


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


def prepare(charter: Charter, daemon: socket.socket) -> Nursery:
    """Load and find out everything once, and give up what no child will need."""
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
