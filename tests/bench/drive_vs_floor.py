"""One config drive by our channel, read-back and proof included, against writing the same bytes with fsync."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.bench._drives import compared, ours


def run() -> list[dict[str, Any]]:
    return compared("drive_vs_floor", ours("deliver"), replace(ours("write"), name="write + fsync"))
