"""Which of libvirt's events are news: those of a guest that became something other than what is known of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from injector.model.instance import State


class News:
    """What each guest was last made by us, or heard to be. Events and our own work come from several threads.

    An event that is late by a change is news once too often, and never once too seldom.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: dict[str, State | None] = {}
        self._ending: set[str] = set()

    @contextmanager
    def by_us(self, instance_id: str, state: State) -> Iterator[None]:
        """The guest is being brought to ``state``: hearing that it is there tells nobody anything."""
        with self._mutex:
            self._known[instance_id] = state
        try:
            yield
        except BaseException:
            self.forget(instance_id)
            raise

    @contextmanager
    def ended_by_us(self, instance_id: str) -> Iterator[None]:
        """Whatever is heard of the guest meanwhile is our doing."""
        with self._mutex:
            self._ending.add(instance_id)
        try:
            yield
        finally:
            self.forget(instance_id)

    def is_news(self, instance_id: str, state: State | None) -> bool:
        """Whether it was not known; it is from now on. ``state`` is None when the guest is gone."""
        with self._mutex:
            if instance_id in self._ending:
                return False
            known = instance_id in self._known and self._known[instance_id] is state
            self._known[instance_id] = state
        return not known

    def forget_all(self) -> None:
        """After a time in which nothing was heard."""
        with self._mutex:
            self._known.clear()

    def forget(self, instance_id: str) -> None:
        """Nothing is known of it: the next event is news."""
        with self._mutex:
            self._known.pop(instance_id, None)
            self._ending.discard(instance_id)
