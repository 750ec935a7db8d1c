"""A trade whose workers are somebody else's: they do what the path they are to look at says, once they are sealed."""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Mapping

from injector.errors import CannotServe
from injector.inject.partition.crew.disk import NbdDisk
from injector.inject.partition.errand import Answer, Errand, Inject, Injected, Look, Looked, SeenFile
from injector.inject.partition.filesystem import Disk
from injector.model.secret import Secret

CONTROL, DISK = 3, 4
_LIBC = ctypes.CDLL(None, use_errno=True)
_ROOM = ctypes.create_string_buffer(1 << 16)
_PATH = ctypes.create_string_buffer(b"/etc/passwd")
_AT = ctypes.addressof(_PATH)
_EXECUTABLE, _PRIVATE_ANONYMOUS = 7, 0x22
_X32 = 0x40000000

# Numbers of x86-64, with arguments that would do harm if the call were carried out.
CALLS: Mapping[str, tuple[int, ...]] = {
    "read": (0, CONTROL, ctypes.addressof(_ROOM), 1),
    "write": (1, 1, _AT, 4),
    "open": (2, _AT, 0),
    "mprotect to execute": (10, ctypes.addressof(_ROOM) & ~4095, 4096, _EXECUTABLE),
    "mmap to execute": (9, 0, 4096, _EXECUTABLE, _PRIVATE_ANONYMOUS, -1, 0),
    "mmap of a descriptor": (9, 0, 4096, 3, 2, DISK, 0),
    "ioctl": (16, CONTROL, 0x541B, ctypes.addressof(_ROOM)),
    "pipe": (22, ctypes.addressof(_ROOM)),
    "shmget": (29, 0, 4096, 0o1600),
    "dup": (32, CONTROL),
    "dup2": (33, CONTROL, 9),
    "socket": (41, 1, 1, 0),
    "connect": (42, CONTROL, _AT, 3),
    "sendmsg": (46, CONTROL, ctypes.addressof(_ROOM), 0),
    "recvmsg": (47, CONTROL, ctypes.addressof(_ROOM), 0),
    "bind": (49, CONTROL, _AT, 3),
    "socketpair": (53, 1, 1, 0, ctypes.addressof(_ROOM)),
    "clone": (56, 17, 0, 0, 0, 0),
    "a thread": (56, 0x10F00, 0, 0, 0, 0),
    "fork": (57,),
    "vfork": (58,),
    "execve": (59, _AT, 0, 0),
    "kill": (62, 1, 0),
    "kill of all": (62, -1, 9),
    "fcntl": (72, CONTROL, 1),
    "truncate": (76, _AT, 0),
    "unlink": (87, _AT),
    "ptrace": (101, 16, 1, 0, 0),
    "setuid": (105, 0),
    "mknod": (133, _AT, 0o20666, 0x0103),
    "chroot": (161, _AT),
    "mount": (165, _AT, _AT, 0, 0, 0),
    "prctl": (157, 4, 1, 0, 0, 0),
    "setrlimit": (160, 0, ctypes.addressof(_ROOM)),
    "prlimit": (302, 0, 7, ctypes.addressof(_ROOM), 0),
    "tgkill": (234, 1, 1, 9),
    "openat": (257, -100, _AT, 0),
    "unshare": (272, 0x10000000),
    "openat2": (437, -100, _AT, ctypes.addressof(_ROOM), 24),
    "process_vm_readv": (310, 1, _AT, 1, _AT, 1, 0),
    "seccomp": (317, 0, 0, 0),
    "memfd_create": (319, _AT, 0),
    "bpf": (321, 0, 0, 0),
    "userfaultfd": (323, 0),
    "open_by_handle_at": (304, CONTROL, _AT, 0),
    "setns": (308, CONTROL, 0),
    "io_uring_setup": (425, 1, ctypes.addressof(_ROOM)),
    "pidfd_open": (434, 1, 0),
    "pidfd_getfd": (438, CONTROL, 1, 0),
    "clone3": (435, ctypes.addressof(_ROOM), 64),
    "x32": (_X32 + 39,),
}


def perform(errand: Errand, disk: Disk) -> Answer:
    if not isinstance(disk, NbdDisk):
        raise CannotServe("it was only a rehearsal")
    if isinstance(errand, Inject):
        verb, _, argument = errand.wanted[0].item.name.partition(":")
        DEEDS[verb](argument, disk)
        return Answer(injected=Injected("none", (), (), ()))
    assert isinstance(errand, Look)
    verb, _, argument = errand.paths[0].partition(":")
    said = DEEDS[verb](argument, disk) or b""
    return Answer(looked=Looked((SeenFile(verb, verb, Secret(said), 0, 0, 0),)))


def _call(name: str, disk: Disk) -> bytes:
    status = _LIBC.syscall(*(ctypes.c_long(word) for word in CALLS[name]))
    return f"{status} {ctypes.get_errno()}".encode()


def _write(place: str, disk: Disk) -> None:
    disk.write(disk.size + int(place) if int(place) < 1 else int(place), b"captive!" * 512)
    disk.flush()


def _say(raw: bytes) -> None:
    while raw:
        sent = _LIBC.send(CONTROL, raw, len(raw), 0)
        if sent <= 0:
            return
        raw = raw[sent:]


def _send(what: str, disk: Disk) -> None:
    """Over the socket to the daemon, and then nothing more."""
    length = struct.Struct(">I")
    match what:
        case "garbage":
            _say(length.pack(64) + bytes(range(64)))
        case "too much":
            _say(length.pack(0xFFFFFFFF) + b"x" * 1024)
        case "half":
            _say(length.pack(1000) + b'{"inj')
        case "drips":
            _say(length.pack(1 << 20))
            while True:
                _say(b" ")
                time.sleep(0.01)
        case "deep":
            _say(length.pack(32 << 20) + b"[" * (32 << 20))
        case "an answer to something else":
            _say(_framed(b'{"surveyed":{"facts":{"table":"none"}}}'))
        case "nothing at all":
            _say(_framed(b"{}"))
        case "many":
            one = b'{"place":0,"paths":[]}'
            count = (60 << 20) // (len(one) + 1)
            _say(
                _framed(
                    b'{"injected":{"filesystem":"x","landed":['
                    + b",".join([one] * count)
                    + b'],"declined":[],"files":[]}}'
                )
            )
    time.sleep(60)


def _framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def _wait(seconds: str, disk: Disk) -> None:
    time.sleep(float(seconds))


def _spin(_: str, disk: Disk) -> None:
    while True:
        pass


def _hoard(_: str, disk: Disk) -> None:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def _crash(_: str, disk: Disk) -> None:
    ctypes.string_at(8, 1)


def _leave(status: str, disk: Disk) -> None:
    _LIBC._exit(int(status))


def _flood(_: str, disk: Disk) -> None:
    """Requests of the disk, and nobody who reads the replies."""
    request = struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 1 << 20)
    while True:
        _LIBC.send(DISK, request, len(request), 0)


DEEDS: Mapping[str, Callable[[str, Disk], bytes | None]] = {
    "call": _call,
    "write": _write,
    "send": _send,
    "wait": _wait,
    "spin": _spin,
    "hoard": _hoard,
    "crash": _crash,
    "leave": _leave,
    "flood": _flood,
}
