"""200 broken file systems at the ``ext`` back end; ``tox -e fuzz`` does thousands. INJECTOR_SEED chooses which."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.inject.partition.crew.crew import Crew
from injector.settings import PartitionSettings
from tests.fuzz.__main__ import fuzz
from tests.fuzz.bases import KINDS, Base, Kind, make
from tests.fuzz.case import Bench
from tests.fuzz.mutate import broken
from tests.fuzz.results import Results, table

COUNT = 200
SEED = os.environ.get("INJECTOR_SEED", "4")
DEADLINE = 5.0


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    images, bases = tmp_path / "images", tmp_path / "bases"
    images.mkdir()
    bases.mkdir()
    crew = Crew(PartitionSettings(workers=1, deadline=DEADLINE), images=images, bases=bases)
    yield crew
    crew.close()


def test_broken_file_systems_break_nothing_else(crew: Crew, tmp_path: Path) -> None:
    results = Results(tmp_path / "results", SEED)
    harm = fuzz(crew, Bench(tmp_path / "images", tmp_path / "bases", DEADLINE), results, COUNT)
    print(table(results.told))
    assert harm == []
    assert [(one.case, one.faults, one.changes) for one in results.faults] == []
    outcomes = {one.outcome for one in results.told}
    assert {"done", "GuestUnreadable"} <= outcomes, "mutations that all are fatal, or none, reach nothing"


def test_what_is_not_broken_is_served(crew: Crew, tmp_path: Path) -> None:
    """Or every refusal above would prove nothing."""
    bench = Bench(tmp_path / "images", tmp_path / "bases", DEADLINE)
    for kind in KINDS:
        told = bench.run_whole(crew, kind)
        assert (kind.name, told.outcome, told.faults) == (kind.name, "done", ())


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    kind: Kind = request.param
    return make(kind, tmp_path)


def test_a_seal_of_what_is_whole_changes_nothing(base: Base) -> None:
    """Checksums as e2fsprogs makes them: a mutation that is sealed gets past them."""
    image = bytearray(base.layout.raw)
    for many in base.layout.structures.values():
        for one in many[:20]:
            base.layout.seal(image, one)
    assert image == base.layout.raw


def test_the_same_seed_breaks_the_same(base: Base) -> None:
    first, again, other = (broken(base, random.Random(seed)) for seed in ("1", "1", "2"))
    assert first == again
    assert first.disk != base.disk
    assert first.changes != other.changes
