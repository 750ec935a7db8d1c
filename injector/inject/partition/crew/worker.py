"""A worker: born without rights, given one guest's disk and one errand, sealed before the first foreign byte."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from injector import wire
from injector.errors import InjectorError
from injector.inject.partition.crew.charter import Order
from injector.inject.partition.crew.disk import NbdDisk
from injector.inject.partition.crew.frames import Stream
from injector.inject.partition.errand import Answer, Errand, Failure
from injector.inject.partition.filesystem import Disk
from injector.system import landlock
from injector.system.confinement import (
    NO_CAPABILITY,
    Bounds,
    Identity,
    become,
    bound,
    die_with_parent,
    hide_memory,
    keep_capabilities,
)
from injector.system.seccomp import load

_CONTROL, _DISK = 3, 4
DESCRIPTORS = 5
_LARGEST_ORDER = 256 << 20
_STEPS = 12
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


Trade = Callable[[Errand, Disk], Answer]


@dataclass(frozen=True, slots=True)
class Birth:
    """What every worker of a nursery is given at birth."""

    parent: int
    identity: Identity | None
    ruleset: int | None
    bounds: Bounds
    seal: bytes
    trade: Trade


def live(birth: Birth, control: socket.socket, disk: socket.socket) -> NoReturn:
    """All of a worker's life, in the child of a fork; of everything inherited it keeps the two sockets."""
    try:
        landlock.restrict(birth.ruleset)
        control, disk = _alone_with(control, disk)
        _humble(birth)
        _serve(birth, Stream(control), disk)
    except BaseException:
        # Whoever waits for the answer sees the end; there is nobody else to tell.
        os._exit(1)
    os._exit(0)


def _alone_with(control: socket.socket, disk: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Their numbers become the first after the standard ones, and every other descriptor is closed."""
    copies = [fcntl.fcntl(one.detach(), fcntl.F_DUPFD_CLOEXEC, DESCRIPTORS) for one in (control, disk)]
    for descriptor, number in zip(copies, (_CONTROL, _DISK), strict=True):
        os.dup2(descriptor, number, inheritable=False)
    os.closerange(DESCRIPTORS, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=_CONTROL), socket.socket(fileno=_DISK)


def _humble(birth: Birth) -> None:
    become(birth.identity)
    keep_capabilities(NO_CAPABILITY)
    die_with_parent(birth.parent)
    hide_memory()
    bound(birth.bounds)


def _serve(birth: Birth, stream: Stream, connection: socket.socket) -> None:
    order = wire.from_clear(stream.receive(_LARGEST_ORDER), Order)
    stream.send(wire.to_clear(_answer(birth, order.errand, connection)))


def _answer(birth: Birth, errand: Errand, connection: socket.socket) -> Answer:
    """Nothing that a stranger wrote has been read until ``load``."""
    try:
        disk = NbdDisk(connection)
        load(birth.seal)
        return birth.trade(errand, disk)
    except InjectorError as error:
        return _failed(type(error).__name__, error.message, error.detail)
    except MemoryError:
        return _failed("GuestUnreadable", "reading its file system takes more memory than is allowed")
    except OSError as error:
        kind = "NoSpace" if error.errno in _FULL else "ChannelBroken"
        message = "the disk is full" if error.errno in _FULL else "this host cannot read or write the guest's disk"
        return _failed(kind, message, str(error))
    except Exception as error:
        return _failed("InternalError", "a worker failed", f"{type(error).__name__}: {error}; {_way(error)}")


def _failed(kind: str, message: str, detail: str | None = None) -> Answer:
    """As it can travel: what a guest names things by may be no text."""
    return Answer(failure=Failure(kind, _text(message), None if detail is None else _text(detail)))


def _text(odd: str) -> str:
    return odd.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _way(error: BaseException) -> str:
    """Where it came from, without the lines of the source: those would have to be read from the host's disk."""
    steps = [f"{frame.f_code.co_name}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return " > ".join(steps[-_STEPS:])
