"""The proof of a delivery: what was asked, where it was put, and what was seen when it was read back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from injector.model.payload import ItemKind
from injector.model.plan import ChannelKind


class Outcome(StrEnum):
    """What became of an item; only a witness inside the guest gives ``witnessed``."""

    WRITTEN = "written"
    READ_BACK = "read back"
    WITNESSED = "witnessed"
    REFUSED = "refused"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """``digest`` is ``sha256:…``, or ``hmac-sha256:…`` under the installation's key where the content is secret.

    ``where`` is the place on the channel (a path on the drive, or in the guest's file system).
    """

    kind: ItemKind
    name: str
    size: int
    outcome: Outcome
    digest: str | None = None
    where: str | None = None
    mode: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A back end of partition injection that was not used, and why."""

    back_end: str
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """``drive_digest`` (sha256, hex) and ``drive_size`` (bytes) are of the whole config drive, where there is one.

    ``back_end`` wrote into the guest's ``filesystem`` where its partition was injected, after ``passed_over`` were not
    used.
    """

    channel: ChannelKind
    reason: str
    items: tuple[ReceiptItem, ...] = ()
    drive_digest: str | None = None
    drive_size: int | None = None
    drive_format: str | None = None
    back_end: str | None = None
    filesystem: str | None = None
    passed_over: tuple[PassedOver, ...] = ()

    def witnessed(self, places: Collection[int]) -> Receipt:
        """The same once the guest has seen the content of the items at ``places``; only what was delivered can be."""
        delivered = (Outcome.WRITTEN, Outcome.READ_BACK)
        items = (
            replace(item, outcome=Outcome.WITNESSED) if place in places and item.outcome in delivered else item
            for place, item in enumerate(self.items)
        )
        return replace(self, items=tuple(items))
