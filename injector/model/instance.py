"""The record of one guest: what was asked, where it stands, and the roads it may take from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from injector.errors import Conflict
from injector.model.finding import Finding
from injector.model.flavor import Flavor
from injector.model.generation import Refresh
from injector.model.guest import GuestVerdict
from injector.model.host import Room
from injector.model.image import Image
from injector.model.keypair import KeyPair
from injector.model.network import Forward, Nic
from injector.model.payload import Item
from injector.model.plan import Plan
from injector.model.receipt import Receipt
from injector.model.secret import Sealed


class State(StrEnum):
    """Where an instance stands; the ``…ing`` ones are work that a compute has been rung for."""

    BUILDING = "building"
    ACTIVE = "active"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING = "starting"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    REFRESHING = "refreshing"
    PAUSING = "pausing"
    PAUSED = "paused"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESUMING = "resuming"
    REBUILDING = "rebuilding"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


ENDS = frozenset({State.ACTIVE, State.STOPPED, State.ERROR, State.DELETING})
"""Where any work may end, or what may happen to a guest that has been launched: also by itself, or by hand."""

ROADS: Mapping[State, frozenset[State]] = {
    State.BUILDING: frozenset({State.ACTIVE, State.ERROR, State.DELETING}),
    State.ACTIVE: frozenset(
        {
            *(State.STOPPING, State.REBOOTING, State.REBOOTING_HARD, State.REFRESHING, State.REBUILDING),
            *(State.PAUSING, State.SUSPENDING, State.PAUSED, State.SUSPENDED, State.STOPPED),
            *(State.ERROR, State.DELETING),
        }
    ),
    State.STOPPING: ENDS | {State.PAUSED, State.SUSPENDED},
    State.STOPPED: frozenset(
        {
            *(State.STARTING, State.REBOOTING_HARD, State.REFRESHING, State.REBUILDING),
            *(State.ACTIVE, State.PAUSED, State.SUSPENDED, State.ERROR, State.DELETING),
        }
    ),
    State.STARTING: ENDS,
    State.REBOOTING: ENDS,
    State.REBOOTING_HARD: ENDS,
    State.REFRESHING: ENDS | {State.PAUSED},
    State.PAUSING: ENDS | {State.PAUSED},
    State.PAUSED: ENDS | {State.UNPAUSING, State.REBOOTING_HARD, State.SUSPENDED},
    State.UNPAUSING: ENDS | {State.PAUSED},
    State.SUSPENDING: ENDS | {State.SUSPENDED, State.PAUSED},
    State.SUSPENDED: ENDS | {State.RESUMING, State.REBOOTING_HARD, State.PAUSED},
    State.RESUMING: ENDS | {State.SUSPENDED},
    State.REBUILDING: frozenset({State.ACTIVE, State.ERROR, State.DELETING}),
    State.ERROR: frozenset(
        {
            *(State.REBOOTING_HARD, State.REBUILDING, State.ACTIVE, State.STOPPED, State.PAUSED, State.SUSPENDED),
            *(State.DELETING, State.DELETED),
        }
    ),
    State.DELETING: frozenset({State.DELETED}),
    State.DELETED: frozenset(),
}

MAKING = frozenset({State.BUILDING, State.REBUILDING})
"""The guest is made from its image: the payload goes with the record, each step is asked for."""

WORKING = MAKING | {
    *(State.STOPPING, State.STARTING, State.REBOOTING, State.REBOOTING_HARD, State.REFRESHING),
    *(State.PAUSING, State.UNPAUSING, State.SUSPENDING, State.RESUMING, State.DELETING),
}

_CALLS_KEPT = 16


class Step(StrEnum):
    """The steps of a build, in order; each is journalled and reported before its first effect."""

    SCHEDULE = "schedule"
    IMAGE = "image"
    DISK = "disk"
    DEFINE = "define"
    DELIVER = "deliver"
    START = "start"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Mark:
    """The moment a build entered a step (the clock of whoever reported it)."""

    step: Step
    at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an instance is in ERROR, in words its owner can act on; ``code`` as HTTP would put it."""

    code: int
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Instance:
    """One guest. ``revision`` counts the saves; ``attempt`` the times that it was made, on whichever host.

    ``allowed`` is the last attempt that was told it may start its guest: from then on one may run there, whatever is
    heard of the host. ``launched`` is the last attempt that said it did. ``calls`` are the ids of the last calls that
    changed the record: the same call, should it come again, changes nothing.
    ``availability_zone`` is that of its host; ``asked_zone`` the one that it must stay in, None when any would do.
    ``payload`` stays sealed, and is with the record only on its way to a build: it is large, and kept apart.
    ``generation`` is the number of the config drive it has now, 0 for none; ``inserted`` of the one its guest was last
    seen running with, which is another until the next cold start when the medium could not be changed. ``refresh``:
    the drive it is about to be given. ``generations_made`` is the highest number ever given out.
    """

    id: str
    name: str
    hostname: str
    project_id: str
    user_id: str
    reservation_id: str
    image: Image
    flavor: Flavor
    created_at: datetime
    updated_at: datetime
    payload: Sealed | None = None
    kernel: Image | None = None
    ramdisk: Image | None = None
    key: KeyPair | None = None
    more_keys: tuple[KeyPair, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    asked_metadata: Mapping[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    nics: tuple[Nic, ...] = ()
    disk_tag: str | None = None
    forwards: tuple[Forward, ...] = ()
    config_drive: bool = False
    availability_zone: str = "nova"
    asked_zone: str | None = None
    launch_index: int = 0
    state: State = State.BUILDING
    host: str | None = None
    attempt: int = 1
    tried: tuple[str, ...] = ()
    allowed: int = 0
    launched: int = 0
    calls: tuple[str, ...] = ()
    plan: Plan | None = None
    receipt: Receipt | None = None
    generation: int = 0
    inserted: int = 0
    generations_made: int = 0
    refresh: Refresh | None = None
    guest: GuestVerdict = field(default_factory=GuestVerdict)
    fault: Fault | None = None
    marks: tuple[Mark, ...] = ()
    launched_at: datetime | None = None
    terminated_at: datetime | None = None
    request_id: str = ""
    findings: tuple[Finding, ...] = ()
    revision: int = 0

    def advance(self, state: State, **changes: Any) -> Instance:
        """The instance in its next state; Conflict when no road leads there."""
        if state not in ROADS[self.state]:
            raise Conflict(f"an instance that is {self.state.value} cannot become {state.value}", field="state")
        return replace(self, state=state, **changes)

    def called(self, call: str) -> Instance:
        """With a call that changed it; an empty id is that of a caller who does not count his calls."""
        return replace(self, calls=(*self.calls, call)[-_CALLS_KEPT:]) if call else self

    @property
    def may_run(self) -> bool:
        """Whether a guest may be running on its host: once its attempt was allowed to start, until it is gone."""
        made = self.launched_at is not None or self.allowed == self.attempt
        return made and self.host is not None and self.state is not State.DELETED

    @property
    def superseded(self) -> bool:
        """Whether a guest that is on its host is an earlier one: it was to be made anew, and was not so far."""
        return self.launched_at is not None and self.plan is None

    @property
    def need(self) -> Room:
        """What it takes of its host while it holds claims."""
        return self.flavor.need(self.image.virtual_size)

    @property
    def keys(self) -> tuple[KeyPair, ...]:
        """Every key that may log in, the one that Nova would show (``key``) first."""
        return ((self.key,) if self.key else ()) + self.more_keys

    @property
    def has_tags(self) -> bool:
        """Whether a device of the guest was given a role."""
        return self.disk_tag is not None or any(nic.tag is not None for nic in self.nics)

    @property
    def holds_claims(self) -> bool:
        """Whether its addresses and forwards are its own: until it is gone, or its only build has failed."""
        gone = self.state is State.DELETED or (self.state is State.ERROR and self.launched_at is None)
        return not gone

    @property
    def step(self) -> Step | None:
        """The step a build has reached."""
        return self.marks[-1].step if self.marks else None
