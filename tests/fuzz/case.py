"""One broken guest down the real road, and everything that must hold whatever comes of it."""

from __future__ import annotations

import hashlib
import random
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.errors import GuestError, InjectorError
from injector.inject.channel import GuestDisk
from injector.inject.partition import evidence
from injector.inject.partition.door import Door
from injector.inject.partition.errand import Inject, Injected, Look, Survey
from injector.model.facts import Root
from injector.system.process import run
from tests.fuzz import asked
from tests.fuzz.bases import KINDS, Base, Kind, make
from tests.fuzz.layout import Layout
from tests.fuzz.mutate import broken
from tests.fuzz.overlay import merged, written
from tests.fuzz.steering import steering

SLACK = 3.0
"""Seconds beyond its deadline in which a door must have answered, on a machine that has other things to do."""

_ENDED = {
    "crashed": "broke the process",
    "forbidden": "what it may not",
    "too slow": "longer than is allowed",
    "too much processor": "processor time",
    "too much memory": "memory than is allowed",
}
_READ_ERRORS = (struct.error, IndexError, RecursionError, ValueError)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a case. ``faults`` are promises that were broken; there should be none."""

    case: str
    base: str
    changes: tuple[str, ...]
    errand: str
    outcome: str
    message: str
    seconds: float
    faults: tuple[str, ...] = ()


class Bench:
    """The bases, and the one base file and overlay of the case under way; ``longest``: a door's deadline in seconds."""

    def __init__(self, images: Path, bases: Path, longest: float) -> None:
        self._images, self._bases, self._longest = images, bases, longest
        self._made: dict[str, Base] = {}

    def run(self, door: Door, seed: str, number: int) -> Told:
        """Case ``number`` of a seed; the same again whenever it is asked for, but for times, uuids and salts."""
        case = f"{seed}:{number}"
        chance = random.Random(case)
        base = self._base(KINDS[number % len(KINDS)].name)
        guest = broken(base, chance)
        disk = self._disk(base, guest.disk)
        errand, root = self._errand(base, guest.table, chance)
        trial = _Trial(door, disk, guest.disk, self._longest)
        outcome = trial.survey_and_inject(chance) if root is None else trial.send(errand)
        faults = tuple(trial.faults())
        return Told(case, base.kind.name, guest.changes, trial.words, outcome, trial.message, trial.seconds, faults)

    def run_whole(self, door: Door, kind: Kind) -> Told:
        """A base as it was made, surveyed and injected into."""
        base = self._base(kind.name)
        trial = _Trial(door, self._disk(base, base.disk), base.disk, self._longest)
        outcome = trial.survey_and_inject(random.Random(kind.name))
        return Told("", kind.name, (), trial.words, outcome, trial.message, trial.seconds, tuple(trial.faults()))

    def _errand(self, base: Base, table: bool, chance: random.Random) -> tuple[Inject | Look, Root | None]:
        """Without a root: the survey has to find it first."""
        if table or chance.random() < 0.25:
            return asked.look(base.root), None
        if chance.random() < 0.15:
            return asked.look(base.root), base.root
        return asked.inject(base.root, chance), base.root

    def _base(self, name: str) -> Base:
        if name not in self._made:
            kind = next(kind for kind in KINDS if kind.name == name)
            self._made[name] = make(kind, self._bases)
            file = self._bases / f"{name}.raw"
            file.write_bytes(self._made[name].disk)
            empty = self._images / f"{name}.empty"
            words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(file), "-F", "raw", str(empty)]
            run(words, purpose="make an overlay", limits=None, timeout=60)
        return self._made[name]

    def _disk(self, base: Base, content: bytes) -> GuestDisk:
        file, overlay = self._bases / f"{base.kind.name}.raw", self._images / "overlay"
        file.write_bytes(content)
        shutil.copyfile(self._images / f"{base.kind.name}.empty", overlay)
        return GuestDisk(overlay, file, "raw")


