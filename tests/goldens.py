"""Documents kept under ``tests/golden`` and reviewed as a diff when they change; INJECTOR_REGOLD=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path(__file__).parent / "golden"


def agrees(name: str, text: str) -> None:
    """Fail unless the golden ``name`` (a path below ``tests/golden``) is exactly ``text``."""
    path = _ROOT / name
    if os.environ.get("INJECTOR_REGOLD"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"no golden {name}: make it with INJECTOR_REGOLD=1 and review it"
    assert text == path.read_text()
