"""Who works on which instance: one worker an instance at a time, and a ring during the work means "look again"."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

LOG = logging.getLogger(__name__)

Look = Callable[[str], None]


class Lanes:
    """Two pools: builds (as many at once as the operator allows) and everything else, which never waits for builds."""

    def __init__(self, builds: int, actions: int) -> None:
        self._pools = {
            True: ThreadPoolExecutor(builds, thread_name_prefix="build"),
            False: ThreadPoolExecutor(actions, thread_name_prefix="action"),
        }
        self._mutex = threading.Lock()
        self._again: dict[str, bool] = {}
        self._closed = False

    def enter(self, instance_id: str, *, build: bool, look: Look) -> None:
        """Have ``look`` called for this instance, now or (if somebody is at it) once that is done."""
        with self._mutex:
            if self._closed:
                return
            if instance_id in self._again:
                self._again[instance_id] = True
                return
            self._again[instance_id] = False
            future = self._pools[build].submit(self._work, instance_id, look)
        future.add_done_callback(_log_bug)

    def busy(self, instance_id: str) -> bool:
        with self._mutex:
            return instance_id in self._again

    @property
    def idle(self) -> bool:
        with self._mutex:
            return not self._again

    def close(self) -> None:
        """Take no more work; returns when all work has ended."""
        with self._mutex:
            self._closed = True
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, instance_id: str, look: Look) -> None:
        try:
            look(instance_id)
            while self._rung_meanwhile(instance_id):
                look(instance_id)
        except BaseException:
            with self._mutex:
                del self._again[instance_id]
            raise

    def _rung_meanwhile(self, instance_id: str) -> bool:
        """Whether to look again; if not, the instance is free for another worker from here on."""
        with self._mutex:
            if not self._again[instance_id] or self._closed:
                del self._again[instance_id]
                return False
            self._again[instance_id] = False
            return True


def _log_bug(future: Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        LOG.error("work on an instance ended badly; it will be rung again", exc_info=error)
