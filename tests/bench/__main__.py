"""Runs every benchmark, prints a table, writes ``bench-results.json``; never judges, only measures."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import bench

COLUMNS = ("name", "ours_ms", "ours_cpu_ms", "peer", "peer_ms", "peer_cpu_ms", "ratio", "runs")
RESULTS = Path("bench-results.json")


def main(wanted: list[str]) -> None:
    """``wanted`` names modules of tests/bench; none: all."""
    results: list[dict[str, Any]] = []
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name.startswith("_") or (wanted and module.name not in wanted):
            continue
        results += importlib.import_module(f"tests.bench.{module.name}").run()
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    table = Table(*COLUMNS)
    for row in results:
        table.add_row(*(_cell(row[column]) for column in COLUMNS))
    Console(width=160).print(table)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if value >= 0.1 else f"{value:.3g}"


if __name__ == "__main__":
    main(sys.argv[1:])
