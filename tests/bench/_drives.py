"""Two ways to a config drive side by side: a worker process or two each, in turns, on one file system."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).parents[2]
_ROUNDS = 10
_DRIVES = 10


@dataclass(frozen=True, slots=True)
class Side:
    """``command`` starts a worker (see ``_rounds``) when the directory for its drives is added to it."""

    name: str
    command: Sequence[str | Path]


def ours(what: str) -> Side:
    """``deliver`` a drive by our channel, or ``write`` the bytes of one."""
    return Side("injector", (sys.executable, "-m", "tests.bench._our_drive", what))


def cache() -> Path:
    """Where benchmarks keep what is dear to make, on a file system of the disk (a temporary one often is not)."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "injector-bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def compared(name: str, mine: Side, peer: Side) -> list[dict[str, Any]]:
    """A row for one process a side and one for two at once. The ratio is of the time that passes, not of CPU."""
    return [_row(name, mine, peer, 1), _row(f"{name}_2_processes", mine, peer, 2)]


@contextlib.contextmanager
def sample(side: Side) -> Iterator[Path]:
    """One drive as this side makes it."""
    with _workers(side, 1) as (one,):
        yield next(one.scratch.glob("*/disk.config"))


def _row(name: str, mine: Side, peer: Side, processes: int) -> dict[str, Any]:
    with _workers(mine, processes) as we, _workers(peer, processes) as they:
        rounds = [(_round(we), _round(they)) for _ in range(_ROUNDS)]
    (wall, cpu), (peer_wall, peer_cpu) = (_summary(side) for side in zip(*rounds, strict=True))
    return {
        "name": name,
        "ours_ms": wall,
        "ours_cpu_ms": cpu,
        "peer": peer.name,
        "peer_ms": peer_wall,
        "peer_cpu_ms": peer_cpu,
        "ratio": wall / peer_wall,
        "runs": _ROUNDS * _DRIVES * processes,
    }


def _summary(rounds: Sequence[tuple[list[float], float]]) -> tuple[float, float]:
    """Median of the time, mean of the CPU."""
    walls = [wall for walls, _ in rounds for wall in walls]
    return statistics.median(walls), statistics.fmean(cpu for _, cpu in rounds)


@contextlib.contextmanager
def _workers(side: Side, count: int) -> Iterator[list[Worker]]:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(side)) for _ in range(count)]
        for one in workers:
            one.hear()
        yield workers


@contextlib.contextmanager
def worker(side: Side) -> Iterator[Worker]:
    """A process that has said nothing yet: hear that it is ready."""
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        command = [*side.command, scratch]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_CHECKOUT
        ) as process:
            yield Worker(process, Path(scratch))
            assert process.stdin is not None
            process.stdin.close()


@dataclass(frozen=True, slots=True)
class Worker:
    process: subprocess.Popen[str]
    scratch: Path

    def ask(self, count: int) -> None:
        assert self.process.stdin is not None
        print(count, file=self.process.stdin, flush=True)

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self.process.wait()}")
        return line

    def tidy(self) -> None:
        for path in self.scratch.iterdir():
            shutil.rmtree(path)


def _round(workers: Sequence[Worker]) -> tuple[list[float], float]:
    """Milliseconds a drive, of time and of CPU. One worker: each drive's own; several: the time by all their drives."""
    os.sync()  # what the other side left to be written is not paid by this one's fsync
    for one in workers:
        one.ask(_DRIVES)
    told = [json.loads(one.hear()) for one in workers]
    for one in workers:
        one.tidy()
    cpu = statistics.fmean(one["cpu"] for one in told)
    if len(told) == 1:
        return told[0]["walls"], cpu
    passed = max(one["ended"] for one in told) - min(one["begun"] for one in told)
    return [passed * 1000 / (len(told) * _DRIVES)], cpu
