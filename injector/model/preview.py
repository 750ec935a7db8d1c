"""What a boot would do, found out without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from injector.model.plan import Plan


@dataclass(frozen=True, slots=True)
class PreviewFile:
    """A file of the channel by its path there: ``size`` in bytes, ``digest`` under the installation's key."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What the host that would build says: the choice, what the channel would hold, and the domain it would define.

    ``notes`` name what only a real boot can know.
    """

    host: str
    plan: Plan
    files: tuple[PreviewFile, ...]
    domain_xml: str
    notes: tuple[str, ...] = ()
