"""Pieces of ours run in processes of their own, as ourselves or as a user with no privileges."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from injector.system.process import Finished, run

ROOT = os.geteuid() == 0
NOBODY = 65534
FOREIGN = 4321
"""A group that nobody is in."""

_PROJECT = str(Path(__file__).parent.parent)


_DROP = f"if not os.geteuid(): os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"


def python(script: str) -> Finished:
    """Run a script, whatever its end."""
    path = os.pathsep.join(filter(None, [_PROJECT, *sys.path]))
    environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "import os; os.umask(0o022)\n" + script]
    return run(command, purpose="run a script", limits=None, timeout=60, env=environment, accept=None)


def as_nobody(imports: str, script: str) -> Finished:
    """The same as a user with no groups and no privileges (as ourselves, when that is what we are).

    The imports come first: the project may lie where only its owner can read it.
    """
    return python(imports + "\n" + _DROP + script)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A temporary directory that other users can pass through; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def prepared(path: Path) -> Path:
    """Make ``path`` as the operator does for an unprivileged daemon: its own, setgid of QEMU's group. Needs root."""
    path.mkdir()
    os.chown(path, NOBODY, FOREIGN)
    path.chmod(0o2711)
    return path
