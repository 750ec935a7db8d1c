"""What the guest itself says of its boot; nothing here is ever concluded by the host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class GuestState(StrEnum):
    """``unknown``: no witness has spoken; ``booting``: one has, not done yet; the rest is cloud-init's verdict."""

    UNKNOWN = "unknown"
    BOOTING = "booting"
    DONE = "done"
    DEGRADED = "degraded"
    ERROR = "error"

    @property
    def final(self) -> bool:
        return self in (GuestState.DONE, GuestState.DEGRADED, GuestState.ERROR)


@dataclass(frozen=True, slots=True)
class GuestVerdict:
    """``witness`` is ``agent`` or ``console``; ``detail`` is the guest's own text, bounded and harmless to print."""

    state: GuestState = GuestState.UNKNOWN
    detail: str = ""
    witness: str | None = None
    at: datetime | None = None
