"""The results of a run in a file, a line of JSON a case, so that a run that was cut short goes on; and their table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.case import Told

ENDED = ("crashed", "forbidden", "too slow", "too much processor", "too much memory")
"""Outcomes in which the worker did not live to answer; legal, and worth a look."""


class Results:
    """Appended to ``file`` as they come; those of the same seed that it has already are not done again."""

    def __init__(self, file: Path, seed: str) -> None:
        self._file = file
        self.seed = seed
        self.told = [one for one in _read(file) if one.case.startswith(f"{seed}:")]

    def missing(self, count: int) -> Iterator[int]:
        done = {int(one.case.rpartition(":")[2]) for one in self.told}
        return (number for number in range(count) if number not in done)

    def add(self, told: Told) -> None:
        self.told.append(told)
        with self._file.open("a") as file:
            file.write(json.dumps(asdict(told)) + "\n")

    @property
    def faults(self) -> list[Told]:
        return [one for one in self.told if one.faults]


def table(told: Iterable[Told]) -> str:
    """Outcomes by base, then what ended without an answer, then the slowest."""
    told = list(told)
    outcomes = sorted({one.outcome for one in told}, key=lambda name: (name != "done", name))
    lines = [f"{'':24}" + "".join(f"{name:>20}" for name in outcomes)]
    bases = sorted({one.base for one in told})
    lines += [_row(base, Counter(one.outcome for one in told if one.base == base), outcomes) for base in bases]
    lines.append(_row(f"all {len(told)}", Counter(one.outcome for one in told), outcomes))
    lines += [f"{one.outcome}: case {one.case}, {one.base}, {one.seconds} s: {'; '.join(one.changes)}: {one.message}"
              for one in told if one.outcome in ENDED]  # fmt: skip
    slowest = sorted(told, key=lambda one: one.seconds, reverse=True)[:3]
    lines.append("slowest: " + ", ".join(f"{one.case} {one.seconds} s" for one in slowest))
    return "\n".join(lines)


def _row(name: str, found: Counter[str], outcomes: list[str]) -> str:
    return f"{name:24}" + "".join(f"{found[outcome]:>20}" for outcome in outcomes)


def _read(file: Path) -> Iterator[Told]:
    for line in file.read_text().splitlines() if file.exists() else ():
        data = json.loads(line)
        yield Told(**data | {"changes": tuple(data["changes"]), "faults": tuple(data["faults"])})
