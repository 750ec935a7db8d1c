"""Locks between threads and processes of one host, by name of a file; the kernel frees those of the dead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from injector.errors import HostError

_LOOK_AGAIN = 0.005


@contextlib.contextmanager
def locked(path: Path, timeout: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock ``path``, made when missing; who holds it alone may remove it as the last act.

    Every call is a holder of its own, so threads exclude each other too. HostError after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while (descriptor := _acquire(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)) is None:
        if time.monotonic() >= deadline:
            raise HostError("something else on this host holds a lock for too long", detail=f"{path}, {timeout:g} s")
        time.sleep(_LOOK_AGAIN)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(path: Path, kind: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        # Its last holder may have removed it between our open and our lock: then we hold a lock nobody will see.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
