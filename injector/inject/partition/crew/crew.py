"""The crew: back end ``ext`` as the daemon has it. Each errand is done by a worker of its own, which then ends."""

from __future__ import annotations

import contextlib
import math
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import overload

from injector.errors import (
    CannotServe,
    ChannelBroken,
    GuestUnreadable,
    InjectorError,
    InternalError,
    ItemRefused,
    NoSpace,
)
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.charter import TRADE, Charter
from injector.inject.partition.crew.frames import Deadline
from injector.inject.partition.crew.hand import NurseryGone
from injector.inject.partition.crew.idle import Idle
from injector.inject.partition.crew.kept import KeptNursery
from injector.inject.partition.errand import (
    Answer,
    Errand,
    Failure,
    Inject,
    Injected,
    Look,
    Looked,
    Survey,
    Surveyed,
)
from injector.model.facts import Root
from injector.model.host import BackEnd
from injector.model.hostile import harmless, one_line
from injector.settings import PartitionSettings
from injector.system.process import Limits, run

NAME = "ext"

_MAY_SAY: dict[str, type[InjectorError]] = {
    kind.__name__: kind for kind in (GuestUnreadable, ItemRefused, CannotServe, ChannelBroken, NoSpace)
}


class Crew:
    """A ``Door``. Its nursery is started by the first errand, and once more in an errand that finds it dead.

    ``images`` and ``bases`` are the directories, which must exist, of overlays and of base images. ``idle``: seconds
    without an errand after which the nursery and its workers are let go; None keeps them.
    """

    def __init__(
        self,
        settings: PartitionSettings,
        *,
        images: Path,
        bases: Path,
        trade: str = TRADE,
        idle: float | None = None,
    ) -> None:
        self._settings = settings
        self._images = images
        self._charter = Charter(
            (str(images),), (str(bases),), settings.memory_limit, max(1, math.ceil(settings.deadline)), trade
        )
        self._lock = threading.Lock()
        self._nursery: KeptNursery | None = None
        self._closed = False
        self._under_way = 0
        self._idle = None if idle is None else Idle(idle, self._let_go)

    @property
    def name(self) -> str:
        return NAME

    @overload
    def send(self, errand: Inject, disk: GuestDisk) -> Injected: ...

    @overload
    def send(self, errand: Look, disk: GuestDisk) -> Looked: ...

    @overload
    def send(self, errand: Survey, disk: GuestDisk) -> Surveyed: ...

    def send(self, errand: Errand, disk: GuestDisk) -> Injected | Looked | Surveyed:
        """See ``Door``."""
        return _result(errand, self._ask(errand, disk))

    def check(self) -> BackEnd:
        """By doing it once: a file is looked for in a file system of a megabyte, made for the purpose."""
        try:
            with self._tiny() as disk:
                self.send(Look(Root(0, 0, disk.base.stat().st_size, "ext4", "made"), ("/nothing",), 0), disk)
        except InjectorError as error:
            return BackEnd(NAME, False, f"{error}: {error.detail}" if error.detail else str(error))
        except OSError as error:
            return BackEnd(NAME, False, error.strerror or str(error))
        return BackEnd(NAME, True)

    def close(self) -> None:
        """See ``Door``; what is sent afterwards is ChannelBroken."""
        with self._lock:
            self._closed = True
            nursery, self._nursery = self._nursery, None
        if self._idle is not None:
            self._idle.close()
        if nursery is not None:
            nursery.close()

    def _ask(self, errand: Errand, disk: GuestDisk) -> Answer:
        with self._at_work():
            for _ in range(2):
                nursery = self._living()
                try:
                    return self._ask_of(nursery, errand, disk)
                except NurseryGone:
                    self._bury(nursery)
            raise ChannelBroken("the process that keeps partition injection's workers ended twice")

    def _ask_of(self, nursery: KeptNursery, errand: Errand, disk: GuestDisk) -> Answer:
        """The time runs from when there is a nursery: to load one is no matter of this guest."""
        deadline = Deadline(self._settings.deadline)
        try:
            hand = nursery.take(deadline)
        except TimeoutError as error:
            raise ChannelBroken("no worker of partition injection became free in time") from error
        try:
            with hand:
                return hand.ask(errand, disk, deadline)
        finally:
            nursery.refill()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Meanwhile, nobody lets the nursery go for idleness."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
            if self._idle is not None:
                self._idle.begin()

    def _let_go(self) -> None:
        with self._lock:
            if self._under_way:
                return
            nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()

    def _living(self) -> KeptNursery:
        with self._lock:
            if self._closed:
                raise ChannelBroken("partition injection is being shut down")
            if self._nursery is None:
                self._nursery = KeptNursery(self._charter, self._settings.workers)
            return self._nursery

    def _bury(self, nursery: KeptNursery) -> None:
        """Once, though several threads may find it dead."""
        with self._lock:
            if self._nursery is not nursery:
                return
            self._nursery = None
        nursery.close()

    @contextlib.contextmanager
    def _tiny(self) -> Iterator[GuestDisk]:
        with tempfile.NamedTemporaryFile(dir=self._images, prefix=".check-") as file:
            limits = Limits(cpu_seconds=10, file_size=1 << 20)
            run(
                ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", file.name, "1M"],
                purpose="make a file system to check with",
                limits=limits,
                timeout=10,
            )
            yield GuestDisk(None, Path(file.name), "raw")


def _result(errand: Errand, answer: Answer) -> Injected | Looked | Surveyed:
    """What was asked for, or the failure; a worker that says anything else is no longer one of ours."""
    if answer.failure is not None:
        raise _failure(answer.failure)
    result = answer.injected or answer.looked or answer.surveyed
    expected = Injected if isinstance(errand, Inject) else Looked if isinstance(errand, Look) else Surveyed
    if not isinstance(result, expected):
        raise GuestUnreadable("reading its file system broke the process that did it", detail="another answer")
    return result


def _failure(failure: Failure) -> InjectorError:
    kind = _MAY_SAY.get(failure.kind)
    detail = None if failure.detail is None else harmless(failure.detail)
    if kind is None:
        return InternalError("a worker of partition injection failed", detail=detail)
    return kind(one_line(failure.message), detail=detail)
