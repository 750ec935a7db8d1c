"""The loop of a benchmark's worker: rounds on demand, timed inside of it; the standard library only."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

WARM_UP = 3


def serve(
    make: Callable[[Path], object],
    scratch: Path,
    *,
    prepare: Callable[[Path], object] = lambda _: None,
    cpu_ms: Callable[[], float] | None = None,
    warm_up: int = WARM_UP,
) -> None:
    """Each line on stdin is a number of runs; each is answered with a line of JSON, milliseconds a run.

    ``make`` gets a new directory a run, in which ``prepare`` has done what is not measured. ``begun`` and ``ended`` are
    of the monotonic clock, which all processes share. CPU counts the programs that ``make`` started and waited for,
    unless ``cpu_ms`` counts better.
    """
    for number in range(warm_up):
        make(_directory(scratch, f"warm-up-{number}", prepare))
    print("ready", flush=True)
    for turn, line in enumerate(sys.stdin):
        directories = [_directory(scratch, f"{turn}-{number}", prepare) for number in range(int(line))]
        os.sync()  # what was prepared is not paid by what is measured
        print(json.dumps(_measured(make, directories, cpu_ms or _cpu_ms)), flush=True)


def _measured(
    make: Callable[[Path], object], directories: list[Path], cpu_ms: Callable[[], float]
) -> dict[str, object]:
    cpu, begun, walls = cpu_ms(), time.monotonic(), []
    for directory in directories:
        started = time.perf_counter()
        make(directory)
        walls.append((time.perf_counter() - started) * 1000)
    ended = time.monotonic()
    return {"begun": begun, "ended": ended, "walls": walls, "cpu": (cpu_ms() - cpu) / len(directories)}


def _directory(scratch: Path, name: str, prepare: Callable[[Path], object]) -> Path:
    path = scratch / name
    path.mkdir()
    prepare(path)
    return path


def _cpu_ms() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) * 1000
