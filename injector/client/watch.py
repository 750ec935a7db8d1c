"""Waiting for servers: the pure judgement of a server's view, and the loop that polls until it says "over"."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from injector.client.exits import Exit, Failure, Refused, Unreachable
from injector.client.find import HOSTS, SERVER, get
from injector.client.progress import Progress
from injector.client.session import Document, Session, seg
from injector.client.views import elapsed

PATIENCE = 30.0
"""Seconds of no answer before a wait gives up: a daemon that is restarted in the middle finishes what it had begun."""

FAST, SLOW = 0.2, 1.0
"""Seconds between two looks: at a build, whose phases are short, and at a guest, which takes its time."""


UNDER_WAY = frozenset({"BUILD", "REBUILD", "UNKNOWN"})
"""Nothing is over yet: a host that is silent may come back, and then says what became of the guest."""


class Goal(StrEnum):
    """What ``boot --wait`` waits for."""

    RUNNING = "running"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Ending:
    """A wait is over; ``failure`` says why it was in vain."""

    failure: Failure | None = None


Judge = Callable[[Document], Ending | None]
"""Looks at a server's view: None while there is something to wait for."""


def judge_boot(view: Document, goal: Goal) -> Ending | None:
    """Whether a boot has come to ``goal``, or to where it cannot come there any more."""
    status = view.get("status")
    if status == "DELETED" or view.get("OS-EXT-STS:task_state") == "deleting":
        return Ending(_failed(view, "was deleted before it was up", Exit.BOOT_FAILED))
    if status == "ERROR":
        return Ending(_boot_failure(view))
    if status in UNDER_WAY:
        return None
    return Ending() if goal is Goal.RUNNING else _judge_guest(view, stopped=status == "SHUTOFF")


def _judge_guest(view: Document, *, stopped: bool) -> Ending | None:
    guest = view.get("injector:guest") or {}
    detail = f": {guest['detail']}" if guest.get("detail") else ""
    match guest.get("state"):
        case "done":
            return Ending()
        case "degraded":
            return Ending(_failed(view, f"runs, its guest ended degraded{detail}", Exit.GUEST_DEGRADED))
        case "error":
            return Ending(_failed(view, f"runs, its guest ended in error{detail}", Exit.GUEST_ERROR))
    if stopped:
        return Ending(_failed(view, "stopped before its guest said that it was done", Exit.GUEST_ERROR))
    return None


def judge_power(view: Document, wanted: str) -> Ending | None:
    """Whether a stop, start, pause or the like has come to the status ``wanted``."""
    if view.get("OS-EXT-STS:task_state") or view.get("status") in UNDER_WAY:
        return None
    if view.get("status") == wanted:
        return Ending()
    reason = (view.get("fault") or {}).get("message")
    because = f": {reason}" if reason else ""
    return Ending(_failed(view, f"is {view.get('status')} and not {wanted}{because}", Exit.REFUSED))


def judge_refresh(view: Document, number: int) -> Ending | None:
    """Whether the server has come to config drive ``number``."""
    if view.get("OS-EXT-STS:task_state") == "refreshing":
        return None
    if view.get("injector:generation") == number and not view.get("injector:fault"):
        return Ending()
    because = f": {view['injector:fault']}" if view.get("injector:fault") else ""
    return Ending(_failed(view, f"keeps config drive {view.get('injector:generation')}{because}", Exit.REFUSED))


def _boot_failure(view: Document) -> Failure:
    reason = (view.get("fault") or {}).get("message") or "no reason is known"
    return _failed(view, f"ended in ERROR: {reason}", Exit.BOOT_FAILED)


def _failed(view: Document, what: str, code: Exit) -> Failure:
    return Failure(f"server {view.get('name')} ({view.get('id')}) {what}", code, view.get("injector:request_id"))


@dataclass(slots=True)
class Story:
    """What was already told of one boot, so that each phase is told once, when it is over."""

    prefix: str
    told: list[Document] = field(default_factory=list)
    guest: str = "unknown"

    def news(self, view: Document) -> Iterator[str]:
        """The lines that ``view`` adds: one a phase with its time, one each time the guest says something new."""
        marks = view.get("injector:marks") or []
        if marks[: len(self.told)] != self.told:
            self.told = []
            yield f"{self.prefix}another attempt"
        for mark in marks[len(self.told) :]:
            if self.told:
                yield f"{self.prefix}{self.told[-1]['step']:<10} {elapsed(self.told[-1], mark):6.2f} s"
            self.told.append(mark)
            if mark["step"] == "running":
                yield f"{self.prefix}{'running':<10} {elapsed(marks[0], mark):6.2f} s in all"
        yield from self._of_guest(view)

    def _of_guest(self, view: Document) -> Iterator[str]:
        guest = view.get("injector:guest") or {}
        state = guest.get("state", "unknown")
        if state == self.guest:
            return
        self.guest = state
        after = f"{elapsed(self.told[0], guest):6.2f} s after the request" if self.told and guest.get("at") else ""
        yield f"{self.prefix}{'guest':<10} {state:<8} {after} ({guest.get('witness') or 'no witness'})"

    def present(self, view: Document) -> str:
        """What goes on right now."""
        if view.get("status") in ("BUILD", "REBUILD"):
            return str(self.told[-1]["step"]) if self.told else "waiting for a host"
        return f"guest {self.guest}"


