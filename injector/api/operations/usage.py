"""Limits and what is used of them, for ``GET /limits``."""

from __future__ import annotations

from dataclasses import dataclass

from injector.db import Store
from injector.model.context import Context
from injector.model.host import Usage
from injector.settings import Quotas


@dataclass(frozen=True, slots=True)
class UsedLimits:
    """The quotas of the installation, and what a project uses."""

    _store: Store
    quotas: Quotas

    def used(self, context: Context) -> Usage:
        usage = Usage()
        for instance in self._store.instances(context.project_id):
            usage = usage.plus(instance.need)
        return usage
