"""How a record moves when a report comes in: pure, so the store can ask again when somebody else was quicker."""

from __future__ import annotations

from dataclasses import replace

from injector.errors import Conflict, StaleError
from injector.model.guest import GuestVerdict
from injector.model.instance import ROADS, Instance, Mark, State, Step
from injector.model.report import Entering, Failed, Launched, Report, Settled, Witnessed

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
    return instance.advance(
        State.ACTIVE,
        plan=report.plan,
        receipt=report.receipt,
        generation=report.generation.number if report.generation else 0,
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
    return instance.advance(report.state, fault=report.fault)


def _settled(instance: Instance, report: Settled) -> Instance:
    if instance.state is report.state:
        return instance
    _must_reach(instance, report.state)
    ended = report.at if report.state is State.DELETED else None
    said = GuestVerdict() if report.state is State.ACTIVE else instance.guest
    return instance.advance(report.state, terminated_at=ended, fault=None, guest=said)


def _witnessed(instance: Instance, report: Witnessed) -> Instance:
    if instance.state is not State.ACTIVE:
        raise StaleError(f"instance {instance.id} is {instance.state.value}")
    return replace(instance, guest=report.verdict)


def begun(instance: Instance, state: State) -> Instance:
    """The record once a user's action has begun; Conflict when no road leads there. Deleting twice is no error."""
    if instance.state is state is State.DELETING:
        return instance
    if instance.launched_at is None and state is not State.DELETING:
        raise Conflict(f"the instance is {instance.state.value} and was never launched: it can only be deleted")
    forgets = state in (State.STARTING, State.REBOOTING, State.REBOOTING_HARD)
    return instance.advance(state, guest=GuestVerdict() if forgets else instance.guest)


def _must_be(instance: Instance, state: State) -> None:
    if instance.state is not state:
        raise StaleError(f"instance {instance.id} is {instance.state.value}, not {state.value}")


def _must_reach(instance: Instance, state: State) -> None:
    if state not in ROADS[instance.state]:
        raise StaleError(f"instance {instance.id} is {instance.state.value}: no road leads to {state.value}")
