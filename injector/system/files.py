"""Files and directories of the daemon: whole or not there at all, with the owner and mode that QEMU needs.

QEMU runs as another user. It reaches its files by group: directories it passes through are 0711 or 0750 with its
group, images and drives 0440. A daemon that is neither root nor in that group may not give files to it; there the
operator prepares the directories as setgid ones of that group (02711), and whatever is made in them inherits it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from injector.errors import HostError, NoSpace

LOG = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PART = ".part"


@contextlib.contextmanager
def disk_full(purpose: str) -> Iterator[None]:
    """A full disk or an exhausted quota inside leaves as NoSpace; ``purpose`` completes "could not …"."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"the disk is full: could not {purpose}", detail=str(error)) from error
        raise


def make_directory(path: Path, mode: int, group: int | None = None) -> None:
    """Make ``path`` unless it exists, and see to its mode and group; its parent must exist.

    HostError when the group is wrong and may not be changed, or the mode cannot be had without losing it.
    """
    with disk_full("make a directory"):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode)
        settle(path, mode, group)


def write_atomic(path: Path, content: bytes, *, mode: int, group: int | None = None) -> None:
    """Replace ``path`` by ``content``: after a crash the old file is there or the new one, never half of it."""
    with disk_full(f"write {path.name}"), staged(path.parent, path.name) as part:
        part.file.write(content)
        part.publish(path, mode=mode, group=group)


def read_private(path: Path, what: str, field: str) -> bytes:
    """The content of a file with a credential; HostError about ``what`` when others can read it too."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        raise HostError(f"{what} cannot be read", field=field, detail=str(error)) from error
    if mode & 0o077:
        raise HostError(f"others than this user can read {what}", field=field, detail=f"chmod 0600 {path}")
    return content


@dataclass(slots=True)
class Staged:
    """A file being made beside the place where it will stand; locked, so that ``sweep`` knows it is alive."""

    path: Path
    file: BinaryIO

    def publish(self, target: Path, *, mode: int, group: int | None = None) -> None:
        """Onto the disk, then under its name. ``target`` is in the same directory; a file there is replaced."""
        self.file.flush()
        settle(self.file.fileno(), mode, group)
        os.fsync(self.file.fileno())
        self.path.rename(target)
        sync_directory(target.parent)


@contextlib.contextmanager
def staged(directory: Path, name: str) -> Iterator[Staged]:
    """A new file 0600 in ``directory``; unless it is published, it is gone afterwards."""
    path, descriptor = _new_part(directory, name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield Staged(path, file)
    finally:
        path.unlink(missing_ok=True)


def _new_part(directory: Path, name: str) -> tuple[Path, int]:
    while True:
        path = directory / f".{name}.{secrets.token_hex(8)}{_PART}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # a sweep came between the two


def sweep(directory: Path) -> None:
    """Remove the staged files that a killed process left in ``directory``; those being written are locked.

    What cannot be removed stays, with a word in the log: it is only in the way of the disk's other users.
    """
    for path in directory.glob(f".*{_PART}"):
        try:
            # For writing: NFS has no lock of one holder for who only reads.
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):
            continue
        except OSError as error:
            LOG.warning("what a killed process left stays: %s", error)


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(target: Path | int, mode: int, group: int | None = None) -> None:
    """Give a file or directory its permission bits and group, changing only what is wrong.

    A setgid bit is kept: it is how an unprivileged daemon's files come to QEMU's group. HostError when this user may
    not make the change.
    """
    info = os.stat(target)
    if group is not None and info.st_gid != group:
        _give(target, group)
        info = os.stat(target)
    wrong = stat.S_IMODE(info.st_mode) & 0o777 != mode
    if not wrong:
        return
    setgid = info.st_mode & stat.S_ISGID
    if setgid and not _member(info.st_gid):
        # The kernel would drop the bit without a word (chmod(2)).
        raise HostError(
            "a file or directory of the host's state has the wrong mode",
            detail=f"as root: chmod {stat.S_ISGID | mode:o} {target}; or start the daemon with umask 022",
        )
    try:
        os.chmod(target, mode | setgid)
    except PermissionError as error:
        raise HostError(
            "a file or directory of the host's state belongs to somebody else",
            detail=f"as root: chmod {mode:o} {target}",
        ) from error


def can_give(directory: Path, group: int) -> bool:
    """Whether files made in ``directory`` have, or can be given, ``group``."""
    info = directory.stat()
    return bool(info.st_mode & stat.S_ISGID and info.st_gid == group) or _member(group)


def _member(group: int) -> bool:
    return os.geteuid() == 0 or group == os.getegid() or group in os.getgroups()


def _give(target: Path | int, group: int) -> None:
    try:
        os.chown(target, -1, group)
    except PermissionError as error:
        place = target.parent if isinstance(target, Path) else "the directory of the state"
        raise HostError(
            "files of the host cannot be made readable for QEMU: the state directory is not prepared for its group",
            detail=f"as root: chgrp {group} {place} && chmod 2711 {place}; or add the daemon's user to group {group}",
        ) from error
