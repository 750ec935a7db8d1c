"""Landlock: a process gives up every file it does not name, and with newer kernels TCP, signals and foreign sockets.

For programs that must open files by path. Where the kernel (5.13 and newer have it) or a service manager's filter does
not offer it, nothing is restricted and the caller is told.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

_FILE_RIGHTS = ((1, (1 << 13) - 1), (2, 1 << 13), (3, _TRUNCATE), (5, 1 << 15))
_TCP_RIGHTS = ((4, 0b11),)
_SCOPES = ((6, 0b11),)


@dataclass(frozen=True, slots=True)
class Reach:
    """What stays reachable; a directory stands for everything below it, and what is not there is passed over.

    ``write`` is reading and writing what exists: no path can be made, removed or renamed anywhere.
    """

    execute: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()


NOWHERE = Reach()


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    return max(0, _call(_CREATE_RULESET, None, 0, _ASK_VERSION))


def handled(abi: int) -> tuple[int, int, int]:
    """What a ruleset of this version takes away: rights on files, on TCP ports, and scopes."""
    return _since(_FILE_RIGHTS, abi), _since(_TCP_RIGHTS, abi), _since(_SCOPES, abi)


def prepare(reach: Reach, abi: int) -> int | None:
    """A ruleset for any number of processes, as a descriptor that no program inherits; None for version 0.

    What is not there yet stays out of reach when it comes. OSError when the kernel refuses what its version promises.
    """
    if not abi:
        return None
    files, ports, scopes = handled(abi)
    attributes = (ctypes.c_uint64 * 3)(files, ports, scopes)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _require(_call(_CREATE_RULESET, ctypes.byref(attributes), size, 0))
    try:
        _allow(ruleset, reach.execute, files & (_EXECUTE | _READ_FILE))
        _allow(ruleset, reach.read, files & (_READ_FILE | _READ_DIR))
        _allow(ruleset, reach.write, files & (_READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE))
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def restrict(ruleset: int | None) -> None:
    """Give up everything outside, for this process and its children, for ever; needs no_new_privs."""
    if ruleset is not None:
        _require(_call(_RESTRICT_SELF, ruleset, 0))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                _allow_below(ruleset, descriptor, rights)
            finally:
                os.close(descriptor)


def _allow_below(ruleset: int, descriptor: int, rights: int) -> None:
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= _OF_A_FILE
    rule = _Beneath(rights, descriptor)
    _require(_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))


def _since(table: tuple[tuple[int, int], ...], abi: int) -> int:
    return sum(bits for first, bits in table if abi >= first)


def _require(status: int) -> int:
    if status < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return status


_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    status: int = _LIBC.syscall(number, *arguments)
    return status
