"""The config drives of a guest's life: it may be given another, on purpose, and go back to an earlier one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from injector.model.receipt import Receipt
from injector.model.secret import Sealed


class IdPolicy(StrEnum):
    """What another drive means to cloud-init: with the id kept it goes on from its cache, else it runs again.

    The firmware's id (SMBIOS) follows the drive's at a cold start; the server's never changes.
    """

    KEEP = "keep-id"
    NEW = "new-id"

    @property
    def meaning(self) -> str:
        """In words for whoever is about to ask for it."""
        return _MEANINGS[self]


_MEANINGS = {
    IdPolicy.KEEP: "the guest's instance id stays: cloud-init goes on from its cache and does not read the drive; only "
    "programs that mount it see the change",
    IdPolicy.NEW: "the guest's instance id changes: at its next cold start cloud-init runs again as for a new instance "
    "(host keys, per-instance modules, user-data)",
}
BACK_TO_ANOTHER = (
    "the guest's instance id becomes the earlier one again: at its next cold start cloud-init takes up that instance, "
    "and does not do again what it does once an instance"
)
"""Of going back to a generation that told another id."""


@dataclass(frozen=True, slots=True)
class Generation:
    """``number`` counts from 1; ``policy`` is None for the first. ``uuid`` is the id that the drive tells the guest.

    ``ingredients`` (``Ingredients``, sealed) make the same drive again, to the byte.
    """

    number: int
    uuid: str
    made_at: datetime
    receipt: Receipt
    ingredients: Sealed
    policy: IdPolicy | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """Another drive that was asked for: generation ``number``, dated ``at``.

    ``policy`` is None for going back to a generation that there was. ``uuid`` is the new id that its drive tells the
    guest; None: the one that the guest has been told. ``running``: whether the guest ran when it was asked for.
    """

    number: int
    at: datetime
    running: bool
    policy: IdPolicy | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Drive:
    """All that makes the drives of one instance again: its payload, and the generations that are kept."""

    payload: Sealed
    generations: tuple[Generation, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """The drive of ``generation`` as it was found on its host: how it differs from its receipt, a sentence each.

    ``made_again``: when it was last found lost or altered, and made again from the record.
    """

    generation: int
    differences: tuple[str, ...] = ()
    made_again: datetime | None = None

    @property
    def intact(self) -> bool:
        return not self.differences


def kept(numbers: Iterable[int], current: int, keep: int) -> frozenset[int]:
    """Which generations stay: the newest ``keep`` of them, and the current one."""
    known = frozenset(numbers)
    return frozenset(sorted(known)[-keep:]) | (known & {current})


class Change(StrEnum):
    """What became of something from the one drive to the other."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """``what`` in words for people."""

    what: str
    change: Change
