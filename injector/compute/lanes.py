"""Who works on which instance: one worker an instance at a time, and a ring during the work means "look again"."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from injector.errors import HostError

LOG = logging.getLogger(__name__)

Build = Callable[[], None]
Look = Callable[[str], Build | None]
"""Looks at an instance's record and does what it says; a build is not done but returned, to be done in its turn."""


@dataclass(slots=True, eq=False)
class _Lane:
    """One instance that is worked on; ``queued`` is its build, as long as that waits for its turn."""

    look: Look
    rung: bool = False
    queued: Future[None] | None = None


class Lanes:
    """Two pools: builds (as many at once as the operator allows) and everything else, which never waits for builds."""

    def __init__(self, builds: int, actions: int) -> None:
        self._builds = ThreadPoolExecutor(builds, thread_name_prefix="build")
        self._actions = ThreadPoolExecutor(actions, thread_name_prefix="action")
        self._mutex = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._closed = False

    def enter(self, instance_id: str, look: Look) -> None:
        """Have ``look`` called for this instance, now or once what is done for it is done.

        A build that still waits for its turn is taken back, and the record looked at anew: it may be deleted by now.
        """
        with self._mutex:
            if self._closed:
                return
            lane = self._lanes.get(instance_id)
            if lane is None:
                self._lanes[instance_id] = lane = _Lane(look)
            elif lane.queued is None or not lane.queued.cancel():
                lane.rung = True
                return
            self._submit_look(instance_id, lane)

    def busy(self, instance_id: str) -> bool:
        with self._mutex:
            return instance_id in self._lanes

    @property
    def idle(self) -> bool:
        with self._mutex:
            return not self._lanes

    def close(self) -> None:
        """Take no more work; returns when all work has ended."""
        with self._mutex:
            self._closed = True
        for pool in (self._actions, self._builds):
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit_look(self, instance_id: str, lane: _Lane) -> None:
        lane.queued = None
        self._actions.submit(self._look, instance_id, lane).add_done_callback(_log_bug)

    def _look(self, instance_id: str, lane: _Lane) -> None:
        try:
            build = lane.look(instance_id)
            while self._again(instance_id, lane, build):
                build = lane.look(instance_id)
        except BaseException:
            self._leave(instance_id)
            raise

    def _again(self, instance_id: str, lane: _Lane, build: Build | None) -> bool:
        """Whether to look once more; if not, the build is queued, or the instance free for another worker."""
        with self._mutex:
            if lane.rung and not self._closed:
                lane.rung = False
                return True
            if build is None or self._closed:
                del self._lanes[instance_id]
            else:
                lane.queued = self._builds.submit(self._build, instance_id, lane, build)
                lane.queued.add_done_callback(_log_bug)
            return False

    def _build(self, instance_id: str, lane: _Lane, build: Build) -> None:
        try:
            build()
        except BaseException:
            self._leave(instance_id)
            raise
        with self._mutex:
            if lane.rung and not self._closed:
                lane.rung = False
                self._submit_look(instance_id, lane)
            else:
                del self._lanes[instance_id]

    def _leave(self, instance_id: str) -> None:
        with self._mutex:
            del self._lanes[instance_id]


def _log_bug(future: Future[None]) -> None:
    if future.cancelled() or (error := future.exception()) is None:
        return
    if isinstance(error, HostError):
        LOG.warning("work on an instance could not be done; it will be rung again: %s (%s)", error, error.detail or "-")
    else:
        LOG.error("work on an instance ended badly; it will be rung again", exc_info=error)
