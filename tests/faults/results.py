"""The results of many cases: a line of JSON each in a file, and the table that doc/ shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COUNTED = ("lost", "twice", "stuck", "left")
_COLUMNS = ("fault", "cases", "guests", *_COUNTED, "errors", "unheard", "seconds")


def read(file: Path) -> list[dict[str, Any]]:
    """A last line that was cut short, by a kill, counts as none."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def append(file: Path, result: dict[str, Any]) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(result) + "\n")


def table(results: Sequence[dict[str, Any]]) -> str:
    """As reStructuredText: a row a kind, sums of what was counted, the mean of seconds."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    kinds = list(dict.fromkeys(one["kind"] for one in results))
    rows += [_row(kind, [one for one in results if one["kind"] == kind]) for kind in kinds]
    if len(kinds) > 1:
        rows.append(_row("all", results))
    widths = [max(len(row[number]) for row in rows) for number in range(len(_COLUMNS))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def _row(name: str, results: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    sums = [sum(len(one[column]) for one in results) for column in (*_COUNTED, "errors", "unheard")]
    seconds = sum(one["seconds"] for one in results) / len(results)
    return (name, str(len(results)), str(sum(one["guests"] for one in results)), *map(str, sums), f"{seconds:.0f}")
