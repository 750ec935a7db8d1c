"""A door to a back end that is a program of its own, started for one errand and gone after it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from injector import wire
from injector.errors import (
    CannotServe,
    ChannelBroken,
    GuestUnreadable,
    InjectorError,
    ItemRefused,
    NoSpace,
    ProgramFailed,
)
from injector.inject.channel import GuestDisk
from injector.inject.partition.errand import Answer, Failure, Inject, Injected, Look, Looked, Survey, Surveyed
from injector.inject.partition.order import Order
from injector.model.hostile import harmless, one_line
from injector.system import process

MODULE = "injector.inject.partition.worker"

_FAILURES: dict[str, type[InjectorError]] = {
    kind.__name__: kind for kind in (CannotServe, ChannelBroken, GuestUnreadable, ItemRefused, NoSpace)
}
_LONGEST_ANSWER = 256 * 1024 * 1024
_FULL = 1024 * 1024
_RELEASED_WITHIN = 10.0
_LOOK_AGAIN = 0.01
_FLOCK = struct.Struct("hhqqi4x")


@dataclass(frozen=True, slots=True)
class Program:
    """``name`` of the back end; seconds of wall time, and what it may use. ``directory`` is private to the daemon."""

    name: str
    directory: Path
    timeout: float
    limits: process.Limits

    def sweep(self) -> None:
        """Remove what errands of a daemon that was killed have left."""
        for left in self.directory.glob(f"{self.name}-*"):
            shutil.rmtree(left, ignore_errors=True)

    def send(self, errand: Inject | Look | Survey, disk: GuestDisk, manner: Order) -> Injected | Looked | Surveyed:
        """As ``Door.send``; ``manner`` is the order without the errand."""
        with self._place() as place:
            order = replace(
                manner,
                directory=str(place),
                inject=errand if isinstance(errand, Inject) else None,
                look=errand if isinstance(errand, Look) else None,
                survey=errand if isinstance(errand, Survey) else None,
            )
            try:
                return understood(self._run(order, place), type(errand))
            except (GuestUnreadable, ItemRefused) as error:
                # A host without a free block makes a guest's disk look damaged, or full.
                if _is_full(disk) or _is_full_at(place):
                    raise NoSpace("the disk is full: a guest's disk could not be written", detail=str(error)) from error
                raise
            finally:
                _wait_released(disk.overlay)

    @contextlib.contextmanager
    def _place(self) -> Iterator[Path]:
        self.directory.mkdir(0o700, parents=True, exist_ok=True)
        place = tempfile.mkdtemp(prefix=f"{self.name}-", dir=self.directory)
        try:
            yield Path(place)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _run(self, order: Order, place: Path) -> bytes:
        started = time.monotonic()
        try:
            finished = process.run(
                [sys.executable, "-P", "-m", MODULE, self.name],
                purpose="read a guest's file system",
                limits=self.limits,
                timeout=self.timeout,
                input=wire.to_clear(order),
                env={"XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place)},
                accept=None,
                output_limit=_LONGEST_ANSWER,
            )
        except ProgramFailed as error:
            if time.monotonic() - started >= self.timeout:
                why = f"{self.name} was not done with the guest's file system within {self.timeout:g} s"
                raise GuestUnreadable(why, detail=error.detail) from error
            raise ChannelBroken(f"{self.name} cannot be run on this host", detail=error.detail) from error
        if finished.returncode != 0:
            why = f"{self.name} ended over the guest's file system (status {finished.returncode})"
            raise GuestUnreadable(why, detail=harmless(finished.stderr))
        return finished.stdout


def understood(raw: bytes, asked: type[Inject | Look | Survey]) -> Injected | Looked | Surveyed:
    """What the program says, as far as it is an answer to what was asked."""
    try:
        answer = wire.from_clear(raw, Answer)
    except (msgspec.MsgspecError, ValueError) as error:
        raise GuestUnreadable("a back end answered with what is no answer", detail=one_line(str(error))) from error
    if answer.failure is not None:
        raise _error(answer.failure)
    fitting = {Inject: answer.injected, Look: answer.looked, Survey: answer.surveyed}[asked]
    if fitting is None:
        raise GuestUnreadable("a back end answered something else than it was asked")
    return fitting


def _error(failure: Failure) -> InjectorError:
    """The failure it names, made harmless; one that no back end may have is ours."""
    kind = _FAILURES.get(failure.kind, ChannelBroken)
    detail = None if failure.detail is None else harmless(failure.detail)
    return kind(one_line(failure.message, 1000), detail=detail)


def _is_full(disk: GuestDisk) -> bool:
    return disk.overlay is not None and _is_full_at(disk.overlay.parent)


def _is_full_at(directory: Path) -> bool:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize < _FULL


def _wait_released(overlay: Path | None) -> None:
    """Until no process has QEMU's lock on the overlay: one that was killed holds it for a moment still."""
    if overlay is None:
        return
    until = time.monotonic() + _RELEASED_WITHIN
    with contextlib.suppress(FileNotFoundError), overlay.open("rb") as file:
        while _is_locked(file.fileno()) and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN)


def _is_locked(descriptor: int) -> bool:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind: int = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
    return kind != fcntl.F_UNLCK
