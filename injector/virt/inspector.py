"""What is inside images: looked up once a digest, kept on this host, told to the dispatcher."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from injector import wire
from injector.errors import GuestError, HostError, ImageUnavailable, InjectorError
from injector.inject.channel import GuestDisk
from injector.inject.partition.checking import checked
from injector.inject.partition.door import Door
from injector.inject.partition.errand import Survey
from injector.model.facts import ImageFacts
from injector.model.image import Image
from injector.system import files

LOG = logging.getLogger(__name__)

Tell = Callable[[str, ImageFacts], None]
"""Reports the facts (second) of a digest (first): ``Dispatcher.image_report``."""

RULES = 1
"""Of this release's way of looking; what was found by other rules is looked for again."""

SLOW = frozenset({"guestfs"})
"""Back ends that take seconds: not asked for what a config drive can be without."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WAIT = 600.0
_BREATH = 300.0
_KEPT_UNUSED = 90 * 86400.0
_LONGEST_DOUBT = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """Facts of one digest, and which back ends have answered."""

    facts: ImageFacts
    asked: frozenset[str] = frozenset()


_NOTHING = Known(ImageFacts("none"))


class Inspector:
    """Safe to ask from many threads; those that ask for one image wait for one look.

    ``directory`` is made; what lies in it is lost without harm, and removed when unused for three months. ``doors`` in
    the operator's order.
    """

    def __init__(self, directory: Path, doors: Sequence[Door], tell: Tell) -> None:
        files.make_directory(directory, 0o700)
        files.sweep(directory)
        _remove_unused(directory)
        self._directory = directory
        self._doors = tuple(doors)
        self._tell = tell
        self._mutex = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._known: dict[str, Known] = {}
        self._failed: dict[tuple[str, str], _Failed] = {}
        self._told: dict[str, ImageFacts] = {}

    def facts(self, image: Image, base: Path, *, thorough: bool) -> ImageFacts:
        """What is in the image whose bytes are at ``base``.

        A quick look asks no slow back end and never fails: what it does not find out is unknown, with the doubt. A
        ``thorough`` one asks all of them until one has found the root; HostError when none has and one was hindered.
        """
        digest = _digest(image)
        try:
            known = self._looked(digest, GuestDisk(None, base, image.disk_format.value), thorough=thorough)
        except InjectorError as error:
            if thorough:
                raise
            LOG.warning("image %s: not looked into: %s (%s)", digest, error, error.detail or "-")
            return replace(_NOTHING.facts, doubt=error.message)
        facts = self._doubted(digest, known.facts)
        if known.asked or self._given_up(digest):
            self._pass_on(digest, facts)
        return facts

    def known(self, image: Image) -> ImageFacts | None:
        """What was found out so far; nothing is done."""
        found = None if image.sha256 is None else self._recall(image.sha256)
        return None if found is None else self._doubted(image.sha256 or "", found.facts)

    # looking

    def _looked(self, digest: str, disk: GuestDisk, *, thorough: bool) -> Known:
        known = self._recall(digest) or _NOTHING
        if not self._to_ask(digest, known, thorough=thorough):
            return known
        with self._turn(digest):
            return self._look(digest, disk, thorough=thorough)

    def _look(self, digest: str, disk: GuestDisk, *, thorough: bool) -> Known:
        known, hindered = self._recall(digest) or _NOTHING, None
        for door in self._to_ask(digest, known, thorough=thorough):
            try:
                known = self._ask(door, digest, disk, known)
            except HostError as error:
                hindered = hindered or error
            if known.facts.root is not None:
                return known
        if thorough and hindered is not None:
            raise hindered
        return known

    def _to_ask(self, digest: str, known: Known, *, thorough: bool) -> tuple[Door, ...]:
        """Nobody once the root is known; else those that have not answered and may do so now."""
        if known.facts.root is not None:
            return ()
        some = (door for door in self._doors if door.name not in known.asked and (thorough or door.name not in SLOW))
        return tuple(door for door in some if self._may_answer(digest, door.name, thorough=thorough))

    def _may_answer(self, digest: str, name: str, *, thorough: bool) -> bool:
        failed = self._failed.get((digest, name))
        return failed is None or failed.is_over(thorough=thorough)

    def _ask(self, door: Door, digest: str, disk: GuestDisk, known: Known) -> Known:
        """What is known with this one's answer. What it fails at is remembered, a host's trouble for a while only."""
        try:
            found = replace(checked(door.send(Survey(), disk).facts), back_end=door.name)
        except (GuestError, HostError) as error:
            final = isinstance(error, GuestError)
            self._failed[digest, door.name] = _Failed(f"{door.name}: {error.message}", final)
            LOG.warning("image %s: %s did not look into it: %s (%s)", digest, door.name, error, error.detail or "-")
            if final:
                return known
            raise
        self._failed.pop((digest, door.name), None)
        return self._keep(digest, Known(_better(known, found), known.asked | {door.name}))

    def _doubted(self, digest: str, facts: ImageFacts) -> ImageFacts:
        """With what hindered those who did not look, where that matters."""
        if facts.root is not None:
            return facts
        why = [failed.doubt for (whose, _), failed in tuple(self._failed.items()) if whose == digest]
        return replace(facts, doubt=_joined(facts.doubt, *why))

    def _given_up(self, digest: str) -> bool:
        """Whether somebody has looked and seen that nothing can be found out."""
        return any(whose == digest and failed.final for (whose, _), failed in tuple(self._failed.items()))

    # what is kept, and told

    def _recall(self, digest: str) -> Known | None:
        with self._mutex:
            found = self._known.get(digest)
        if found is None and (found := self._read(digest)) is not None:
            with self._mutex:
                self._known[digest] = found
        return found

    def _read(self, digest: str) -> Known | None:
        """None as well for what another release has found, or what a crash has left."""
        path = self._path(digest)
        try:
            kept = wire.from_clear(path.read_bytes(), _Kept)
            os.utime(path)
        except (OSError, ValueError):
            return None
        return kept.known if kept.rules == RULES else None

    def _keep(self, digest: str, known: Known) -> Known:
        """A disk that is full costs another look, later, and no boot."""
        with self._mutex:
            self._known[digest] = known
        try:
            files.write_atomic(self._path(digest), wire.to_clear(_Kept(RULES, known)), mode=0o600)
        except (OSError, HostError) as error:
            LOG.warning("image %s: what was found in it is not kept: %s", digest, error)
        return known

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest}.json"

    def _pass_on(self, digest: str, facts: ImageFacts) -> None:
        """Once a start and when it has changed; a dispatcher that does not answer now is told with the next boot."""
        if self._told.get(digest) == facts:
            return
        try:
            self._tell(digest, facts)
        except InjectorError as error:
            LOG.warning("image %s: what was found in it could not be told: %s", digest, error)
        else:
            self._told[digest] = facts

    @contextmanager
    def _turn(self, digest: str) -> Iterator[None]:
        with self._mutex:
            turn = self._turns.setdefault(digest, threading.Lock())
        if not turn.acquire(timeout=_WAIT):
            raise HostError("the image was being looked into for too long")
        try:
            yield
        finally:
            turn.release()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What lies in a file."""

    rules: int
    known: Known


