"""Filters of system calls: compiled once by libseccomp, put in force by the process that is to live under them.

A compiled filter is a string of bytes, so that it can be made before a fork and costs the child one call. It is loaded
by ``prctl`` rather than ``seccomp``: a service manager's own filter allows the former to every service.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from injector.errors import HostError

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
_BINARY_TREE = (8, 2)
_INSTRUCTION = 8

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2


class Verdict(IntEnum):
    """What happens to a call: it is carried out, answered with an error, or the whole process dies of SIGSYS."""

    ALLOW = _ALLOW
    REFUSE = _ERRNO | errno.EPERM
    ABSENT = _ERRNO | errno.ENOSYS
    KILL = _KILL_PROCESS


@dataclass(frozen=True, slots=True)
class Bits:
    """Of the call's argument number ``argument``, those under ``mask`` must be ``value``."""

    argument: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Not:
    """The call's argument number ``argument`` must not be ``value``."""

    argument: int
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to ``call`` when all of ``where`` holds. A call that this architecture lacks is no matter."""

    call: str
    verdict: Verdict
    where: tuple[Bits | Not, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """``default`` is for every call without a rule, and for calls of other architectures the process is killed."""

    default: Verdict
    rules: tuple[Rule, ...]

    def compile(self) -> bytes:
        """The filter as the kernel reads it; HostError without libseccomp."""
        with _context(self.default) as (library, context):
            for rule in self.rules:
                _add(library, context, rule)
            return _export(library, context)


def load(compiled: bytes) -> None:
    """Put a filter in force for this process and its children, for ever; needs no_new_privs. OSError when refused."""
    buffer = ctypes.create_string_buffer(compiled, len(compiled))
    program = _Program(len(compiled) // _INSTRUCTION, ctypes.addressof(buffer))
    if _LIBC.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a filter of system calls")


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _load_library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise HostError("libseccomp is not installed on this host", detail=str(error)) from error
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


@contextmanager
def _context(default: Verdict) -> Iterator[tuple[ctypes.CDLL, int]]:
    library = _load_library()
    context = library.seccomp_init(default)
    if not context:
        raise HostError("libseccomp cannot make a filter on this host")
    try:
        # A library too old for it lists the calls one after another: slower, not weaker.
        library.seccomp_attr_set(context, *_BINARY_TREE)
        yield library, context
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: Rule) -> None:
    number = library.seccomp_syscall_resolve_name(rule.call.encode())
    if number < 0:
        return
    where = [_comparison(condition) for condition in rule.where]
    array = (_Comparison * len(where))(*where)
    status = library.seccomp_rule_add_array(context, rule.verdict, number, len(where), array)
    if status != 0:
        raise HostError(f"libseccomp refuses a rule for {rule.call}", detail=os.strerror(-status))


def _comparison(condition: Bits | Not) -> _Comparison:
    if isinstance(condition, Not):
        return _Comparison(condition.argument, _NOT_EQUAL, condition.value, 0)
    return _Comparison(condition.argument, _MASKED_EQUAL, condition.mask, condition.value)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("filter")
    try:
        status = library.seccomp_export_bpf(context, descriptor)
        if status != 0:
            raise HostError("libseccomp cannot write a filter", detail=os.strerror(-status))
        return os.pread(descriptor, os.lseek(descriptor, 0, os.SEEK_END), 0)
    finally:
        os.close(descriptor)
