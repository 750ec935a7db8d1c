"""The doorbell: tells a host which record to look at. A ring that does not arrive is rung again by the patrol."""

from __future__ import annotations

import logging
from collections.abc import Callable

from injector.errors import InjectorError
from injector.model.instance import Instance

LOG = logging.getLogger(__name__)

Ring = Callable[[str, str], None]
"""Tells a host (first) to look at an instance (second)."""


class Bell:
    """Never fails: the record is kept, and what it says is done later."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def ring(self, instance: Instance) -> None:
        if instance.host is not None:
            self.ring_host(instance.host, instance.id)

    def ring_host(self, host: str, instance_id: str) -> None:
        try:
            self._ring(host, instance_id)
        except InjectorError as error:
            LOG.warning("instance %s: %s could not be rung, will be: %s", instance_id, host, error)