@dataclass(frozen=True, slots=True)
class _Failed:
    """A look that failed: for good when the image is at fault, else until the host had time to recover."""

    doubt: str
    final: bool
    at: float = field(default_factory=time.monotonic)

    def is_over(self, *, thorough: bool) -> bool:
        """Whether it is tried again: who needs to know tries in spite of a host's trouble."""
        return not self.final and (thorough or time.monotonic() - self.at >= _BREATH)


def _digest(image: Image) -> str:
    if image.sha256 is None or _DIGEST.fullmatch(image.sha256) is None:
        raise ImageUnavailable(f"image {image.id} has no bytes yet", field="image")
    return image.sha256


def _better(known: Known, found: ImageFacts) -> ImageFacts:
    """Of two that have not found the root, the one that knows more, with the doubts of both."""
    if not known.asked or found.root is not None:
        return found
    best = found if found.tells_more_than(known.facts) else known.facts
    return replace(best, doubt=_joined(known.facts.doubt, found.doubt))


def _joined(*doubts: str | None) -> str | None:
    return "; ".join(dict.fromkeys(doubt for doubt in doubts if doubt))[:_LONGEST_DOUBT] or None


def _remove_unused(directory: Path) -> None:
    for path in directory.glob("*.json"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_UNUSED:
                path.unlink()
