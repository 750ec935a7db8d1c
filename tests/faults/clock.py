"""A compute whose clock is wrong: its own, not that of the programs that it starts.

With ``environment``: ``python -c "from tests.faults import clock; clock.main()" --config-file=FILE``
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import SupportsIndex

from injector.cmd import service

_FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
_plain_sleep = time.sleep


def environment(offset: int) -> dict[str, str]:
    """For a process whose clock is to be wrong by so many seconds; time that passes is right."""
    return {"LD_PRELOAD": _FAKETIME, "FAKETIME": f"{offset:+d}s", "DONT_FAKE_MONOTONIC": "1"}


def main() -> None:
    # The others are read again every ten seconds.
    os.environ.pop("LD_PRELOAD")
    time.sleep = _sleep
    sys.exit(service.compute())


def _sleep(seconds: float | SupportsIndex, /) -> None:
    """libfaketime has EINVAL for a sleep whose end has passed when it begins, as happens on a busy machine."""
    with suppress(OSError):
        _plain_sleep(seconds)
