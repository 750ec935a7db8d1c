"""``python -m tests.mutants [COUNT]`` works in a copy, since a checkout may change under a run; 200 by default."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_NEEDED = ("injector", "tests", "pyproject.toml", "setup.cfg")


def main(count: str) -> int:
    with tempfile.TemporaryDirectory(prefix="injector-mutants-") as copy:
        for name in _NEEDED:
            _copy(_CHECKOUT / name, Path(copy) / name)
        command = [sys.executable, "-m", "tests.mutants.run", count]
        return subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": copy}, check=False).returncode


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "200"))
