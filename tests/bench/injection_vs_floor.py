"""One injection by our channel, sandbox, overlay, read-back and proof included, against the same edits by debugfs.

Both into the tiny guest's partition, of which the floor has a raw copy each time: its debugfs writes into a plain file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench._drives import Side, cache
from tests.bench._injections import Contender, compared, landed, ours
from tests.system.conftest import GUESTS

IMAGE = "partition.qcow2"


def run() -> list[dict[str, Any]]:
    base = (GUESTS / "tiny" / IMAGE).resolve(strict=True)
    with tempfile.TemporaryDirectory(dir=cache()) as directory:
        raw = Path(directory) / "raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", base, raw], check=True)
        side = Side("debugfs on a raw file", (sys.executable, "-m", "tests.bench._debugfs_edits", raw))
        floor = Contender(side, turn=20, watched=100)
        if landed(ours(base), IMAGE) != landed(floor, IMAGE):
            raise RuntimeError("the two sides do not deliver the same")
        return compared("injection_vs_floor", ours(base), floor)
