"""One config drive by our channel against Nova's ``ConfigDriveBuilder`` with genisoimage, fed the same request.

Ours is synced to the disk, read back and compared with what was asked; Nova's is not.
"""

from __future__ import annotations

import json
from typing import Any

from tests import judges
from tests.bench._drives import Side, compared, ours, sample
from tests.bench._nova import NOVA, nova_python


def run() -> list[dict[str, Any]]:
    nova = Side(f"Nova {NOVA}, genisoimage", (nova_python(), "-W", "ignore", "-m", "tests.bench._nova_drive"))
    if _content(ours("deliver")) != _content(nova):
        raise RuntimeError("the two sides do not deliver the same")
    return compared("drive_vs_nova", ours("deliver"), nova)


def _content(side: Side) -> dict[str, object]:
    """What is on a drive; of JSON documents the keys, because a seed and an id made of another are each side's own."""
    with sample(side) as drive:
        tree = judges.isoinfo_tree(drive, "-R")
    return {path: sorted(json.loads(it)) if path.endswith(".json") else it for path, it in tree.items()}
