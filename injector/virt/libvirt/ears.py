"""Somebody who listens to libvirt: over connections that come and go, and that are opened again for his sake."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from injector.errors import HostError
from injector.model.instance import State
from injector.virt.libvirt.host import Event, Host

LOG = logging.getLogger(__name__)

_AGAIN = 1.0
_ENDS = 5.0


class Ears:
    """``event`` is called by every event, ``missed`` after a time in which there may have been some unheard.

    ``event`` must be quick, and must not ask libvirt anything: it is called from libvirt's own thread.
    """

    def __init__(self, host: Host, event: Event, missed: Callable[[], None]) -> None:
        self._host = host
        self._event = event
        self._missed = missed
        self._owed = False
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_open, name="libvirt-ears", daemon=True)

    def open(self) -> None:
        """Events are heard when this returns; where libvirt does not answer, as soon as it does."""
        try:
            self._host.attend(self._hear, self._lost.set)
        except HostError as error:
            LOG.warning("libvirt's events are not heard yet: %s (%s)", error, error.detail or "-")
            self._lost.set()
        self._thread.start()

    def close(self) -> None:
        """Nothing is heard any more."""
        self._closing.set()
        self._lost.set()
        if self._thread.is_alive():
            self._thread.join(_ENDS)

    def _hear(self, domain_id: str, state: State | None) -> None:
        if not self._closing.is_set():
            self._event(domain_id, state)

    def _keep_open(self) -> None:
        while True:
            self._lost.wait()
            if self._closing.is_set():
                return
            self._lost.clear()
            if not self._listen_again():
                self._lost.set()
                self._closing.wait(_AGAIN)

    def _listen_again(self) -> bool:
        try:
            self._owed |= self._host.attend(self._hear, self._lost.set)
            if self._owed:
                self._missed()
                self._owed = False
                LOG.info("libvirt's events are heard again")
        except HostError as error:
            LOG.debug("libvirt's events are not heard: %s (%s)", error, error.detail or "-")
            return False
        except Exception:
            # Whatever went wrong once, the ears must not go deaf.
            LOG.exception("libvirt's events are not heard")
            return False
        return True
