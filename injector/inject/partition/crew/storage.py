"""The block layer of one worker: a qemu-storage-daemon that knows one guest's disk, confined as programs can be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from injector.inject.partition.crew.charter import Charter
from injector.system import landlock
from injector.system.confinement import (
    NO_CAPABILITY,
    PROGRAM,
    Bounds,
    bound,
    die_with_parent,
    forbid_new_rights,
    keep_capabilities,
)
from injector.system.landlock import Reach
from injector.system.process import Companion, located, start
from injector.system.seccomp import load

_PROGRAM = "qemu-storage-daemon"
_BOUNDS = Bounds(address_space=2 << 30, open_files=128)
_LIBRARIES = tuple(Path(place) for place in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache"))
_LINKERS = ("ld-linux*.so.*", "*/ld-linux*.so.*")
# QEMU finds out on it which kind of lock there is, and settles for one that does not hold between threads without it.
_NULL = Path("/dev/null")


class BlockLayer:
    """Starts it; made once, with everything that can be found out beforehand. It runs as the daemon's own user, without
    capabilities, since it opens disks by path.
    """

    def __init__(self, charter: Charter, abi: int) -> None:
        self._program = located(_PROGRAM, "open guests' disks")
        linkers = (path for place in _LIBRARIES[1:3] for where in _LINKERS for path in place.glob(where))
        reach = Reach(
            execute=(Path(self._program), *linkers),
            read=(*_LIBRARIES, *map(Path, charter.bases)),
            write=(_NULL, *map(Path, charter.images)),
        )
        self._ruleset = landlock.prepare(reach, abi)
        self._filter = PROGRAM.compile()

    def start(self, monitor: socket.socket, listener: socket.socket, gate: int, complaints: int) -> Companion:
        """It serves the one connection that waits on ``listener``, and obeys ``monitor``; it dies with this process.

        Until the far end of ``gate``, a pipe, is closed, it is loaded and does nothing: QEMU hangs up on whoever has
        not said what he wants ten seconds after he was let in (CVE-2024-7409), and a worker may be kept for hours.
        """
        parent = os.getpid()
        return start(
            [
                self._program,
                # Options are obeyed in their order, and a secret is read to its end.
                "--object",
                f"secret,id=gate,file=/proc/self/fd/{gate}",
                "--nbd-server",
                f"addr.type=fd,addr.str={listener.fileno()},max-connections=1",
                "--chardev",
                f"socket,id=monitor,fd={monitor.fileno()}",
                "--monitor",
                "chardev=monitor",
            ],
            purpose="open a guest's disk",
            descriptors=(monitor.fileno(), listener.fileno(), gate),
            stderr=complaints,
            prepare=lambda: self._confine(parent),
        )

    def _confine(self, parent: int) -> None:
        forbid_new_rights()
        landlock.restrict(self._ruleset)
        keep_capabilities(NO_CAPABILITY)
        die_with_parent(parent)
        bound(_BOUNDS)
        load(self._filter)
