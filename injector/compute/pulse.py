"""The host's sign of life: a thread that says again and again that this compute is there, whatever else it does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from injector.errors import InjectorError
from injector.model.host import HostFacts
from injector.rpc.dispatcher import Dispatcher

LOG = logging.getLogger(__name__)


class Pulse:
    """Every ``interval`` seconds; a host that is not on record (any more) reports itself in whole."""

    def __init__(self, dispatcher: Dispatcher, facts: Callable[[], HostFacts], host: str, interval: float) -> None:
        self._dispatcher = dispatcher
        self._facts = facts
        self._host = host
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beats, name="compute-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns at once: a beat that waits for an answer ends with the bus."""
        self._stopping.set()

    def _beats(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.beat()
            except InjectorError as error:
                LOG.warning("no sign of life could be given: %s (%s)", error, error.detail or "-")
            except Exception:
                # Without a pulse the host counts as down, and its builds are taken from it.
                LOG.exception("no sign of life could be given")

    def beat(self) -> None:
        if not self._dispatcher.host_alive(self._host):
            self._dispatcher.host_report(self._facts())
