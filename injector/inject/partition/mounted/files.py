"""A guest's file system, mounted by this host's kernel: every access starts at its root, and follows no link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.partition.filesystem import Attributes, Entry, Kind, Room
from injector.inject.partition.mounted.kernel import inode_flags, open_beneath, set_inode_flags
from injector.inject.partition.paths import parent, shown
from injector.inject.partition.room import require_room
from injector.model.hostile import one_line

_LABEL = "security.selinux"
_CAPABILITY = "security.capability"
_NOTHING = frozenset({errno.ENOENT, errno.ENOTDIR})
_NO_ATTRIBUTE = frozenset({errno.ENODATA, errno.EOPNOTSUPP})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SAYS_NO = frozenset({errno.ENAMETOOLONG, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EFBIG, errno.EOPNOTSUPP})
_FORBIDDING = 0x10 | 0x20
"""FS_IMMUTABLE_FL and FS_APPEND_FL."""

_UNLIMITED = 2**31
_CHUNK = 1024 * 1024
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


class MountedFiles:
    """``GuestFiles`` below the directory open as ``root``; ``finish`` has everything on the disk and unmounts."""

    def __init__(self, root: int, filesystem: str, stamp: int, finish: Callable[[], None], *, writable: bool) -> None:
        self._root = root
        self._filesystem = filesystem
        self._stamp = stamp
        self._finish = finish
        self._writable = writable

    @property
    def filesystem(self) -> str:
        return self._filesystem

    def entry(self, path: str) -> Entry | None:
        try:
            with self._opened(path, os.O_PATH) as descriptor:
                return _entry(descriptor)
        except OSError as error:
            if error.errno in _NOTHING:
                return None
            raise _translated(error, path) from error

    def names(self, path: str) -> Iterator[str]:
        self._require(path, Kind.DIRECTORY)
        directory = os.O_RDONLY | os.O_DIRECTORY
        with self._translating(path), self._opened(path, directory) as descriptor, os.scandir(descriptor) as found:
            for entry in found:
                yield entry.name

    def read(self, path: str, limit: int) -> bytes:
        self._require(path, Kind.FILE)
        with self._translating(path), self._opened(path, os.O_RDONLY) as descriptor:
            size = _require_regular(descriptor, path).st_size
            if size > limit:
                raise ItemRefused(f"{shown(path)} has {size} bytes, more than {limit}")
            content = b"".join(iter(lambda: os.read(descriptor, min(_CHUNK, size)), b"")) if size else b""
            if len(content) != size:
                raise GuestUnreadable(f"'{shown(path)}' is not of the length it says")
            return content

    def room(self) -> Room:
        found = os.fstatvfs(self._root)
        # btrfs makes inodes as it goes, and says that it has none.
        inodes = found.f_favail if found.f_files else _UNLIMITED
        return Room(found.f_bavail * found.f_frsize, inodes, found.f_bsize)

    def make_directory(self, path: str, attributes: Attributes) -> None:
        self._require_place(path)
        require_room(self.room(), path, 1, new=True)
        with self._translating(path), self._above(path) as (above, name):
            os.mkdir(name, 0o700, dir_fd=above)
            with self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
                self._settle(descriptor, attributes, 0o755)
            self._touch(above)

    def write(self, path: str, content: bytes, attributes: Attributes) -> None:
        self._require_writable()
        entry = self.entry(path)
        if entry is None:
            self._create(path, content, attributes)
        elif entry.kind is not Kind.FILE:
            raise ItemRefused(f"{shown(path)} is no regular file")
        else:
            self._rewrite(path, entry, content, attributes)

    def change(self, path: str, attributes: Attributes) -> None:
        self._require_writable()
        entry = self._require(path)
        if entry.kind is Kind.LINK:
            raise ItemRefused(f"{shown(path)} is a link")
        with (
            self._translating(path),
            self._lifted(path, entry),
            self._opened(path, os.O_PATH) as descriptor,
        ):
            _change(descriptor, entry, attributes)

    def close(self) -> None:
        with self._translating("/"):
            self._finish()

    def _create(self, path: str, content: bytes, attributes: Attributes) -> None:
        self._require_place(path)
        require_room(self.room(), path, len(content), new=True)
        with self._translating(path), self._above(path) as (above, _):
            with self._opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) as descriptor:
                _fill(descriptor, content, path)
                self._settle(descriptor, attributes, 0o644)
            self._touch(above)

    def _rewrite(self, path: str, entry: Entry, content: bytes, attributes: Attributes) -> None:
        with (
            self._translating(path),
            self._lifted(path, entry),
            self._opened(path, os.O_RDWR) as descriptor,
        ):
            found = _require_regular(descriptor, path)
            require_room(self.room(), path, len(content), 512 * found.st_blocks)
            # The kernel drops a program's capabilities when it is written to.
            capability = _attribute(descriptor, _CAPABILITY)
            _fill(descriptor, content, path)
            _change(descriptor, entry, attributes)
            if capability is not None:
                os.setxattr(descriptor, _CAPABILITY, capability)
            self._touch(descriptor)

    @contextlib.contextmanager
    def _lifted(self, path: str, entry: Entry) -> Iterator[None]:
        """What is marked immutable or append-only is changed all the same, and marked again."""
        if entry.kind not in (Kind.FILE, Kind.DIRECTORY):
            yield
            return
        with self._opened(path, os.O_RDONLY) as descriptor:
            marks = inode_flags(descriptor)
            if marks is None or not marks & _FORBIDDING:
                yield
                return
            set_inode_flags(descriptor, marks & ~_FORBIDDING)
            yield
            set_inode_flags(descriptor, marks)

    def _require_writable(self) -> None:
        if not self._writable:
            raise ItemRefused("it was opened for reading only")

    def _require_place(self, path: str) -> None:
        """A name of its own in a directory that is there."""
        self._require_writable()
        if self.entry(path) is not None:
            raise ItemRefused(f"{shown(path)} is there already")
        self._require(parent(path), Kind.DIRECTORY)

    def _require(self, path: str, kind: Kind | None = None) -> Entry:
        """Before it is opened: to open a device or a FIFO may do something."""
        entry = self.entry(path)
        if entry is None:
            raise ItemRefused(f"there is no {shown(path)}")
        if kind is not None and entry.kind is not kind:
            raise ItemRefused(f"{shown(path)} is no {'regular file' if kind is Kind.FILE else kind.value}")
        return entry

    def _settle(self, descriptor: int, attributes: Attributes, mode: int) -> None:
        """What is new gets all of it: a directory with set-group-id would have given it another group."""
        whole = Attributes(_or(attributes.mode, mode), _or(attributes.uid, 0), _or(attributes.gid, 0), attributes.label)
        _change(descriptor, _entry(descriptor), whole)
        self._touch(descriptor)

    def _touch(self, descriptor: int) -> None:
        os.utime(_itself(descriptor), (self._stamp, self._stamp))

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int, mode: int = 0) -> Iterator[int]:
        descriptor = open_beneath(self._root, path, flags, mode)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that ``path`` lies in, open, and its name in there."""
        with self._opened(parent(path), os.O_PATH | os.O_DIRECTORY) as descriptor:
            yield descriptor, path.rpartition("/")[2]

    @contextlib.contextmanager
    def _translating(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _translated(error, path) from error


def _itself(descriptor: int) -> str:
    """What is open, whatever its name: also for what was opened as a place only."""
    return f"/proc/self/fd/{descriptor}"


def _entry(descriptor: int) -> Entry:
    found = os.fstat(descriptor)
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), Kind.OTHER)
    label = _attribute(descriptor, _LABEL)
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size,
        inode=found.st_ino,
        links=found.st_nlink,
        label=None if label is None else os.fsdecode(label.rstrip(b"\0")),
        target=os.readlink("", dir_fd=descriptor) if kind is Kind.LINK else None,
    )