@dataclass(slots=True)
class Patience:
    """Forgives the API a silence of PATIENCE seconds."""

    since: float | None = None

    def answered(self) -> None:
        self.since = None

    def unanswered(self, error: Unreachable) -> None:
        """Raises ``error`` when the silence has lasted too long."""
        now = time.monotonic()
        self.since = self.since or now
        if now - self.since >= PATIENCE:
            raise error


class Watch:
    """Polls servers until each is judged."""

    def __init__(self, session: Session, progress: Progress, timeout: float) -> None:
        self._session = session
        self._progress = progress
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._patience = Patience()
        self._silent: dict[str, str] = {}

    def boot(self, views: list[Document], goal: Goal) -> tuple[list[Document], list[Failure]]:
        """The last views of the servers, and the failures of those that did not come to ``goal``."""
        stories = {view["id"]: Story(f"{view['name']}: " if len(views) > 1 else "") for view in views}

        def told(view: Document) -> Ending | None:
            story = stories[view["id"]]
            for line in story.news(view):
                self._progress.line(line)
            self._progress.now(str(view.get("name")), story.present(view))
            return judge_boot(view, goal)

        return self._until(views, told)

    def power(self, view: Document, wanted: str) -> None:
        """Until the server is ``wanted``; raises Failure when it comes to rest elsewhere."""
        _, failures = self._until([view], lambda now: judge_power(now, wanted))
        for failure in failures:
            raise failure

    def refreshed(self, view: Document, number: int) -> Document:
        """The view once generation ``number`` is the server's; raises Failure when it did not become so."""
        (after,), failures = self._until([view], lambda now: judge_refresh(now, number))
        for failure in failures:
            raise failure
        return after

    def gone(self, view: Document) -> None:
        """Until the server is deleted."""
        try:
            _, failures = self._until([view], lambda now: Ending() if now.get("status") == "DELETED" else None)
        except Refused as refused:
            if refused.status == 404:
                return
            raise
        for failure in failures:
            raise failure

    def _until(self, views: list[Document], judge: Judge) -> tuple[list[Document], list[Failure]]:
        latest = {view["id"]: view for view in views}
        waiting, failures = list(latest), list[Failure]()
        while waiting:
            for identity in tuple(waiting):
                view = self._look(identity) or latest[identity]
                latest[identity] = view
                self._tell_silence(view)
                ending = judge(view)
                if ending is not None:
                    waiting.remove(identity)
                    failures += [ending.failure] if ending.failure else []
            if waiting and time.monotonic() >= self._deadline:
                failures += [self._too_late(latest[identity]) for identity in waiting]
                break
            if waiting:
                building = any(latest[identity].get("status") in ("BUILD", "REBUILD") for identity in waiting)
                time.sleep(min(FAST if building else SLOW, max(0.0, self._deadline - time.monotonic())))
        return list(latest.values()), failures

    def _look(self, identity: str) -> Document | None:
        """The view now, or None when the API is silent and there is patience left."""
        try:
            view = get(self._session, SERVER, identity)
        except Unreachable as error:
            if time.monotonic() >= self._deadline:
                raise
            self._patience.unanswered(error)
            return None
        self._patience.answered()
        return view

    def _tell_silence(self, view: Document) -> None:
        """Once a server, while its host is not heard of: nothing will move until it is."""
        identity, host = str(view["id"]), str(view.get("OS-EXT-SRV-ATTR:host"))
        if view.get("injector:host_state") != "down":
            self._silent.pop(identity, None)
        elif identity not in self._silent:
            self._silent[identity] = host
            self._progress.line(f"{view.get('name')}: {silence(self._session, host)}")

    def _too_late(self, view: Document) -> Failure:
        guest = (view.get("injector:guest") or {}).get("state", "unknown")
        where = f"it is {view.get('status')}, its guest {guest}"
        host = self._silent.get(str(view["id"]))
        because = "" if host is None else f"; {silence(self._session, host)}"
        return _failed(view, f"did not get there within {self._timeout:g} s: {where}{because}", Exit.TIMED_OUT)


def silence(session: Session, host: str) -> str:
    """How long a host was not heard of, as far as the API says that."""
    try:
        seconds = session.get(f"{HOSTS}/{seg(host)}")["host"]["silent_seconds"]
    except (Failure, KeyError):
        return f"host {host} is silent"
    return f"host {host} is silent for {seconds:.0f} s"
