"""A guest's file system, mounted inside the appliance: every call is one of libguestfs's, none follows a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.partition.filesystem import Attributes, Entry, Kind, Room
from injector.inject.partition.guestfs.appliance import Handle, Refusal, ask, require
from injector.inject.partition.paths import parent, shown
from injector.inject.partition.room import require_room

_LABEL = "security.selinux"
_CAPABILITY = "security.capability"
_NOTHING = frozenset({errno.ENOENT, errno.ENOTDIR})
_NO_LABEL = frozenset({errno.ENODATA, errno.EOPNOTSUPP})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SAYS_NO = frozenset({errno.ENAMETOOLONG, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EFBIG, errno.EOPNOTSUPP})
_FORBIDDING = "ai"
_IN_ONE_MESSAGE = 1024 * 1024  # the appliance's protocol ends at 4 MiB; what is longer is sent as a file
_UNLIMITED = 2**31
_MOST_NAMES = 16 * 1024 * 1024
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


class GuestfsFiles:
    """``GuestFiles`` over a handle that has the root mounted on ``/``. What is written is on the overlay at once."""

    def __init__(self, handle: Handle, filesystem: str, stamp: int, *, writable: bool) -> None:
        self._handle = handle
        self._filesystem = filesystem
        self._stamp = stamp
        self._writable = writable
        self._directories = {"/"}  # seen to be real ones; nobody else changes this guest meanwhile

    @property
    def filesystem(self) -> str:
        return self._filesystem

    def entry(self, path: str) -> Entry | None:
        return self._entry(path) if self._reachable(path) else None

    def names(self, path: str) -> Iterator[str]:
        self._require(path, Kind.DIRECTORY)
        raw, whole = self._listed(path)
        for name in raw.split(b"\0"):
            if name:
                yield os.fsdecode(name)
        if not whole:
            raise GuestUnreadable(f"'{shown(path)}' holds more names than any real directory")

    def read(self, path: str, limit: int) -> bytes:
        entry = self._require(path, Kind.FILE)
        if entry.size > limit:
            raise ItemRefused(f"{shown(path)} has {entry.size} bytes, more than {limit}")
        content = bytearray()
        while len(content) < entry.size:
            left = min(entry.size - len(content), _IN_ONE_MESSAGE)
            part = require(self._handle.pread, path, left, len(content))
            if not part:
                raise GuestUnreadable(f"'{shown(path)}' ends before its length")
            content += part
        return bytes(content)

    def room(self) -> Room:
        found = require(self._handle.statvfs, "/")
        # btrfs makes inodes as it goes, and says that it has none.
        inodes = found["favail"] if found["files"] else _UNLIMITED
        return Room(found["bavail"] * found["frsize"], inodes, found["bsize"])

    def make_directory(self, path: str, attributes: Attributes) -> None:
        self._require_place(path)
        require_room(self.room(), path, 1, new=True)
        with self._saying_no(path):
            ask(self._handle.mkdir_mode, path, 0o700)
        self._settle(path, Attributes(_or(attributes.mode, 0o755), attributes.uid, attributes.gid, attributes.label))
        self._touch(parent(path))

    def write(self, path: str, content: bytes, attributes: Attributes) -> None:
        self._require_writable()
        entry = self.entry(path)
        if entry is None:
            self._create(path, content, attributes)
        else:
            self._rewrite(path, entry, content, attributes)

    def change(self, path: str, attributes: Attributes) -> None:
        self._require_writable()
        entry = self._require(path)
        if entry.kind is Kind.LINK:
            raise ItemRefused(f"{shown(path)} is a link")
        with self._lifted(path, entry):
            self._change(path, entry, attributes)

    def close(self) -> None:
        require(self._handle.umount_all)

    def _create(self, path: str, content: bytes, attributes: Attributes) -> None:
        self._require_place(path)
        require_room(self.room(), path, len(content), new=True)
        with self._saying_no(path):
            ask(self._handle.touch, path)
        self._fill(path, content)
        self._settle(path, Attributes(_or(attributes.mode, 0o644), attributes.uid, attributes.gid, attributes.label))
        self._touch(parent(path))

    def _rewrite(self, path: str, entry: Entry, content: bytes, attributes: Attributes) -> None:
        if entry.kind is not Kind.FILE:
            raise ItemRefused(f"{shown(path)} is no regular file")
        self._require_plain(path)
        require_room(self.room(), path, len(content), 512 * require(self._handle.lstatns, path)["st_blocks"])
        with self._lifted(path, entry):
            self._fill(path, content)
            self._change(path, entry, attributes)
            self._touch(path)

    @contextlib.contextmanager
    def _lifted(self, path: str, entry: Entry) -> Iterator[None]:
        """What is marked immutable or append-only is changed all the same, and marked again."""
        marks = self._marks(path) if entry.kind in (Kind.FILE, Kind.DIRECTORY) else ""
        if marks:
            require(self._handle.set_e2attrs, path, marks, clear=True)
        yield
        if marks:
            require(self._handle.set_e2attrs, path, marks)

    def _marks(self, path: str) -> str:
        try:
            found = str(ask(self._handle.get_e2attrs, path))
        except Refusal:  # not every file system has such marks
            return ""
        return "".join(mark for mark in found if mark in _FORBIDDING)

    def _fill(self, path: str, content: bytes) -> None:
        """Whoever gets here has been told that there is room: what fails now has left half of it behind."""
        try:
            if len(content) <= _IN_ONE_MESSAGE:
                ask(self._handle.write, path, content)
            else:
                self._upload(path, content)
        except Refusal as refusal:
            raise GuestUnreadable(f"'{shown(path)}' was not written whole: {refusal.text}") from refusal

    def _upload(self, path: str, content: bytes) -> None:
        descriptor = os.memfd_create("content")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            ask(self._handle.upload, f"/proc/self/fd/{descriptor}", path)

    def _require_writable(self) -> None:
        if not self._writable:
            raise ItemRefused("it was opened for reading only")

    def _require_place(self, path: str) -> None:
        """A name of its own in a directory that is there."""
        self._require_writable()
        if self.entry(path) is not None:
            raise ItemRefused(f"{shown(path)} is there already")
        self._require(parent(path), Kind.DIRECTORY)

    def _require_plain(self, path: str) -> None:
        """The kernel drops a program's capabilities when it is written to, and libguestfs cannot give them back."""
        try:
            ask(self._handle.lgetxattr, path, _CAPABILITY)
        except Refusal as refusal:
            if refusal.errno in _NO_LABEL:
                return
            raise GuestUnreadable(f"'{shown(path)}' cannot be read: {refusal.text}") from refusal
        raise ItemRefused(f"'{shown(path)}' has file capabilities, which guestfs cannot keep")

    def _settle(self, path: str, attributes: Attributes) -> None:
        """What is new gets all of it: a directory with set-group-id would have given it another group."""
        entry = self._require(path)
        whole = Attributes(attributes.mode, _or(attributes.uid, 0), _or(attributes.gid, 0), attributes.label)
        self._change(path, entry, whole)
        self._touch(path)

    def _change(self, path: str, entry: Entry, attributes: Attributes) -> None:
        uid, gid = _or(attributes.uid, entry.uid), _or(attributes.gid, entry.gid)
        with self._saying_no(path):
            if (uid, gid) != (entry.uid, entry.gid):
                ask(self._handle.lchown, _signed(uid), _signed(gid), path)
            # After the owner: a change of owner takes the set-user-id bit away.
            ask(self._handle.chmod, _or(attributes.mode, entry.mode), path)
            if attributes.label is not None and attributes.label != entry.label:
                self._label(path, attributes.label)

    def _label(self, path: str, label: str) -> None:
        """With the final NUL, as the kernel and libselinux write it: the binding passes a C string."""
        ask(self._handle.lsetxattr, _LABEL, label, len(os.fsencode(label)) + 1, path)

    def _touch(self, path: str) -> None:
        require(self._handle.utimens, path, self._stamp, 0, self._stamp, 0)

    def _reachable(self, path: str) -> bool:
        """Whether every directory above is a real one; GuestUnreadable when one is a link."""
        _require_utf8(path)
        above = parent(path)
        if path == "/" or above in self._directories:
            return True
        if not self._reachable(above):
            return False
        entry = self._entry(above)
        if entry is not None and entry.kind is Kind.LINK:
            raise GuestUnreadable(f"'{shown(above)}' is a link, where a directory was")
        if entry is None or entry.kind is not Kind.DIRECTORY:
            return False
        self._directories.add(above)
        return True

    def _entry(self, path: str) -> Entry | None:
        try:
            found = ask(self._handle.lstatns, path)
        except Refusal as refusal:
            if refusal.errno in _NOTHING:
                return None
            if refusal.errno == errno.ENAMETOOLONG:
                raise ItemRefused(f"the name of '{shown(path)}' is too long for the guest's file system") from refusal
            raise GuestUnreadable(f"'{shown(path)}' cannot be read: {refusal.text}") from refusal
        kind = _KINDS.get(stat.S_IFMT(found["st_mode"]), Kind.OTHER)
        return Entry(
            kind=kind,
            mode=stat.S_IMODE(found["st_mode"]),
            uid=found["st_uid"],
            gid=found["st_gid"],
            size=found["st_size"],
            inode=found["st_ino"],
            links=found["st_nlink"],
            label=self._label_of(path),
            target=require(self._handle.readlink, path) if kind is Kind.LINK else None,
        )

    def _label_of(self, path: str) -> str | None:
        try:
            value: bytes = ask(self._handle.lgetxattr, path, _LABEL)
        except Refusal as refusal:
            if refusal.errno in _NO_LABEL:
                return None
            raise GuestUnreadable(f"the label of '{shown(path)}' cannot be read: {refusal.text}") from refusal
        return os.fsdecode(value.rstrip(b"\0"))

    def _require(self, path: str, kind: Kind | None = None) -> Entry:
        entry = self.entry(path)
        if entry is None:
            raise ItemRefused(f"there is no {shown(path)}")
        if kind is not None and entry.kind is not kind:
            raise ItemRefused(f"{shown(path)} is no {'regular file' if kind is Kind.FILE else kind.value}")
        return entry

    def _listed(self, path: str) -> tuple[bytes, bool]:
        """The names, and whether these are all: a hostile directory has as many as it likes."""
        drain = _Drain()
        try:
            ask(self._handle.ls0, path, drain.path)
        except Refusal as refusal:
            if not drain.full:
                raise GuestUnreadable(f"'{shown(path)}' cannot be listed: {refusal.text}") from refusal
        finally:
            drain.close()
        return drain.content, not drain.full

    @contextlib.contextmanager
    def _saying_no(self, path: str) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            if refusal.errno in _FULL:
                raise ItemRefused(f"the guest's file system is full, at {shown(path)}") from refusal
            if refusal.errno in _SAYS_NO:
                raise ItemRefused(f"the guest's file system refuses '{shown(path)}': {refusal.text}") from refusal
            raise GuestUnreadable(f"'{shown(path)}' cannot be written: {refusal.text}") from refusal


class _Drain:
    """A pipe that libguestfs writes a file of unknown length into, and what came out of it, up to a bound."""

    def __init__(self) -> None:
        self._source, self._sink = os.pipe()
        self._content = bytearray()
        self.full = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self._sink}"

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def close(self) -> None:
        os.close(self._sink)
        self._reader.join()

    def _read(self) -> None:
        with os.fdopen(self._source, "rb", buffering=0) as source:
            while chunk := source.read(64 * 1024):
                self._content += chunk
                if len(self._content) > _MOST_NAMES:
                    self.full = True
                    return


def _signed(number: int) -> int:
    """The binding takes an int where the kernel wants 32 bits without a sign."""
    return number - (1 << 32) if number >= 1 << 31 else number


def _or(asked: int | None, otherwise: int) -> int:
    return otherwise if asked is None else asked


def _require_utf8(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ItemRefused(f"'{shown(path)}' is not UTF-8: guestfs cannot reach it") from None
