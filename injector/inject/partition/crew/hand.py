"""A worker as the daemon holds it: asked once, and ended with its block layer before anything else may happen."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from types import TracebackType

import msgspec

from injector import wire
from injector.errors import ChannelBroken, GuestUnreadable, InjectorError
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.charter import Fate, Order
from injector.inject.partition.crew.frames import Deadline, Stream, close_all
from injector.inject.partition.crew.monitor import Monitor, graph
from injector.inject.partition.errand import Answer, Errand, Inject, Look, Survey
from injector.model.hostile import harmless

# What an answer may hold beside what was asked for: a crowded shadow, the keys that were there.
_TO_SPARE = 16 << 20
_LARGEST_ANSWER = 256 << 20
_LONGEST_FATE = 64 * 1024
_TO_END = 10.0
_TO_HANG_UP = 1.0
_BROKEN = "reading its file system broke the process that did it"


class NurseryGone(Exception):
    """It has ended, and what it bore ends with it; of the errand nothing was begun."""


class Hand:
    """One pair of processes: ``with`` ends both, whatever happens, and does not leave before they have ended."""

    def __init__(self, descriptors: tuple[int, ...]) -> None:
        control, monitor, self._told, gate, *ends = descriptors
        self._gate = [gate]
        self._control, self._monitor = socket.socket(fileno=control), socket.socket(fileno=monitor)
        self._ends = tuple(ends)
        self._fate: Fate | None = None

    def alive(self) -> bool:
        """Whether both still run: they may have waited here for long."""
        return not any(_has_ended(process) for process in self._ends)

    def __enter__(self) -> Hand:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        finally:
            self._control.close()
            self._monitor.close()
            close_all((self._told, *self._gate, *self._ends))

    def end(self) -> None:
        """Kill what still runs. ChannelBroken when it does not end: the guest's disk is not to be touched then."""
        for process in self._ends:
            _kill(process)
        deadline = Deadline(_TO_END)
        for process in self._ends:
            try:
                deadline.wait(process)
            except TimeoutError as late:
                raise ChannelBroken("a process that has the guest's disk open does not end") from late

    def ask(self, errand: Errand, disk: GuestDisk, deadline: Deadline) -> Answer:
        """Have the errand done; the overlay is released when this returns. Errors of ``Door.send``, and NurseryGone."""
        # Closed, the gate is open: from now on the block layer listens.
        os.close(self._gate.pop())
        monitor = Monitor(self._monitor, deadline)
        try:
            monitor.run(graph(disk, writable=isinstance(errand, Inject)))
            stream = Stream(self._control, deadline)
            stream.send(wire.to_clear(Order.of(errand)))
        except ChannelBroken as error:
            raise self._explained(error) from error
        except (TimeoutError, ConnectionError) as error:
            raise self._explained(ChannelBroken("a worker of partition injection did not take its errand")) from error
        answer = self._heard(stream, _longest(errand))
        _kill(self._ends[0])
        monitor.quit()
        self._released(deadline)
        return answer

    def _heard(self, stream: Stream, limit: int) -> Answer:
        """From here on the far side is hostile."""
        try:
            raw = stream.receive(limit)
        except TimeoutError as error:
            raise GuestUnreadable("reading its file system took longer than is allowed") from error
        except ConnectionResetError as error:
            raise self._crash() from error
        except ConnectionError as error:
            raise GuestUnreadable(_BROKEN, detail=str(error)) from error
        return _answer(raw)

    def _crash(self) -> InjectorError:
        """Of who hangs up and lives on, our signal is not to be the end: that would count as this host's fault."""
        lives_on = not _has_ended(self._ends[0], within=_TO_HANG_UP)
        self.end()
        fate = self._fate_of_both()
        return GuestUnreadable(_BROKEN, detail="it hung up and lived on") if lives_on else ending(fate)

    def _released(self, deadline: Deadline) -> None:
        """Both have ended, the block layer of its own accord: everything is in the overlay and the lock on it gone."""
        for process in self._ends:
            try:
                deadline.wait(process)
            except TimeoutError as error:
                raise ChannelBroken("this host did not close the guest's disk in time") from error
        fate = self._fate_of_both()
        if fate is None or fate.disk != 0:
            raise ChannelBroken("the guest's disk was not closed as it should be", detail=str(fate))

    def _fate_of_both(self) -> Fate | None:
        """None when the nursery has gone."""
        try:
            Deadline(_TO_END).wait(self._told)
        except TimeoutError:
            return None
        told = os.read(self._told, _LONGEST_FATE)
        return wire.from_clear(told, Fate) if told else None

    def _explained(self, error: ChannelBroken) -> ChannelBroken | NurseryGone:
        """With what the block layer said when it did not even start."""
        self.end()
        fate = self._fate_of_both()
        return NurseryGone() if fate is None else ChannelBroken(error.message, detail=f"{error.detail}; {fate}")


def ending(fate: Fate | None) -> InjectorError:
    """What it means that a worker ended without an answer."""
    if fate is None:
        return ChannelBroken("the process that keeps partition injection's workers has ended")
    if fate.worker == -signal.SIGKILL:
        return ChannelBroken("the process that read the guest's file system was killed", detail=str(fate))
    if fate.worker == -signal.SIGXCPU:
        return GuestUnreadable("reading its file system took more processor time than is allowed")
    if fate.worker == -signal.SIGSYS:
        return GuestUnreadable("reading its file system made the process that did it do what it may not")
    how = f"signal {-fate.worker}" if fate.worker < 0 else f"exit status {fate.worker}"
    return GuestUnreadable(f"reading its file system broke the process that did it ({how})", detail=str(fate))


def _answer(raw: bytes) -> Answer:
    try:
        return wire.from_clear(raw, Answer)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise GuestUnreadable(_BROKEN, detail=harmless(str(error))) from error


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _has_ended(process: int, within: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(within * 1000))


def _longest(errand: Errand) -> int:
    """Bytes: contents travel as text, which takes a third more."""
    match errand:
        case Inject():
            asked = sum(len(wanted.content.reveal()) for wanted in errand.wanted)
        case Look():
            asked = errand.limit * len(errand.paths)
        case Survey():
            asked = 0
    return min(_LARGEST_ANSWER, _TO_SPARE + 2 * asked)
