"""How a record moves when a report comes in: pure, so the store can ask again when somebody else was quicker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from injector.errors import Conflict, NotFound, StaleError
from injector.model.boot import Rebuild
from injector.model.generation import Generation, Refresh
from injector.model.guest import GuestVerdict
from injector.model.instance import MAKING, ROADS, Fault, Instance, Mark, State, Step
from injector.model.network import Forward
from injector.model.plan import ChannelKind
from injector.model.report import Entering, Failed, Launched, Refreshed, Report, Settled, Witnessed

_COLD = frozenset({State.STARTING, State.REBOOTING, State.REBOOTING_HARD, State.STOPPED})
"""From these a guest comes up with the drive that its definition names."""

_ORDER = {step: number for number, step in enumerate(Step)}


def taken_by(instance: Instance, host: str, attempt: int, report: Report, call: str = "") -> Instance:
    """The record after a report; StaleError when it no longer is this host's, this attempt's, or in such a state.

    A report that came before, by the id of its call, changes nothing; but whether to go on is answered anew.
    """
    _must_be_of(instance, host, attempt)
    if call in instance.calls:
        if isinstance(report, Entering):
            _must_be_made(instance)
        return instance
    after = _after(instance, report)
    return instance if after == instance else after.called(call)


def _after(instance: Instance, report: Report) -> Instance:
    match report:
        case Entering():
            return _entered(instance, report)
        case Launched():
            return _launched(instance, report)
        case Failed():
            return _failed(instance, report)
        case Settled():
            return _settled(instance, report)
        case Refreshed():
            return _refreshed(instance, report)
        case Witnessed():
            return _witnessed(instance, report)


def _entered(instance: Instance, report: Entering) -> Instance:
    """Once it was allowed to start, a guest may run: no later step of the same attempt takes that back."""
    _must_be_made(instance)
    earlier = tuple(mark for mark in instance.marks if _ORDER[mark.step] < _ORDER[report.step])
    allowed = instance.attempt if report.step is Step.START else instance.allowed
    return replace(instance, marks=(*earlier, Mark(report.step, report.at)), allowed=allowed)


def _launched(instance: Instance, report: Launched) -> Instance:
    """Told again, because the answer was lost, it changes nothing: "let go" would mean destroying a running guest."""
    if instance.launched == instance.attempt and instance.state not in (State.DELETING, State.DELETED):
        return instance
    _must_be_made(instance)
    number = report.generation.number if report.generation else 0
    return instance.advance(
        State.ACTIVE,
        allowed=instance.attempt,
        launched=instance.attempt,
        plan=report.plan,
        receipt=report.receipt,
        generation=number,
        inserted=number,
        generations_made=number,
        launched_at=report.at,
        marks=(*instance.marks, Mark(Step.RUNNING, report.at)),
        fault=None,
    )


def _failed(instance: Instance, report: Failed) -> Instance:
    if instance.state is State.DELETED:
        raise StaleError(f"instance {instance.id} is deleted")
    _must_still_be(instance, report.seen)
    must_be_of_this_making(instance, report.fault)
    allowed = 0 if instance.state in MAKING else instance.allowed
    if instance.state in (report.state, State.DELETING):
        return replace(instance, fault=report.fault)
    _must_reach(instance, report.state)
    return instance.advance(report.state, fault=report.fault, refresh=None, allowed=allowed)


def _settled(instance: Instance, report: Settled) -> Instance:
    if instance.state is report.state:
        return instance
    _must_still_be(instance, report.seen)
    if instance.state in (State.REFRESHING, *MAKING):
        raise StaleError(f"instance {instance.id} has been given other work since")
    _must_reach(instance, report.state)
    ended = report.at if report.state is State.DELETED else None
    said = GuestVerdict() if report.state is State.ACTIVE else instance.guest
    inserted = instance.generation if report.state is State.ACTIVE and instance.state in _COLD else instance.inserted
    return instance.advance(report.state, terminated_at=ended, fault=None, guest=said, inserted=inserted)


def _refreshed(instance: Instance, report: Refreshed) -> Instance:
    """Told again, because the answer was lost, it changes nothing."""
    if instance.state is not State.REFRESHING and instance.generation == report.generation.number:
        return instance
    _must_be(instance, State.REFRESHING)
    if instance.refresh is None or instance.refresh.number != report.generation.number:
        raise StaleError(f"instance {instance.id} is to be given another drive than generation {report.generation}")
    return instance.advance(
        report.state,
        generation=report.generation.number,
        inserted=report.inserted,
        generations_made=max(instance.generations_made, report.generation.number),
        receipt=report.generation.receipt,
        refresh=None,
        fault=None,
    )


def _witnessed(instance: Instance, report: Witnessed) -> Instance:
    """Heard while another drive is made, too: that takes nothing from what the guest says of its boot."""
    if instance.state not in (State.ACTIVE, State.REFRESHING):
        raise StaleError(f"instance {instance.id} is {instance.state.value}")
    receipt = instance.receipt
    if receipt is not None and report.generation == instance.generation:
        receipt = receipt.witnessed(report.items)
    return replace(instance, guest=report.verdict, receipt=receipt)


def begun(instance: Instance, state: State, at: datetime, call: str = "") -> Instance:
    """The record once a user's action has begun; Conflict when no road leads there. Deleting twice is no error.

    One that holds nothing is deleted at once: while it was to be deleted it would claim again what others have by now.
    """
    if instance.state is state is State.DELETING or call in instance.calls:
        return instance
    if instance.launched_at is None and state is not State.DELETING:
        raise Conflict(f"the instance is {instance.state.value} and was never launched: it can only be deleted")
    if state in (State.REFRESHING, *MAKING):
        raise Conflict("that is asked for by a call of its own")
    if instance.superseded and instance.state is State.ERROR and state is not State.DELETING:
        raise Conflict("the instance was to be made anew, and was not: it can only be rebuilt or deleted")
    if state is State.DELETING and instance.state is State.ERROR and not instance.holds_claims:
        return _settled(instance, Settled(State.DELETED, at)).called(call)
    forgets = state in (State.STARTING, State.REBOOTING, State.REBOOTING_HARD)
    return instance.advance(state, guest=GuestVerdict() if forgets else instance.guest).called(call)


def rebuilding(instance: Instance, wanted: Rebuild, at: datetime, call: str = "") -> Instance:
    """The record once it was asked to be made anew where it is.

    Conflict when it was never launched, is busy, or has other metadata than those to be delivered again.

    A guest that has had a config drive gets one again: an operator who forces them binds first builds only.
    """
    if call in instance.calls:
        return instance
    if instance.launched_at is None:
        raise Conflict(f"the instance is {instance.state.value} and was never launched: it can only be deleted")
    if wanted.seen_metadata is not None and instance.metadata != wanted.seen_metadata:
        raise Conflict("the metadata that were to be delivered again have been changed meanwhile", field="metadata")
    had_drive = instance.plan is not None and instance.plan.channel is ChannelKind.CONFIG_DRIVE
    again = _made_again(instance, at)
    return instance.advance(
        State.REBUILDING,
        **again,
        name=wanted.name or instance.name,
        image=wanted.image,
        kernel=wanted.kernel,
        ramdisk=wanted.ramdisk,
        items=instance.items if wanted.payload is None else wanted.items,
        metadata=wanted.metadata,
        asked_metadata=wanted.metadata,
        key=wanted.key,
        more_keys=wanted.more_keys,
        findings=wanted.findings,
        config_drive=instance.config_drive or had_drive,
        tried=(),
    ).called(call)


def _made_again(instance: Instance, at: datetime) -> dict[str, Any]:
    """What an earlier making of the guest said, forgotten: it counts as another attempt."""
    return {
        "attempt": instance.attempt + 1,
        "plan": None,
        "receipt": None,
        "generation": 0,
        "inserted": 0,
        "generations_made": 0,
        "refresh": None,
        "guest": GuestVerdict(),
        "fault": None,
        "marks": (Mark(Step.SCHEDULE, at),),
    }


@dataclass(frozen=True, slots=True)
class Move:
    """Another host for a build, and the ports on it that lead into the guest."""

    host: str
    zone: str
    forwards: tuple[Forward, ...]


def must_be_of_this_making(instance: Instance, fault: Fault) -> None:
    """StaleError when the build has been begun again since it failed: its guest may have been allowed to start by now.

    Both moments are by the clock of its host, but for the first mark. A clock that was set back makes a build fail once
    more: the marks of the next time are by the new clock, too.
    """
    last = instance.marks[-1] if instance.marks else None
    if instance.state in MAKING and last is not None and last.step is not Step.SCHEDULE and last.at > fault.at:
        raise StaleError(f"instance {instance.id} reached {last.step} after it had failed")


def moved(instance: Instance, host: str, attempt: int, move: Move) -> Instance:
    """A build goes on elsewhere, because its host failed or is not heard of; StaleError when it is elsewhere by now."""
    _must_be_of(instance, host, attempt)
    _must_be(instance, State.BUILDING)
    return replace(
        instance,
        host=move.host,
        availability_zone=move.zone,
        forwards=move.forwards,
        attempt=attempt + 1,
        allowed=0,
        tried=(*instance.tried, host),
        marks=instance.marks[:1],
    )


def evacuated(instance: Instance, host: str, attempt: int, move: Move, at: datetime) -> Instance:
    """A guest is made anew elsewhere, on the operator's word that its host is dead.

    StaleError when it is elsewhere by now, or is to be deleted.
    """
    _must_be_of(instance, host, attempt)
    if instance.state in (State.DELETING, State.DELETED):
        raise StaleError(f"instance {instance.id} is {instance.state.value}")
    had_drive = instance.plan is not None and instance.plan.channel is ChannelKind.CONFIG_DRIVE
    return replace(
        instance,
        **_made_again(instance, at),
        state=State.BUILDING,
        host=move.host,
        availability_zone=move.zone,
        forwards=move.forwards,
        allowed=0,
        tried=(host,),
        config_drive=instance.config_drive or had_drive,
    )


def movable(instance: Instance) -> bool:
    """Whether a build may go on elsewhere without a word from its host: its guest cannot be running there."""
    return instance.state is State.BUILDING and instance.allowed != instance.attempt


def described(instance: Instance, metadata: Mapping[str, str], before: Mapping[str, str] | None) -> Instance:
    """With other metadata; StaleError when those that they were made from, if any, are not the record's any more."""
    if before is not None and instance.metadata != before:
        raise StaleError(f"the metadata of instance {instance.id} have been changed meanwhile")
    return replace(instance, metadata=dict(metadata))


