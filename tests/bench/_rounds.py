"""The loop of a benchmark's worker: rounds on demand, timed inside of it; the standard library only."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

WARM_UP = 3


def serve(make: Callable[[Path], object], scratch: Path) -> None:
    """Each line on stdin is a number of runs; each is answered with a line of JSON, milliseconds a run.

    ``make`` gets a new, empty directory a run. ``begun`` and ``ended`` are of the monotonic clock, which all processes
    share. CPU counts the programs that ``make`` started.
    """
    for number in range(WARM_UP):
        make(_directory(scratch, f"warm-up-{number}"))
    print("ready", flush=True)
    for turn, line in enumerate(sys.stdin):
        directories = [_directory(scratch, f"{turn}-{number}") for number in range(int(line))]
        print(json.dumps(_measured(make, directories)), flush=True)


def _measured(make: Callable[[Path], object], directories: list[Path]) -> dict[str, object]:
    cpu, begun, walls = _cpu_ms(), time.monotonic(), []
    for directory in directories:
        started = time.perf_counter()
        make(directory)
        walls.append((time.perf_counter() - started) * 1000)
    ended = time.monotonic()
    return {"begun": begun, "ended": ended, "walls": walls, "cpu": (_cpu_ms() - cpu) / len(directories)}


def _directory(scratch: Path, name: str) -> Path:
    path = scratch / name
    path.mkdir()
    return path


def _cpu_ms() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) * 1000
