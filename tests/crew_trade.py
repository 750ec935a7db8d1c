"""A trade for the crew's tests: what a worker does, and misdoes, is said by the path it is to look at.

Whoever misdoes has been taken over: it has the C library, and what its seal leaves it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Callable

from injector import wire
from injector.errors import CannotServe, ChannelBroken, GuestUnreadable, InjectorError, ItemRefused, NoSpace, OverQuota
from injector.inject.partition.errand import Answer, Errand, Inject, Injected, Look, Looked, SeenFile
from injector.inject.partition.filesystem import Disk
from injector.model.secret import Secret

CONTROL = 3
_LIBC = ctypes.CDLL(None, use_errno=True)
_ERRORS: dict[str, type[InjectorError]] = {
    kind.__name__: kind for kind in (CannotServe, ChannelBroken, GuestUnreadable, ItemRefused, NoSpace, OverQuota)
}


def perform(errand: Errand, disk: Disk) -> Answer:
    if isinstance(errand, Inject):
        return _inject(errand, disk)
    if not isinstance(errand, Look):
        return Answer(looked=Looked(()))
    found = []
    for path in errand.paths:
        verb, _, argument = path.partition(":")
        if verb in VERBS:
            found.append(SeenFile(path, path, Secret(VERBS[verb](argument, disk, errand)), 0, 0, 0))
    return Answer(looked=Looked(tuple(found)))


def _inject(errand: Inject, disk: Disk) -> Answer:
    """The content again and again, for a while when the first item's name says so."""
    content = errand.wanted[0].content.reveal()
    _, _, rounds = errand.wanted[0].item.name.partition("rounds:")
    for turn in range(int(rounds or 1)):
        disk.write(errand.root.start + turn * len(content), content)
        disk.flush()
    return Answer(injected=Injected("none", (), (), ()))


def _read(argument: str, disk: Disk, errand: Look) -> bytes:
    return disk.read(errand.root.start, int(argument))


def _write(argument: str, disk: Disk, errand: Look) -> bytes:
    """What no Look may."""
    disk.write(0, argument.encode())
    return b""


def _sleep(argument: str, disk: Disk, errand: Look) -> bytes:
    time.sleep(float(argument))
    return b"slept"


def _spin(argument: str, disk: Disk, errand: Look) -> bytes:
    end = time.process_time() + float(argument)
    while time.process_time() < end:
        pass
    return b"spun"


def _take_memory(argument: str, disk: Disk, errand: Look) -> bytes:
    return bytes(int(argument))[:1]


def _end(argument: str, disk: Disk, errand: Look) -> bytes:
    os._exit(int(argument))


def _crash(argument: str, disk: Disk, errand: Look) -> bytes:
    return ctypes.string_at(0)


def _recurse(argument: str, disk: Disk, errand: Look) -> bytes:
    return _recurse(argument, disk, errand)


def _raise(argument: str, disk: Disk, errand: Look) -> bytes:
    kind, _, message = argument.partition(":")
    if kind in _ERRORS:
        raise _ERRORS[kind](message, detail="\x1b[31mdetail")
    raise KeyError(argument)


def _say(data: bytes) -> None:
    """As a whole, past everything that keeps to the rules."""
    while data:
        sent = _LIBC.send(CONTROL, data, len(data), 0)
        if sent <= 0:
            os._exit(0)
        data = data[sent:]


def _framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def _say_raw(argument: str, disk: Disk, errand: Look) -> bytes:
    _say(_framed(argument.encode("latin-1")))
    time.sleep(60)
    return b""


def _say_deep(argument: str, disk: Disk, errand: Look) -> bytes:
    return _say_raw("[" * int(argument), disk, errand)


def _say_much(argument: str, disk: Disk, errand: Look) -> bytes:
    """It announces that many bytes, and goes on as long as it is let."""
    _say(struct.pack(">I", int(argument)))
    while True:
        _say(b"x" * 65536)


def _drip(argument: str, disk: Disk, errand: Look) -> bytes:
    for byte in _framed(b"x" * 1000):
        _say(bytes([byte]))
        time.sleep(float(argument))
    return b""


def _say_twice(argument: str, disk: Disk, errand: Look) -> bytes:
    """Another answer comes after it, at once."""
    _say(_framed(wire.to_clear(Answer(looked=Looked((SeenFile("first", "first", Secret(b"first"), 0, 0, 0),))))))
    return b"second"


def _say_and_write(argument: str, disk: Disk, errand: Look) -> bytes:
    _say(_framed(wire.to_clear(Answer(looked=Looked(())))))
    while True:
        disk.flush()


def _hang_up(argument: str, disk: Disk, errand: Look) -> bytes:
    """And lives on, with the disk still its."""
    _LIBC.close(CONTROL)
    time.sleep(60)
    return b""


VERBS: dict[str, Callable[[str, Disk, Look], bytes]] = {
    "read": _read,
    "write": _write,
    "sleep": _sleep,
    "spin": _spin,
    "take-memory": _take_memory,
    "end": _end,
    "crash": _crash,
    "recurse": _recurse,
    "raise": _raise,
    "say": _say_raw,
    "say-deep": _say_deep,
    "say-much": _say_much,
    "drip": _drip,
    "say-twice": _say_twice,
    "say-and-write": _say_and_write,
    "hang-up": _hang_up,
}
