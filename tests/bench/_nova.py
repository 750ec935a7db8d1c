"""The Nova that benchmarks compare with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench._drives import cache

NOVA = "34.0.0"


def nova_python() -> Path:
    """The Python of an environment that holds Nova and nothing of ours; made at the first run, then kept."""
    home = cache() / f"nova-{NOVA.partition('.')[0]}"
    python = home / "bin" / "python"
    # pip installs what others need first: once Nova is there, all is.
    if not list(home.glob(f"lib/python*/site-packages/nova-{NOVA}.dist-info/RECORD")):
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"nova=={NOVA}"], check=True)
    return python
