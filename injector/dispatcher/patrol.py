"""The patrol: rings again for work that is silent, and takes builds away from hosts that are not heard of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from injector.db import Store
from injector.dispatcher.bell import Bell
from injector.dispatcher.fleet import Fleet
from injector.errors import InjectorError
from injector.model.instance import WORKING
from injector.settings import DispatcherSettings

LOG = logging.getLogger(__name__)


class Patrol:
    """A thread; every dispatcher has one, and what two of them do at once has no second effect.

    A dispatcher that was away itself has heard nobody: it first gives hosts ``host_down_after`` to be heard. So it does
    when nobody at all was heard, and when it was held up, by a query or because it was frozen.
    """

    def __init__(
        self, store: Store, bell: Bell, fleet: Fleet, settings: DispatcherSettings, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._bell = bell
        self._fleet = fleet
        self._settings = settings
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="dispatcher-patrol", daemon=True)
        self._listening_since = self._round_ended = self._clock()

    def start(self) -> None:
        self._listening_since = self._round_ended = self._clock()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _rounds(self) -> None:
        while not self._stopping.wait(self._settings.ring_interval):
            try:
                self.round()
            except InjectorError as error:
                self._listening_since = self._clock()
                LOG.warning("the patrol could not look at the records: %s (%s)", error, error.detail or "-")
            except Exception:
                # The patrol is what brings stuck work forward; it must outlive whatever went wrong once.
                LOG.exception("the patrol could not look at the records")

    def round(self) -> None:
        self.ring_silent()
        lost = self._fleet.lost()
        now = self._clock()
        # Looked at after the queries: the answer to one that hung tells of a time in which nobody could be heard.
        held_up = now - self._round_ended - self._settings.ring_interval > self._settings.host_down_after / 2
        if lost is None or held_up:
            self._listening_since = now
        elif now - self._listening_since > self._settings.host_down_after:
            self._fleet.leave(lost)
        self._round_ended = self._clock()

    def ring_silent(self) -> None:
        """Ring for all work whose record has been silent for ``ring_interval``.

        Not at hosts that are not heard of: they look at all their records when they are back.
        """
        away = self._store.silent_hosts(self._settings.host_down_after)
        for instance in self._store.silent(WORKING, self._settings.ring_interval):
            if instance.host not in away:
                self._bell.ring(instance)
