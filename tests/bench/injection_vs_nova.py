"""One injection into the Debian guest by our channel against Nova's ``inject_data`` with libguestfs, asked the same.

Ours is proven: sandbox, read-back through a fresh opening, comparison and receipt included; Nova's is not. Nova's
appliance runs under TCG here, whatever this host has: with a KVM that works it takes a fraction of that (1.2 to 5 s are
told), so a ratio of this benchmark is never to be quoted without saying so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench._drives import Side
from tests.bench._injections import Contender, compared, landed, ours
from tests.bench._nova import NOVA, nova_python
from tests.system.conftest import GUESTS

IMAGE = "plain.qcow2"
PARTITIONS = {"partition 1": "1", "inspection": "-1"}


def run() -> list[dict[str, Any]]:
    base = (GUESTS / "debian" / IMAGE).resolve(strict=True)
    mine = ours(base)
    peers = {what: _nova(what, partition, base) for what, partition in PARTITIONS.items()}
    if landed(mine, IMAGE) != landed(peers["partition 1"], IMAGE):
        raise RuntimeError("the two sides do not deliver the same")
    rows: list[dict[str, Any]] = []
    for what, peer in peers.items():
        rows += compared(f"injection_vs_nova_{what.replace(' ', '_')}", mine, peer)
    return rows


def _nova(what: str, partition: str, base: Path) -> Contender:
    environment = ("env", "LIBGUESTFS_BACKEND=direct", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg")
    python = (nova_python(), "-W", "ignore", "-m", "tests.bench._nova_injection")
    side = Side(f"Nova {NOVA}, libguestfs under TCG, {what}", (*environment, *python, partition, base))
    return Contender(side, turn=1, watched=1)
