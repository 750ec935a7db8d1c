"""Overlays of a benchmark's guest; the standard library only, for Nova's own Python."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_overlay(base: Path, overlay: Path) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(overlay)]
    subprocess.run(command, check=True)
