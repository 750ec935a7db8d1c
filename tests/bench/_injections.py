"""Two ways into a guest's partition side by side, in turns, on one file system; time, CPU and memory."""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.system.process import run
from tests.bench import _asked as asked
from tests.bench._drives import Side, Worker, worker
from tests.bench._processes import Peak, memory_mb

ROUNDS = 4
START = {"plain.qcow2": 20 * 1024**2, "partition.qcow2": 1024**2}
"""Where the root starts in devstack's images, in bytes."""


@dataclass(frozen=True, slots=True)
class Contender:
    """``turn`` injections are made at a time; ``watched`` as many while its memory is."""

    side: Side
    turn: int
    watched: int


def ours(base: Path) -> Contender:
    command = (sys.executable, "-m", "tests.bench._our_injection", base)
    return Contender(Side("injector", command), turn=20, watched=100)


def compared(name: str, mine: Contender, peer: Contender) -> list[dict[str, Any]]:
    """A row of time and CPU an injection, then one of memory, in MB: the most that all processes of a side had."""
    with worker(mine.side) as we, worker(peer.side) as they:
        we.hear(), they.hear()
        rounds = [(_turn(we, mine.turn), _turn(they, peer.turn)) for _ in range(ROUNDS)]
        memory, peer_memory = _peak(we, mine.watched), _peak(they, peer.watched)
    (wall, cpu), (peer_wall, peer_cpu) = (_summary(side) for side in zip(*rounds, strict=True))
    row = {
        "name": name,
        "ours_ms": wall,
        "ours_cpu_ms": cpu,
        "peer": peer.side.name,
        "peer_ms": peer_wall,
        "peer_cpu_ms": peer_cpu,
        "ratio": wall / peer_wall,
        "runs": ROUNDS * mine.turn,
    }
    peaks = {"ours_ms": memory, "ours_cpu_ms": 0.0, "peer_ms": peer_memory, "peer_cpu_ms": 0.0}
    return [row, row | peaks | {"name": f"{name}_memory_mb", "ratio": memory / peer_memory, "runs": mine.watched}]


def landed(contender: Contender, image: str) -> dict[str, Any]:
    """What one injection of this side left in the guest, as debugfs reads it: what both sides promise."""
    with worker(contender.side) as one:
        one.hear()
        disk = next(one.scratch.glob("warm-up-0/disk*"))
        raw = disk.with_name("raw")
        _ask("qemu-img", "convert", "-O", "raw", disk, raw)
        place = f"{raw}?offset={START[image]}"
        network = _read(place, "/etc/network/interfaces").decode()
        shadow = next(line for line in _read(place, "/etc/shadow").decode().splitlines() if line.startswith("root:"))
        return {
            "key": asked.PUBLIC_KEY in _read(place, "/root/.ssh/authorized_keys").decode(),
            "addresses": re.findall(r"^ *(?:address|netmask|gateway) (\S+)", network, re.MULTILINE),
            "metadata": json.loads(_read(place, "/meta.js")),
            "password": shadow.split(":")[1].startswith("$"),
            "files": {path: _read(place, path) for path, _ in asked.FILES},
        }


def _turn(one: Worker, count: int) -> Mapping[str, Any]:
    os.sync()  # what the other side left to be written is not paid by this one
    one.ask(count)
    told: Mapping[str, Any] = json.loads(one.hear())
    one.tidy()
    return told


def _peak(one: Worker, count: int) -> float:
    with Peak(one.process.pid) as peak:
        one.ask(count)
        one.hear()
    one.tidy()
    return max(peak.mb, memory_mb(one.process.pid))


def _summary(turns: tuple[Mapping[str, Any], ...]) -> tuple[float, float]:
    """Median of the time, mean of the CPU."""
    walls = [wall for turn in turns for wall in turn["walls"]]
    return statistics.median(walls), statistics.fmean(turn["cpu"] for turn in turns)


def _read(place: str, path: str) -> bytes:
    return _ask("debugfs", "-R", f"cat {path}", place)


def _ask(*argv: str | Path) -> bytes:
    return run(argv, purpose="look at a guest", limits=None, timeout=120, output_limit=1024 * 1024).stdout
