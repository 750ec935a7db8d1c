"""The checkout where any user can read it: it may lie in a home that only its owner can enter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PLACE = Path("/var/lib/injector-test/checkout")


@dataclass(frozen=True)
class Seat:
    """An interpreter that another user can run, and what it needs in its environment."""

    python: str
    environment: dict[str, str]


@contextmanager
def a_seat_for_anybody() -> Iterator[Seat]:
    """Root only: the checkout is mounted once more, below directories that can be passed through."""
    PLACE.mkdir(parents=True, exist_ok=True)
    PLACE.parent.chmod(0o711)
    subprocess.run(["mount", "--bind", PROJECT, PLACE], check=True)
    try:
        python = Path(sys.executable)
        inside = PLACE / python.relative_to(PROJECT) if python.is_relative_to(PROJECT) else python
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        yield Seat(str(inside), environment | {"PYTHONPATH": str(PLACE)})
    finally:
        subprocess.run(["umount", "--lazy", PLACE], check=True)
