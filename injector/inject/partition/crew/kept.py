"""The nursery as the daemon has it: started, asked for workers, ended with everything it bore."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import injector
from injector import wire
from injector.errors import ChannelBroken
from injector.inject.partition.crew.charter import BROKEN, READY, WANTED, WORKER, Charter
from injector.inject.partition.crew.frames import Deadline, receive_note, send_note
from injector.inject.partition.crew.hand import Hand, NurseryGone
from injector.model.hostile import harmless
from injector.system.process import start

_MODULE = "injector.inject.partition.crew"
_TO_LOAD = 30.0
_TO_END = 15.0
_DEAD_IN_A_ROW = 3


class KeptNursery:
    """Workers that are ready wait in the socket's queue, so nobody here has to watch over them.

    Any number of threads take from it. As many are ordered as threads wait, and in quiet times ``spare`` more.
    ChannelBroken when it cannot be started.
    """

    def __init__(self, charter: Charter, spare: int) -> None:
        self._spare = spare
        self._lock = threading.Lock()
        self._waiting = 0
        self._ordered = 0
        self._closed = False
        try:
            self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise _unkept(str(error)) from error
        with far:
            words = [sys.executable, "-P", "-s", "-m", _MODULE, str(far.fileno()), wire.to_clear(charter).decode()]
            self._program = start(
                words,
                purpose="keep partition injection's workers",
                descriptors=(far.fileno(),),
                env={"PYTHONPATH": str(Path(injector.__file__).parents[1])},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        self.refill()

    def take(self, deadline: Deadline) -> Hand:
        """A worker for this caller alone. TimeoutError, NurseryGone; ChannelBroken when none can be made.

        Spare ones may have died meanwhile. But where all do, the caller gets one, to find out what is wrong.
        """
        with self._lock:
            self._waiting += 1
        try:
            for _ in range(self._spare + _DEAD_IN_A_ROW):
                self._order(0)
                hand = Hand(self._next(deadline))
                if hand.alive():
                    return hand
                with hand:
                    pass
            self._order(0)
            return Hand(self._next(deadline))
        finally:
            with self._lock:
                self._waiting -= 1
                self._close_when_left()

    def refill(self) -> None:
        """Have the spare workers born: called when nobody's guest waits for the processor."""
        self._order(self._spare)

    def close(self) -> None:
        """It kills and buries its children at the end of the socket, and is waited for.

        Whoever waits for a worker finds the socket's end, so it is there until the last of them has.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._socket.shutdown(socket.SHUT_RDWR)
                self._close_when_left()
        self._program.end(_TO_END)

    def _close_when_left(self) -> None:
        if self._closed and not self._waiting:
            self._socket.close()

    def _wait_until_ready(self) -> None:
        try:
            Deadline(_TO_LOAD).wait(self._socket.fileno())
            note, _ = receive_note(self._socket)
        except TimeoutError as error:
            raise _unkept(f"their nursery was not ready within {_TO_LOAD:g} s") from error
        except OSError as error:
            raise _unkept(str(error)) from error
        if note != READY:
            raise _unkept(_reason(note))

    def _order(self, spare: int) -> None:
        with self._lock:
            missing = max(self._waiting, spare) - self._ordered
            try:
                for _ in range(missing):
                    send_note(self._socket, WANTED)
                    self._ordered += 1
            except OSError:
                # Whoever takes next finds out.
                return

    def _next(self, deadline: Deadline) -> tuple[int, ...]:
        while True:
            deadline.wait(self._socket.fileno())
            try:
                note, descriptors = receive_note(self._socket, wait=False)
            except BlockingIOError:
                # Another thread was quicker.
                continue
            except ConnectionError as error:
                raise NurseryGone from error
            except OSError as error:
                self._arrived()
                message = "no worker of partition injection can be taken on"
                raise ChannelBroken(message, detail=error.strerror) from error
            if not note:
                raise NurseryGone
            self._arrived()
            if note != WORKER:
                raise ChannelBroken("no worker of partition injection can be made here", detail=_reason(note))
            return descriptors

    def _arrived(self) -> None:
        with self._lock:
            self._ordered -= 1


def _unkept(why: str) -> ChannelBroken:
    return ChannelBroken("the workers of partition injection cannot be kept here", detail=why)


def _reason(note: bytes) -> str:
    return harmless(note.removeprefix(BROKEN)).strip() or "it ended at once"
