"""System calls that Python does not offer, and the ioctls of loop devices."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME = 0x1, 0x2, 0x4, 0x8, 0x400
_MS_REC, _MS_PRIVATE, _MS_SLAVE, _MS_SHARED = 0x4000, 1 << 18, 1 << 19, 1 << 20
_MNT_DETACH = 2

_OPENAT2 = 437  # the same on every architecture
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _IN_ROOT = 0x01, 0x02, 0x04, 0x10
_HOW = struct.Struct("QQQ")

_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602
_FLAGS = struct.Struct("l")

_LOOP_CONTROL = Path("/dev/loop-control")
_CTL_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A
_AUTOCLEAR = 4
# struct loop_config: the file, the block size, loop_info64 (offset, limit, flags, a name nobody needs), a reserve.
_CONFIG = struct.Struct("II QQQQQ IIII 64s64s32s 2Q 8Q")
_ATTEMPTS = 20


def own_mounts() -> None:
    """From now on nobody else sees what this thread and its children mount, and it is gone when they are."""
    _checked(_libc().unshare(CLONE_NEWNS), "a mount namespace of its own")
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def share_mounts(place: str) -> None:
    """What is mounted below this mount later is seen in the namespaces that are made from this one, too."""
    mount("none", place, None, _MS_SHARED)


def part_mounts() -> None:
    """This thread goes on in another namespace: it sees what the one it leaves mounts, and is not seen by it."""
    _checked(_libc().unshare(CLONE_NEWNS), "a mount namespace of its own")
    mount("none", "/", None, _MS_REC | _MS_SLAVE)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _checked(_libc().mount(*words, ctypes.c_ulong(flags), os.fsencode(data)), "mount")


def unmount(target: str, *, lazily: bool = False) -> None:
    """umount2(2)."""
    _checked(_libc().umount2(os.fsencode(target), _MNT_DETACH if lazily else 0), "unmount")


def open_beneath(directory: int, path: str, flags: int, mode: int = 0) -> int:
    """openat2(2): ``path`` from ``directory``, which is its root; no link is followed and no mount is crossed.

    A link in the way is ELOOP. A link at the end can be had with O_PATH, as itself.
    """
    asked = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    if flags & os.O_PATH:
        asked &= ~(os.O_NONBLOCK | os.O_NOCTTY)
    how = _HOW.pack(asked, mode, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _IN_ROOT)
    relative = os.fsencode(path.lstrip("/") or ".")
    found = _libc().syscall(_OPENAT2, directory, ctypes.c_char_p(relative), ctypes.c_char_p(how), len(how))
    return _checked(found, "open")


def inode_flags(descriptor: int) -> int | None:
    """FS_IOC_GETFLAGS; None where the file system has no such marks."""
    try:
        return int(_FLAGS.unpack(fcntl.ioctl(descriptor, _GETFLAGS, bytes(_FLAGS.size)))[0])
    except OSError:
        return None


def set_inode_flags(descriptor: int, flags: int) -> None:
    """FS_IOC_SETFLAGS."""
    fcntl.ioctl(descriptor, _SETFLAGS, _FLAGS.pack(flags))


def sync_file_system(descriptor: int) -> None:
    """syncfs(2): OSError when something of it did not reach the disk."""
    _checked(_libc().syncfs(descriptor), "syncfs")


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop device that the kernel lets go of with its last user: this descriptor, or a mount."""

    path: str
    descriptor: int

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    def is_gone(self) -> bool:
        """Whether nothing stands behind it any more."""
        return not Path(f"/sys/block/{self.name}/loop/backing_file").exists()


def attach(file: int, start: int, size: int) -> Loop:
    """A free loop device over ``size`` bytes of ``file`` (0: to its end); OSError when there is none."""
    with _LOOP_CONTROL.open("rb") as control:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _CTL_GET_FREE)
            found = _attach(f"/dev/loop{number}", file, start, size)
            if found is not None:
                return found
    raise OSError(errno.EBUSY, "no loop device is free")


def _attach(path: str, file: int, start: int, size: int) -> Loop | None:
    """None when somebody else was faster."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    numbers: Sequence[int] = (file, 0, 0, 0, 0, start, size, 0, 0, 0, _AUTOCLEAR)
    try:
        fcntl.ioctl(descriptor, _CONFIGURE, _CONFIG.pack(*numbers, b"", b"", b"", *([0] * 10)))
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EBUSY:
            return None
        raise
    return Loop(path, descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