def _attribute(descriptor: int, name: str) -> bytes | None:
    try:
        return os.getxattr(_itself(descriptor), name)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTE:
            return None
        raise


def _require_regular(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise GuestUnreadable(f"'{shown(path)}' is no file")
    return found


def _fill(descriptor: int, content: bytes, path: str) -> None:
    """Whoever gets here has been told that there is room: what fails now has left half of it behind."""
    try:
        done = 0
        while done < len(content):
            done += os.pwrite(descriptor, content[done : done + _CHUNK], done)
        os.ftruncate(descriptor, len(content))
    except OSError as error:
        why = one_line(error.strerror or "")
        raise GuestUnreadable(f"'{shown(path)}' was not written whole: {why}") from error


def _change(descriptor: int, entry: Entry, attributes: Attributes) -> None:
    place = _itself(descriptor)
    uid, gid = _or(attributes.uid, entry.uid), _or(attributes.gid, entry.gid)
    if (uid, gid) != (entry.uid, entry.gid):
        os.chown(place, uid, gid)
    # After the owner: a change of owner takes the set-user-id bit away.
    os.chmod(place, _or(attributes.mode, entry.mode))
    if attributes.label is not None and attributes.label != entry.label:
        os.setxattr(place, _LABEL, os.fsencode(attributes.label) + b"\0")


def _translated(error: OSError, path: str) -> GuestUnreadable | ItemRefused:
    if error.errno in _FULL:
        return ItemRefused(f"the guest's file system is full, at {shown(path)}")
    why = one_line(os.strerror(error.errno or errno.EIO))
    if error.errno in _SAYS_NO:
        return ItemRefused(f"the guest's file system refuses '{shown(path)}': {why}")
    if error.errno == errno.ELOOP:
        return GuestUnreadable(f"there is a link on the way to '{shown(path)}', where a directory was")
    return GuestUnreadable(f"'{shown(path)}' cannot be read or written: {why}")


def _or(asked: int | None, otherwise: int) -> int:
    return otherwise if asked is None else asked