class _Trial:
    def __init__(self, door: Door, disk: GuestDisk, content: bytes, longest: float) -> None:
        self._door, self._disk, self._content, self._longest = door, disk, content, longest
        self._injected: tuple[Inject, Injected] | None = None
        self._wrote = False
        self._worst: list[str] = []
        self.words = ""
        self.message = ""
        self.seconds = 0.0

    def survey_and_inject(self, chance: random.Random) -> str:
        """As in life: the root is where the survey says."""
        found: list[Root] = []
        outcome = self._judged("survey", lambda: found.extend(self._survey()))
        if not found:
            return outcome
        return self.send(asked.inject(found[0], chance))

    def send(self, errand: Inject | Look) -> str:
        if isinstance(errand, Inject):
            return self._judged("inject", lambda: self._inject(errand))
        return self._judged("look", lambda: self._look(errand))

    def faults(self) -> Iterator[str]:
        """What must not be, seen from outside."""
        yield from self._worst
        if hashlib.sha256(self._disk.base.read_bytes()).digest() != hashlib.sha256(self._content).digest():
            yield "the base was written"
        clusters = written(self._require_overlay())
        if self._injected is None:
            # Where a kernel mounts the guest, it writes its own as soon as it does; the overlay goes with the boot.
            if clusters and not self._wrote and self._door.name == "ext":
                yield "the overlay was written, though nothing was injected"
            return
        errand, answer = self._injected
        yield from _outside(errand.root, clusters)
        yield from _not_there(errand, answer, merged(self._content, clusters))

    def _judged(self, words: str, ask: Any) -> str:
        self.words = f"{self.words}, {words}" if self.words else words
        started = time.monotonic()
        try:
            ask()
            outcome = "done"
        except GuestError as error:
            outcome = self._ended(error)
        except InjectorError as error:
            outcome = type(error).__name__
            self._tell(error)
            self._worst.append(f"it blames the host, or us: {outcome}: {error.message} ({error.detail})")
        seconds = time.monotonic() - started
        self.seconds = round(max(self.seconds, seconds), 3)
        if seconds > self._longest + SLACK:
            self._worst.append(f"it took {seconds:.1f} s")
        return outcome

    def _ended(self, error: GuestError) -> str:
        self._tell(error)
        # A worker that ends between writing and answering has written: the boot fails, and the overlay goes with it.
        ended = next((name for name, words in _ENDED.items() if words in error.message), None)
        return ended or type(error).__name__

    def _tell(self, error: InjectorError) -> None:
        self.message = f"{error.message} ({error.detail})" if error.detail else error.message
        if len(error.message) > 1000 or steering(error.message) or "\n" in error.message:
            self._worst.append(f"the message is not harmless: {error.message!r}")

    def _survey(self) -> list[Root]:
        facts = self._door.send(Survey(), self._disk).facts
        self._worst += [f"the facts are not harmless: {text!r}" for text in steering(facts)]
        return [] if facts.root is None else [facts.root]

    def _inject(self, errand: Inject) -> None:
        answer = self._door.send(errand, self._disk)
        self._injected = errand, answer
        self._worst += [f"a reason is not harmless: {text!r}" for text in steering(answer.declined)]
        seen = evidence.seen_in(errand, answer)
        lost = evidence.lost_of(errand.wanted, answer)
        for one in errand.wanted:
            thing = evidence.thing_of(one)
            if thing not in seen and thing not in lost:
                self._worst.append(f"{one.item.kind} {one.item.name} is not proven")

    def _look(self, errand: Look) -> None:
        self._door.send(errand, self._disk)

    def _require_overlay(self) -> Path:
        assert self._disk.overlay is not None
        return self._disk.overlay


def _outside(root: Root, clusters: dict[int, bytes]) -> Iterator[str]:
    for start in clusters:
        if not root.start // 65536 * 65536 <= start < root.start + root.size:
            yield f"bytes outside the root were written: {start}"


def _not_there(errand: Inject, answer: Injected, disk: bytes) -> Iterator[str]:
    """By a reader of our own; what it cannot make sense of is left to the worker's own reading."""
    layout = Layout(disk[errand.root.start : errand.root.start + errand.root.size])
    for one in answer.files:
        try:
            number = layout.number_of(one.real)
            content = None if number is None else layout.content(number)
        except _READ_ERRORS:
            continue
        if content != one.content.reveal():
            yield f"{one.real} is not on the disk as it was read back"
