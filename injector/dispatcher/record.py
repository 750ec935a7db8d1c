"""How a record moves when a report comes in: pure, so the store can ask again when somebody else was quicker."""

from __future__ import annotations

from dataclasses import replace

from injector.errors import Conflict, NotFound, StaleError
from injector.model.generation import Generation, Refresh
from injector.model.guest import GuestVerdict
from injector.model.instance import ROADS, Instance, Mark, State, Step
from injector.model.report import Entering, Failed, Launched, Refreshed, Report, Settled, Witnessed

_COLD = frozenset({State.STARTING, State.REBOOTING, State.REBOOTING_HARD, State.STOPPED})
"""From these a guest comes up with the drive that its definition names."""

_ORDER = {step: number for number, step in enumerate(Step)}


def taken_by(instance: Instance, host: str, attempt: int, report: Report) -> Instance:
    """The record after a report; StaleError when it no longer is this host's, this attempt's, or in such a state."""
    if (instance.host, instance.attempt) != (host, attempt):
        raise StaleError(f"instance {instance.id} is not attempt {attempt} of {host} any more")
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
    _must_be(instance, State.BUILDING)
    earlier = tuple(mark for mark in instance.marks if _ORDER[mark.step] < _ORDER[report.step])
    return replace(instance, marks=(*earlier, Mark(report.step, report.at)))


def _launched(instance: Instance, report: Launched) -> Instance:
    """Told again, because the answer was lost, it changes nothing: "let go" would mean destroying a running guest."""
    if instance.launched_at is not None and instance.state not in (State.DELETING, State.DELETED):
        return instance
    _must_be(instance, State.BUILDING)
    number = report.generation.number if report.generation else 0
    return instance.advance(
        State.ACTIVE,
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
    if instance.state in (report.state, State.DELETING):
        return replace(instance, fault=report.fault)
    _must_reach(instance, report.state)
    return instance.advance(report.state, fault=report.fault, refresh=None)


def _settled(instance: Instance, report: Settled) -> Instance:
    if instance.state is report.state:
        return instance
    if instance.state is State.REFRESHING:
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


def begun(instance: Instance, state: State) -> Instance:
    """The record once a user's action has begun; Conflict when no road leads there. Deleting twice is no error."""
    if instance.state is state is State.DELETING:
        return instance
    if instance.launched_at is None and state is not State.DELETING:
        raise Conflict(f"the instance is {instance.state.value} and was never launched: it can only be deleted")
    if state is State.REFRESHING:
        raise Conflict("another drive is asked for by its own call")
    forgets = state in (State.STARTING, State.REBOOTING, State.REBOOTING_HARD)
    return instance.advance(state, guest=GuestVerdict() if forgets else instance.guest)


def refreshing(instance: Instance, wanted: Refresh) -> Instance:
    """The record once another drive was asked for; ``wanted.number`` 0 stands for the next.

    Conflict when the guest has no config drive, or is in a state in which it cannot be given another.
    """
    if instance.plan is None or instance.plan.drive_bus is None or not instance.generation:
        raise Conflict(f"the instance has no config drive: {_why_none(instance)}", field="config_drive")
    number = wanted.number or instance.generations_made + 1
    order = replace(wanted, number=number, running=instance.state is State.ACTIVE)
    return instance.advance(State.REFRESHING, refresh=order, fault=None)


def _why_none(instance: Instance) -> str:
    return instance.plan.reason if instance.plan is not None else "nothing was delivered to it so far"


def must_be_kept(number: int, generations: tuple[Generation, ...]) -> None:
    """NotFound when there is nothing to go back to."""
    numbers = [one.number for one in generations]
    if number not in numbers:
        there = ", ".join(map(str, numbers)) or "none"
        raise NotFound(f"Generation {number} of the config drive is not kept; there is: {there}", field="to")


def _must_be(instance: Instance, state: State) -> None:
    if instance.state is not state:
        raise StaleError(f"instance {instance.id} is {instance.state.value}, not {state.value}")


def _must_reach(instance: Instance, state: State) -> None:
    if state not in ROADS[instance.state]:
        raise StaleError(f"instance {instance.id} is {instance.state.value}: no road leads to {state.value}")
