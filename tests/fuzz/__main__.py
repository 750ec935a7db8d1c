"""``python -m tests.fuzz --count 5000 --seed 7 --results FILE`` goes on where the results of the same seed end.

Twenty of them go to guestfs too, an appliance each. Exit status 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.door import Door
from injector.inject.partition.guestfs.door import GuestfsDoor
from injector.settings import PartitionSettings
from tests.fuzz.case import Bench
from tests.fuzz.host import WATCHED, fingerprint, left_over, processes
from tests.fuzz.results import Results, table

DEADLINE = 5.0
APPLIANCE = 120.0
SETTINGS = PartitionSettings(workers=1, deadline=DEADLINE, guestfs_deadline=APPLIANCE)
_LOOK_AROUND = 100
_TOLD = 500


def main(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/var/tmp") as work:
        place = Path(work)
        images, bases = place / "images", place / "bases"
        images.mkdir()
        bases.mkdir()
        faults = []
        with _crew(images, bases) as crew:
            results = Results(arguments.results, str(arguments.seed))
            faults += fuzz(crew, Bench(images, bases, DEADLINE), results, arguments.count)
        appliance = GuestfsDoor(SETTINGS, place / "guestfs", emulated=not arguments.kvm)
        others = Results(arguments.results, f"{arguments.seed}-guestfs")
        faults += fuzz(appliance, Bench(images, bases, APPLIANCE), others, arguments.appliances)
    print(table(results.told))
    print(table(others.told) if others.told else "")
    faults += [f"case {one.case}: {one.faults}: {one.changes}" for one in (*results.faults, *others.faults)]
    print("\n".join(faults) or "no promise was broken")
    return 1 if faults else 0


@contextmanager
def _crew(images: Path, bases: Path) -> Iterator[Crew]:
    crew = Crew(SETTINGS, images=images, bases=bases)
    try:
        yield crew
    finally:
        crew.close()


def fuzz(door: Door, bench: Bench, results: Results, count: int) -> list[str]:
    """What happened to this host meanwhile; what came of each case is in the results."""
    before, ours = fingerprint(*WATCHED), processes(os.getpid())
    faults = []
    for done, number in enumerate(results.missing(count)):
        results.add(bench.run(door, results.seed, number))
        if done % _LOOK_AROUND == 0 and fingerprint(*WATCHED) != before:
            faults.append(f"files of this host have changed up to case {number}")
            before = fingerprint(*WATCHED)
        if done % _TOLD == _TOLD - 1:
            print(f"{number + 1} of {count}, {len(results.faults)} broken promises", flush=True)
    door.close()
    if fingerprint(*WATCHED) != before:
        faults.append("files of this host have changed")
    if left := left_over(ours):
        faults.append(f"processes were left: {sorted(left)}")
    return faults


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="mutated file systems down the real road")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--appliances", type=int, default=20, help="how many of them to guestfs")
    parser.add_argument("--seed", default=os.environ.get("INJECTOR_SEED", "4"))
    parser.add_argument("--results", type=Path, default=Path("fuzz-results.jsonl"))
    parser.add_argument("--kvm", action="store_true", help="KVM works here for appliances")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(_arguments()))
