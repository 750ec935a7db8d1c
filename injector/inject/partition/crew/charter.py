"""What the daemon tells its nursery at the start, and a worker at its one errand."""

from __future__ import annotations

from dataclasses import dataclass

from injector.inject.partition.errand import Errand, Inject, Look, Survey

EXPORT = "disk"
TRADE = "injector.inject.partition.crew.trade"


@dataclass(frozen=True, slots=True)
class Charter:
    """``images`` are directories whose files are disks to be written, ``bases`` those of disks never written.

    ``memory_limit`` in bytes beyond what a worker is born with, ``cpu_seconds`` of one errand. ``trade`` is the module
    that does the errands.
    """

    images: tuple[str, ...]
    bases: tuple[str, ...]
    memory_limit: int
    cpu_seconds: int
    trade: str = TRADE


@dataclass(frozen=True, slots=True)
class Order:
    """Exactly one of these is there."""

    inject: Inject | None = None
    look: Look | None = None
    survey: Survey | None = None

    @classmethod
    def of(cls, errand: Errand) -> Order:
        if isinstance(errand, Inject):
            return cls(inject=errand)
        if isinstance(errand, Look):
            return cls(look=errand)
        return cls(survey=errand)

    @property
    def errand(self) -> Errand:
        return self.inject or self.look or self.survey or Survey()


# Notes of the nursery, and to it.
READY, BROKEN, WORKER = b"ready", b"broken", b"worker"
WANTED = b"wanted"
_LONGEST_REASON = 2048


def broken(error: Exception) -> bytes:
    """The note that says why there is no nursery, or no worker."""
    detail = getattr(error, "detail", None)
    reason = f"{error}: {detail}" if detail else str(error)
    if isinstance(error, ModuleNotFoundError):
        reason = f"the Python module {error.name} is not installed on this host"
    return BROKEN + b" " + reason.encode("utf-8", "replace")[:_LONGEST_REASON]


@dataclass(frozen=True, slots=True)
class Fate:
    """How a worker and its block layer ended (an exit status each, -N: signal N), and the latter's last words."""

    worker: int
    disk: int
    said: str = ""
