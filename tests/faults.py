"""The long run of kills: the daemon killed at random moments of many boots. Seeded, resumable, results in a file.

``python -m tests.faults [KILLS]`` goes on where ``faults-results.json`` of the same seed ends (INJECTOR_SEED).
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from tests.daemon import a_daemon
from tests.system.conftest import furnish
from tests.system.test_kill import kill_at, measure

RESULTS = Path("faults-results.json")
SEED = int(os.environ.get("INJECTOR_SEED", "2"))
OPTIONS: dict[str, dict[str, Any]] = {"dispatcher": {"ring_interval": 1}, "libvirt": {"shutdown_timeout": 5}}


def main(kills: int) -> None:
    done = _done()
    chance = random.Random(SEED)
    moments = [chance.random() for _ in range(kills)]
    with a_daemon(OPTIONS) as daemon:
        daemon.start()
        house = furnish(daemon)
        longest = measure(house) * 1.1
        for number in range(len(done), kills):
            moment = moments[number] * longest
            done.append({"number": number, "seconds": moment, "ended": kill_at(house, moment)})
            RESULTS.write_text(json.dumps({"seed": SEED, "kills": done}, indent=1) + "\n")
    print(f"{kills} kills with seed {SEED}: every boot was finished or undone, nothing was left")


def _done() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    before = json.loads(RESULTS.read_text())
    return list(before["kills"]) if before["seed"] == SEED else []


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
