"""How long a start waits for what it needs: a broker, a database, a hypervisor, a dispatcher."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from injector.errors import HostError

LOG = logging.getLogger(__name__)

_Found = TypeVar("_Found")

_SECONDS = 3.0


class Ended(Exception):
    """The start was given up because the process is to end."""


class Patience:
    """Tries again every ``seconds``, and says so, until it is there or ``ending`` is set.

    To exit instead would leave the trying to systemd, which gives a service up that fails too often. Without ``ending``
    there is none: stations that share a process have all they need in it, and what is not there will not come.
    """

    def __init__(self, ending: threading.Event | None = None, seconds: float = _SECONDS) -> None:
        self._ending = ending
        self._seconds = seconds

    def until(self, what: str, attempt: Callable[[], _Found]) -> _Found:
        """What ``attempt`` returns; HostErrors are waited out. Ended when it is. ``what`` completes "waiting for …"."""
        if self._ending is None:
            return attempt()
        while not self._ending.is_set():
            try:
                return attempt()
            except HostError as error:
                field = f" [{error.field}]" if error.field else ""
                LOG.warning("waiting for %s: %s%s (%s)", what, error, field, error.detail or "-")
            self._ending.wait(self._seconds)
        raise Ended