def refreshing(instance: Instance, wanted: Refresh, call: str = "") -> Instance:
    """The record once another drive was asked for; ``wanted.number`` 0 stands for the next.

    Conflict when the guest has no config drive, or is in a state in which it cannot be given another.
    """
    if call in instance.calls:
        return instance
    if instance.plan is None or instance.plan.drive_bus is None or not instance.generation:
        raise Conflict(f"the instance has no config drive: {_why_none(instance)}", field="config_drive")
    number = wanted.number or instance.generations_made + 1
    order = replace(wanted, number=number, running=instance.state is State.ACTIVE)
    return instance.advance(State.REFRESHING, refresh=order, fault=None).called(call)


def _why_none(instance: Instance) -> str:
    return instance.plan.reason if instance.plan is not None else "nothing was delivered to it so far"


def must_be_kept(number: int, generations: tuple[Generation, ...]) -> None:
    """NotFound when there is nothing to go back to."""
    numbers = [one.number for one in generations]
    if number not in numbers:
        there = ", ".join(map(str, numbers)) or "none"
        raise NotFound(f"Generation {number} of the config drive is not kept; there is: {there}", field="to")


def _must_be_of(instance: Instance, host: str, attempt: int) -> None:
    if (instance.host, instance.attempt) != (host, attempt):
        raise StaleError(f"instance {instance.id} is not attempt {attempt} of {host} any more")


def _must_be_made(instance: Instance) -> None:
    if instance.state not in MAKING:
        raise StaleError(f"instance {instance.id} is {instance.state.value}, and not to be made")


def _must_still_be(instance: Instance, seen: State | None) -> None:
    """What was found of a guest is of no use once its owner has asked for something else."""
    if seen not in (None, instance.state):
        raise StaleError(f"instance {instance.id} is {instance.state.value} by now, no longer {seen}")


def _must_be(instance: Instance, state: State) -> None:
    if instance.state is not state:
        raise StaleError(f"instance {instance.id} is {instance.state.value}, not {state.value}")


def _must_reach(instance: Instance, state: State) -> None:
    if state not in ROADS[instance.state]:
        raise StaleError(f"instance {instance.id} is {instance.state.value}: no road leads to {state.value}")
