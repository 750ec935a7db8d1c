"""Asks booting guests how they are until they have said it, and reports what they say."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from injector.errors import InjectorError
from injector.model.guest import GuestState, GuestVerdict
from injector.model.instance import Instance
from injector.model.report import Report, Witnessed
from injector.settings import ComputeSettings
from injector.virt.driver import Driver

LOG = logging.getLogger(__name__)

# Where the console was quicker than the agent, the agent is heard as well: it can show what the guest has.
_SECOND_WORD_SECONDS = 30.0
# A guest whose agent hangs costs a thread for the agent's time limit; others are to be asked meanwhile.
_AT_ONCE = 4


@dataclass(slots=True)
class _Watched:
    instance: Instance
    until: float
    last: GuestVerdict


class Watch:
    """One thread that goes round every ``witness_interval`` seconds while there is anybody to ask."""

    def __init__(self, driver: Driver, tell: Callable[[Instance, Report], bool], settings: ComputeSettings) -> None:
        self._driver = driver
        self._tell = tell
        self._settings = settings
        self._mutex = threading.Condition()
        self._watched: dict[str, _Watched] = {}
        self._boots: set[str] = set()
        self._stopping = False
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="witness")
        self._thread = threading.Thread(target=self._rounds, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._mutex:
            self._stopping = True
            self._mutex.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, instance: Instance) -> None:
        """Watch a guest that begins to boot now."""
        with self._mutex:
            self._begin(instance, GuestVerdict())

    def go_on(self, instance: Instance) -> None:
        """Watch a guest that was booting when the daemon was restarted: once, and for the whole time.

        What is left of it cannot be told: the record's times are those of another host's clock.
        """
        with self._mutex:
            if instance.id not in self._watched and instance.id not in self._boots:
                self._begin(instance, instance.guest)

    def _begin(self, instance: Instance, last: GuestVerdict) -> None:
        self._boots.add(instance.id)
        self._watched[instance.id] = _Watched(instance, time.monotonic() + self._settings.witness_timeout, last)
        self._mutex.notify_all()

    def unsaid(self, instance_id: str) -> None:
        """The record has forgotten what the guest said: it may be asked once more."""
        with self._mutex:
            self._boots.discard(instance_id)

    def forget(self, instance_id: str) -> None:
        """What the guest would still say of this boot is not wanted any more."""
        with self._mutex:
            self._watched.pop(instance_id, None)
            self._boots.discard(instance_id)

    def _end(self, watched: _Watched) -> None:
        """The instance may be watched anew by now: another boot, another watch."""
        with self._mutex:
            if self._watched.get(watched.instance.id) is watched:
                del self._watched[watched.instance.id]

    def _current(self, watched: _Watched) -> bool:
        with self._mutex:
            return self._watched.get(watched.instance.id) is watched

    def _rounds(self) -> None:
        while True:
            with self._mutex:
                while not self._watched and not self._stopping:
                    self._mutex.wait()
                if self._stopping:
                    return
                now = list(self._watched.values())
            list(self._pool.map(self._ask, now))
            with self._mutex:
                if self._mutex.wait_for(lambda: self._stopping, self._settings.witness_interval):
                    return

    def _ask(self, watched: _Watched) -> None:
        try:
            verdict = self._driver.witness(watched.instance)
            told = verdict is None or self._told(watched, verdict)
        except InjectorError as error:
            LOG.debug("instance %s: not asked: %s", watched.instance.id, error)
            verdict, told = None, True
        except Exception:
            # One guest must not end the watch over all others.
            LOG.exception("instance %s: what it says cannot be dealt with", watched.instance.id)
            verdict, told = None, True
        over = verdict is not None and verdict.state.final and verdict.witness == "agent"
        if over or not told or time.monotonic() > watched.until:
            self._end(watched)

    def _report(self, instance: Instance, verdict: GuestVerdict) -> Witnessed:
        """With what the guest shows to have, once its boot is over; only what its agent shows counts."""
        if verdict.witness != "agent" or verdict.state not in (GuestState.DONE, GuestState.DEGRADED):
            return Witnessed(verdict)
        return Witnessed(verdict, instance.generation, self._driver.witnessed(instance))

    def _told(self, watched: _Watched, verdict: GuestVerdict) -> bool:
        if not self._current(watched) or not _news(watched.last, verdict):
            return True
        LOG.info("instance %s: the guest says %s %s", watched.instance.id, verdict.state.value, verdict.detail)
        told = self._tell(watched.instance, self._report(watched.instance, verdict))
        watched.last = verdict
        if verdict.state.final:
            watched.until = min(watched.until, time.monotonic() + _SECOND_WORD_SECONDS)
        return told


def _news(last: GuestVerdict, verdict: GuestVerdict) -> bool:
    """Whether it is worth telling; after a final word only the agent's own final word is."""
    if last.state.final:
        return verdict.state.final and verdict.witness == "agent"
    return (verdict.state, verdict.detail) != (last.state, last.detail)
