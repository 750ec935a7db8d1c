"""One run, inside a copy of the checkout: choose the mutants, have them judged, tell who was not noticed."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from tests.mutants.judge import Sentence, Trial, judged, preload
from tests.mutants.operators import Mutant, mutants
from tests.mutants.table import EQUIVALENT, FLOOR, TESTS

SEED = int(os.environ.get("INJECTOR_SEED", "2"))
WORKERS = len(os.sched_getaffinity(0))


def main(count: int) -> None:
    begun = time.monotonic()
    everybody = population()
    chosen = _lot(everybody, count)
    preload({test for tests in TESTS.values() for test in tests})
    patience = _patience({mutant.file for mutant in chosen})
    trials = [Trial(mutant.file, TESTS[mutant.file], mutant, patience[mutant.file]) for mutant in chosen]
    sentences = list(judged(trials, WORKERS))
    share = _told(sentences)
    noticed = sum(sentence.noticed for sentence in sentences)
    print(
        f"mutants: {noticed} of {len(sentences)} noticed ({share:.1%}, at least {FLOOR:.0%} wanted); "
        f"{len(everybody)} in all, seed {SEED}, {time.monotonic() - begun:.0f} s"
    )
    if share < FLOOR:
        sys.exit(1)


def population() -> list[Mutant]:
    """Every mutant of the table's modules but the equivalent ones; exits when the table names one that is not there."""
    found = [mutant for file in sorted(TESTS) for mutant in mutants(file, Path(file).read_text())]
    unmatched = set(EQUIVALENT) - {_key(mutant) for mutant in found}
    if unmatched:
        sys.exit(f"tests/mutants/table.py excludes mutants that do not exist: {sorted(unmatched)}")
    return [mutant for mutant in found if _key(mutant) not in EQUIVALENT]


def _lot(everybody: Collection[Mutant], count: int) -> list[Mutant]:
    """So many by chance, each by its own: a change elsewhere in the code does not draw others."""
    seen: Counter[tuple[str, str, str]] = Counter()
    drawn: list[tuple[bytes, Mutant]] = []
    for mutant in everybody:
        seen[_key(mutant)] += 1
        name = f"{SEED} {_key(mutant)} {seen[_key(mutant)]}"
        drawn.append((hashlib.sha256(name.encode()).digest(), mutant))
    return [mutant for _, mutant in sorted(drawn, key=lambda one: one[0])[:count]]


def _key(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.file, mutant.function, mutant.change


def _patience(files: Collection[str]) -> dict[str, float]:
    """Seconds to wait for each file's tests, from how long they take on the file as it is; exits when they fail."""
    healthy = [Trial(file, TESTS[file], None, 60) for file in sorted(files)]
    patience = {}
    for sentence in judged(healthy, WORKERS):
        if sentence.noticed:
            sys.exit(f"{', '.join(sentence.trial.tests)} fails on {sentence.trial.file} without any mutant")
        patience[sentence.trial.file] = 5 + 5 * sentence.seconds
    return patience


def _told(sentences: Collection[Sentence]) -> float:
    """Prints the mutants that no test noticed; the share of the others."""
    survivors = [sentence.trial.mutant for sentence in sentences if not sentence.noticed and sentence.trial.mutant]
    for one in sorted(survivors, key=lambda mutant: (mutant.file, mutant.number)):
        print(f"survived: {one.file}:{one.line}: {one.function}: {one.change}")
    return 1 - len(survivors) / len(sentences)


if __name__ == "__main__":
    main(int(sys.argv[1]))
