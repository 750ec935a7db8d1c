"""What is inside images: looked up once a digest, kept on this host, told to the dispatcher."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from injector import wire
from injector.errors import GuestError, GuestUnreadable, HostError, ImageUnavailable, InjectorError
from injector.inject.channel import GuestDisk
from injector.inject.partition.door import Door
from injector.inject.partition.errand import Survey
from injector.model.facts import ImageFacts, Partition, Root
from injector.model.hostile import one_line
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
_MOST_PARTITIONS = 256
_LABEL, _WORD, _TEXT = 255, 64, 1000


@dataclass(frozen=True, slots=True)
class Known:
    """Facts of one digest, and which back ends have answered; ``told``: whether the dispatcher has them."""

    facts: ImageFacts
    asked: frozenset[str] = frozenset()
    told: bool = False


class Inspector:
    """Safe to ask from many threads; those that ask for one image wait for one look.

    ``directory`` is made; what lies in it is lost without harm. ``doors`` in the operator's order.
    """

    def __init__(self, directory: Path, doors: Sequence[Door], tell: Tell) -> None:
        files.make_directory(directory, 0o700)
        files.sweep(directory)
        self._directory = directory
        self._doors = tuple(doors)
        self._tell = tell
        self._mutex = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._known: dict[str, Known] = {}
        self._failed: dict[tuple[str, str], _Failed] = {}

    def facts(self, image: Image, base: Path, *, thorough: bool) -> ImageFacts:
        """What is in the image whose bytes are at ``base``.

        A quick look asks no slow back end and never raises: what it does not find out is unknown, with the doubt. A
        ``thorough`` one asks all of them until one has found the root; HostError when none has and one was hindered.
        """
        digest = _digest(image)
        try:
            with self._turn(digest):
                known = self._look(digest, image, base, thorough=thorough)
                known = self._pass_on(digest, known)
        except HostError as error:
            if thorough:
                raise
            return ImageFacts("none", doubt=error.message)
        return known.facts

    def known(self, image: Image) -> ImageFacts | None:
        """What was found out so far; nothing is done."""
        found = None if image.sha256 is None else self._recall(_digest(image))
        return None if found is None else found.facts

    def forget(self, digest: str) -> None:
        """Of bytes that are not on this host any more."""
        with self._mutex:
            self._known.pop(digest, None)
            self._turns.pop(digest, None)
        self._path(digest).unlink(missing_ok=True)

    # looking

    def _look(self, digest: str, image: Image, base: Path, *, thorough: bool) -> Known:
        known = self._recall(digest) or Known(ImageFacts("none"))
        disk, hindered = GuestDisk(None, base, image.disk_format.value), None
        for door in self._doors:
            if known.facts.root is not None:
                break
            if door.name in known.asked or (door.name in SLOW and not thorough):
                continue
            try:
                known = self._ask(door, digest, disk, known, thorough=thorough)
            except HostError as error:
                hindered = hindered or error
        if known.facts.root is None and thorough and hindered is not None:
            raise hindered
        return replace(known, facts=self._doubted(digest, known.facts))

    def _ask(self, door: Door, digest: str, disk: GuestDisk, known: Known, *, thorough: bool) -> Known:
        """What is known with this one's answer. What it fails at is remembered, a host's trouble for a while only."""
        failed = self._failed.get((digest, door.name))
        if failed is not None and failed.counts(thorough=thorough):
            return known
        try:
            found = checked(door.send(Survey(), disk).facts)
        except (GuestError, HostError) as error:
            final = isinstance(error, GuestError)
            self._failed[digest, door.name] = _Failed(f"{door.name}: {error.message}", final)
            LOG.warning("image %s: %s did not look into it: %s (%s)", digest, door.name, error, error.detail or "-")
            if final:
                return known
            raise
        best = found if not known.asked or found.tells_more_than(known.facts) else known.facts
        if best is found and found.root is None and known.facts.doubt:
            best = replace(found, doubt=_joined(known.facts.doubt, found.doubt))
        return self._keep(digest, Known(best, known.asked | {door.name}))

    def _doubted(self, digest: str, facts: ImageFacts) -> ImageFacts:
        """With what hindered those who did not look, where that matters."""
        if facts.root is not None:
            return facts
        why = [failed.doubt for (whose, _), failed in self._failed.items() if whose == digest]
        return replace(facts, doubt=_joined(facts.doubt, *why))

    # what is kept

    def _recall(self, digest: str) -> Known | None:
        with self._mutex:
            found = self._known.get(digest)
        if found is None and (found := self._read(digest)) is not None:
            with self._mutex:
                self._known[digest] = found
        return found

    def _read(self, digest: str) -> Known | None:
        """None as well for what another release has found, or what a crash has left."""
        try:
            kept = wire.from_clear(self._path(digest).read_bytes(), _Kept)
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

    def _pass_on(self, digest: str, known: Known) -> Known:
        """Once; a dispatcher that does not answer now is told with the next boot."""
        if known.told or not known.asked:
            return known
        try:
            self._tell(digest, known.facts)
        except InjectorError as error:
            LOG.warning("image %s: what was found in it could not be told: %s", digest, error)
            return known
        return self._keep(digest, replace(known, told=True))

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

    def counts(self, *, thorough: bool) -> bool:
        """Whether it is not tried again: who needs to know tries in spite of a host's trouble."""
        return self.final or (not thorough and time.monotonic() - self.at < _BREATH)


