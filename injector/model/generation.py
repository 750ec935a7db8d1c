"""One config drive of a guest's life: a guest may be given another, on purpose, and go back to an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from injector.model.receipt import Receipt
from injector.model.secret import Sealed


class IdPolicy(StrEnum):
    """What another drive means to cloud-init: with the id kept it goes on from its cache, else it runs again."""

    KEEP = "keep-id"
    NEW = "new-id"


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
