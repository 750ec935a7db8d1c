"""A virtual machine of libguestfs with one guest's disk in it; lives in a worker process, never in the daemon."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from injector.errors import CannotServe, ChannelBroken, GuestUnreadable
from injector.model.hostile import one_line

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

MEMORY_MIB = 512
"""What the appliance gets; it was seen to read xfs, btrfs and LVM with half of it."""

Handle = Any
"""A ``guestfs.GuestFS``: Debian's binding has no types."""

_TEXTS = {os.strerror(code): code for code in sorted(errno.errorcode)}


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk's file, its format always said; without ``writable`` libguestfs writes beside it, and throws that away."""

    path: Path
    format: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """How the appliance runs: whether KVM is left alone, where it is kept, and where it puts what ends with it."""

    emulated: bool
    cache: Path | None = None
    directory: Path | None = None


class Refusal(Exception):
    """The appliance said no: with an errno where there was one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = one_line(text, 300)
        # libguestfs ends its messages with strerror's words; its appliance is made of this host's own C library.
        self.errno = _TEXTS.get(text.rpartition(": ")[2].strip())


@contextmanager
def appliance(drives: Sequence[Drive], machine: Machine) -> Iterator[Handle]:
    """Running, with ``/dev/sda`` and so on. At the end everything is on the drives; ChannelBroken when it is not.

    CannotServe when the binding is missing; ChannelBroken when the appliance does not start.
    """
    handle = _handle(machine)
    try:
        for drive in drives:
            handle.add_drive_opts(os.fspath(drive.path), format=drive.format, readonly=not drive.writable)
        _required(handle.launch, "the appliance of libguestfs did not start")
        yield handle
        _required(handle.shutdown, "the appliance of libguestfs did not write everything onto the disk")
    finally:
        handle.close()


def _handle(machine: Machine) -> Handle:
    try:
        import guestfs
    except ImportError as error:
        raise CannotServe("libguestfs's Python binding is not installed on this host", detail=str(error)) from error
    handle = guestfs.GuestFS(python_return_dict=True, close_on_exit=False)
    handle.set_backend("direct")
    handle.set_backend_settings(["force_tcg"] if machine.emulated else [])
    handle.set_memsize(MEMORY_MIB)
    handle.set_smp(1)
    handle.set_network(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        handle.set_selinux(False)  # of the appliance's own kernel: labels are only written, never obeyed
    if machine.cache is not None:
        handle.set_cachedir(os.fspath(machine.cache))
    if machine.directory is not None:
        handle.set_tmpdir(os.fspath(machine.directory))
    return handle


def _required(call: Callable[[], Any], message: str) -> None:
    try:
        call()
    except RuntimeError as error:
        raise ChannelBroken(message, detail=one_line(str(error), 2000)) from error


def ask(call: Callable[_Parameters, _Result], *words: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
    """Call the appliance; Refusal for its no."""
    try:
        return call(*words, **options)
    except RuntimeError as error:
        raise Refusal(str(error)) from error


def require(call: Callable[_Parameters, _Result], *words: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
    """The same where only damage can be the reason for a no."""
    try:
        return ask(call, *words, **options)
    except Refusal as refusal:
        raise GuestUnreadable(f"the guest's file system cannot be read: {refusal.text}") from refusal


class Bytes:
    """A device of the appliance as a readable disk."""

    _MOST = 1024 * 1024

    def __init__(self, handle: Handle, device: str, size: int) -> None:
        self._handle = handle
        self._device = device
        self.size = size

    def read(self, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes; GuestUnreadable beyond the end."""
        parts = bytearray()
        while len(parts) < length:
            part = require(
                self._handle.pread_device, self._device, min(self._MOST, length - len(parts)), start + len(parts)
            )
            if not part:
                raise GuestUnreadable("the image ends before what it describes")
            parts += part
        return bytes(parts)
