"""A quiet time: something is done when nothing has happened for long enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Idle:
    """``begin`` starts the time anew; ``seconds`` later ``act`` is called, from a thread that lives until then only."""

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self._seconds = seconds
        self._act = act
        self._changed = threading.Condition()
        self._end = 0.0
        self._closed = False
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        with self._changed:
            self._end = time.monotonic() + self._seconds
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._wait, name="crew-idle", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """``act`` is not called any more once this has returned, unless it is being called."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _wait(self) -> None:
        with self._changed:
            while not self._closed and (left := self._end - time.monotonic()) > 0:
                self._changed.wait(left)
            self._thread = None
            closed = self._closed
        if not closed:
            self._act()
