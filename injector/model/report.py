"""What a compute tells the dispatcher; each is answered "go on" or "let go"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from injector.model.generation import Generation
from injector.model.guest import GuestVerdict
from injector.model.instance import Fault, State, Step
from injector.model.plan import Plan
from injector.model.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Entering:
    """The build is about to do ``step``: a question as much as a report, asked last before the guest starts."""

    step: Step
    at: datetime


@dataclass(frozen=True, slots=True)
class Launched:
    """The guest runs and holds what the receipt says; ``generation`` is its first config drive, if it has one."""

    plan: Plan
    receipt: Receipt
    at: datetime
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed and was undone; ``elsewhere`` when another host may succeed. ``seen`` as in ``Settled``."""

    fault: Fault
    elsewhere: bool = False
    state: State = State.ERROR
    seen: State | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A power action ended (or libvirt showed that the guest is) in ``state``; DELETED means nothing is left.

    ``seen`` is what the record said when this was found: it holds only as long as the record says so. None: whatever
    it says.
    """

    state: State
    at: datetime
    seen: State | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The guest was given ``generation``: its definition names that drive, and its receipt says what is on it.

    ``inserted`` is the number of the drive that it runs with now (0 when it is off), ``state`` how it was seen.
    """

    generation: Generation
    inserted: int
    state: State


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The guest spoke. ``items``: the lines of the receipt of ``generation`` that it has seen the content of."""

    verdict: GuestVerdict
    generation: int = 0
    items: tuple[int, ...] = ()


Report = Entering | Launched | Failed | Settled | Refreshed | Witnessed