def _digest(image: Image) -> str:
    if image.sha256 is None or _DIGEST.fullmatch(image.sha256) is None:
        raise ImageUnavailable(f"image {image.id} has no bytes yet", field="image")
    return image.sha256


def _joined(*doubts: str | None) -> str | None:
    return "; ".join(dict.fromkeys(doubt for doubt in doubts if doubt))[:_TEXT] or None


def checked(facts: ImageFacts) -> ImageFacts:
    """What a process says that has read a stranger's disk: bounded, harmless to print, and nothing that cannot be.

    GuestUnreadable for what no partition table says.
    """
    roots = (facts.root,) if facts.root is not None else ()
    if len(facts.partitions) > _MOST_PARTITIONS or not all(_possible(one) for one in (*facts.partitions, *roots)):
        raise GuestUnreadable("what was read as its partition table cannot be one")
    return replace(
        facts,
        table=one_line(facts.table, _WORD),
        partitions=tuple(_harmless(one) for one in facts.partitions),
        root=None if facts.root is None else _harmless_root(facts.root),
        os=_text(facts.os, _WORD),
        os_version=_text(facts.os_version, _WORD),
        agent_seen=_text(facts.agent_seen, _LABEL),
        selinux=_text(facts.selinux, _WORD),
        back_end=_text(facts.back_end, _WORD),
        doubt=_text(facts.doubt, _TEXT),
    )


def _possible(place: Partition | Root) -> bool:
    number = place.number if isinstance(place, Partition) else place.partition
    return 0 <= number < 2**16 and place.start >= 0 and place.size > 0 and place.start + place.size < 2**63


def _harmless(partition: Partition) -> Partition:
    return replace(
        partition,
        type=one_line(partition.type, _WORD),
        name=_text(partition.name, _LABEL),
        filesystem=_text(partition.filesystem, _WORD),
        label=_text(partition.label, _LABEL),
        uuid=_text(partition.uuid, _WORD),
    )


def _harmless_root(root: Root) -> Root:
    """A volume is a name for libguestfs, and goes back to it as it came."""
    found_by, volume = one_line(root.found_by, _LABEL), root.volume
    if volume is not None and (len(volume) > _LABEL or one_line(volume, _LABEL) != volume):
        raise GuestUnreadable("the name of its root's volume is no name")
    return replace(root, filesystem=one_line(root.filesystem, _WORD), found_by=found_by)


def _text(text: str | None, limit: int) -> str | None:
    return None if text is None else one_line(text, limit)
