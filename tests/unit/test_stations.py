"""A service has its own station in memory, and not what only the others work with."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import sys, injector.cmd.running, injector.cmd.stations.{} as _; print(*sys.modules)"


@pytest.mark.parametrize(
    ("station", "needed", "spared"),
    [
        ("api", {"falcon", "sqlalchemy"}, {"libvirt", "injector.dispatcher", "injector.compute"}),
        ("dispatcher", {"sqlalchemy"}, {"libvirt", "falcon", "injector.api", "injector.compute"}),
        ("compute", {"libvirt"}, {"sqlalchemy", "falcon", "injector.api", "injector.dispatcher"}),
    ],
)
def test_what_only_others_work_with_is_not_loaded(station: str, needed: set[str], spared: set[str]) -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOADED.format(station)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert needed <= loaded
    assert not spared & loaded
