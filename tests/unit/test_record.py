"""How records take reports: in order, once, and only from whoever they are assigned to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from injector.dispatcher import record
from injector.errors import Conflict, NotFound, StaleError
from injector.model.boot import Rebuild
from injector.model.generation import IdPolicy, Refresh
from injector.model.guest import GuestState, GuestVerdict
from injector.model.instance import MAKING, WORKING, Fault, Instance, Mark, State, Step
from injector.model.network import Forward
from injector.model.payload import ItemKind
from injector.model.plan import ChannelKind, Plan
from injector.model.receipt import Outcome, Receipt, ReceiptItem
from injector.model.report import Entering, Failed, Launched, Refreshed, Report, Settled, Witnessed
from tests.builders import NOON, a_generation, a_plan, a_receipt, a_sealed, an_instance, an_item

FAULT = Fault(503, "full", NOON)
LAUNCHED = Launched(Plan(ChannelKind.NONE, "nothing"), Receipt(ChannelKind.NONE, "nothing"), NOON)


def _at(state: State, **changes: object) -> Instance:
    launched = {"launched_at": None if state is State.BUILDING else NOON, "launched": 0 if state in MAKING else 2}
    return an_instance(**{"state": state, "host": "h", "attempt": 2} | launched | changes)


@pytest.mark.parametrize("report", [Entering(Step.IMAGE, NOON), LAUNCHED, Failed(FAULT), Settled(State.ACTIVE, NOON)])
@pytest.mark.parametrize(("host", "attempt"), [("other", 2), ("h", 1), ("h", 3)])
def test_reports_of_others_are_stale(report: Report, host: str, attempt: int) -> None:
    with pytest.raises(StaleError):
        record.taken_by(_at(State.BUILDING), host, attempt, report)


@pytest.mark.parametrize("state", [state for state in State if state not in MAKING])
@pytest.mark.parametrize("report", [Entering(Step.START, NOON), LAUNCHED])
def test_only_a_build_may_go_on(report: Report, state: State) -> None:
    with pytest.raises(StaleError):
        record.taken_by(_at(state, launched_at=None, launched=0), "h", 2, report)


def test_a_build_begun_again_forgets_the_later_marks() -> None:
    instance = _at(State.BUILDING, marks=())
    for step in (Step.IMAGE, Step.DISK, Step.DEFINE, Step.IMAGE):
        instance = record.taken_by(instance, "h", 2, Entering(step, NOON))
    assert [mark.step for mark in instance.marks] == [Step.IMAGE]


def test_launched_carries_the_receipt() -> None:
    instance = record.taken_by(_at(State.BUILDING), "h", 2, LAUNCHED)
    assert (instance.state, instance.receipt, instance.launched_at) == (State.ACTIVE, LAUNCHED.receipt, NOON)
    assert instance.step is Step.RUNNING


def test_a_failed_stop_leaves_a_running_guest_active_with_the_reason() -> None:
    instance = record.taken_by(_at(State.STOPPING), "h", 2, Failed(FAULT, state=State.ACTIVE))
    assert (instance.state, instance.fault) == (State.ACTIVE, FAULT)


def test_a_late_settlement_does_not_undo_what_came_after() -> None:
    with pytest.raises(StaleError):
        record.taken_by(_at(State.DELETING), "h", 2, Settled(State.ACTIVE, NOON))


def test_settling_twice_is_one_settlement() -> None:
    once = record.taken_by(_at(State.STOPPING), "h", 2, Settled(State.STOPPED, NOON))
    assert record.taken_by(once, "h", 2, Settled(State.STOPPED, NOON + timedelta(1))) == once


def test_deleted_has_an_end() -> None:
    instance = record.taken_by(_at(State.DELETING), "h", 2, Settled(State.DELETED, NOON))
    assert (instance.state, instance.terminated_at) == (State.DELETED, NOON)


def test_a_verdict_of_a_guest_that_is_off_is_stale() -> None:
    with pytest.raises(StaleError):
        record.taken_by(_at(State.STOPPED), "h", 2, Witnessed(GuestVerdict(GuestState.DONE)))


def test_beginning_again_forgets_what_the_guest_said() -> None:
    said = replace(_at(State.ACTIVE), guest=GuestVerdict(GuestState.DONE))
    assert record.begun(said, State.REBOOTING, NOON).guest == GuestVerdict()
    assert record.begun(said, State.STOPPING, NOON).guest.state is GuestState.DONE


def test_deleting_twice_is_no_error_but_stopping_twice_is() -> None:
    assert record.begun(_at(State.DELETING), State.DELETING, NOON).state is State.DELETING
    with pytest.raises(Conflict):
        record.begun(_at(State.STOPPING), State.STOPPING, NOON)


@pytest.mark.parametrize("state", [State.REBOOTING, State.ERROR])
def test_a_failure_without_a_road_to_where_it_leads_is_stale(state: State) -> None:
    with pytest.raises(StaleError):
        record.taken_by(_at(state), "h", 2, Failed(FAULT, state=State.STARTING))


@pytest.mark.parametrize("state", sorted(MAKING))
def test_a_failure_of_a_making_that_was_begun_again_is_stale(state: State) -> None:
    marks = (Mark(Step.SCHEDULE, NOON + timedelta(1)), Mark(Step.IMAGE, NOON))
    late = Failed(Fault(503, "full", NOON - timedelta(seconds=1)))
    with pytest.raises(StaleError, match="image"):
        record.taken_by(_at(state, marks=marks), "h", 2, late)
    # The first mark is by the clock of whoever chose the host.
    assert record.taken_by(_at(state, marks=marks[:1]), "h", 2, late).state is State.ERROR
    assert record.taken_by(_at(state, marks=marks), "h", 2, Failed(FAULT)).state is State.ERROR


def test_a_failure_that_changes_no_state_leaves_its_reason() -> None:
    instance = record.taken_by(_at(State.ACTIVE), "h", 2, Failed(FAULT, state=State.ACTIVE))
    assert (instance.state, instance.fault) == (State.ACTIVE, FAULT)


def test_a_step_comes_after_all_earlier_ones() -> None:
    instance = _at(State.BUILDING, marks=())
    for step in (Step.IMAGE, Step.DISK, Step.START):
        instance = record.taken_by(instance, "h", 2, Entering(step, NOON))
    assert [(mark.step, mark.at) for mark in instance.marks] == [
        (step, NOON) for step in (Step.IMAGE, Step.DISK, Step.START)
    ]


def test_what_settles_is_no_longer_at_fault_and_has_no_end() -> None:
    instance = record.taken_by(_at(State.STOPPING, fault=FAULT), "h", 2, Settled(State.STOPPED, NOON))
    assert (instance.fault, instance.terminated_at) == (None, None)


def test_a_running_guest_is_heard() -> None:
    verdict = GuestVerdict(GuestState.DONE)
    assert record.taken_by(_at(State.ACTIVE), "h", 2, Witnessed(verdict)).guest == verdict


@pytest.mark.parametrize("state", [State.REBOOTING, State.REBOOTING_HARD, State.STOPPED])
def test_what_a_guest_says_between_two_boots_is_of_the_one_before(state: State) -> None:
    with pytest.raises(StaleError):
        record.taken_by(_at(state), "h", 2, Witnessed(GuestVerdict(GuestState.DONE)))


def test_a_guest_that_was_started_by_somebody_else_has_not_spoken_yet() -> None:
    said = _at(State.STOPPED, guest=GuestVerdict(GuestState.DONE))
    assert record.taken_by(said, "h", 2, Settled(State.ACTIVE, NOON)).guest == GuestVerdict()


def test_launched_told_twice_is_one_launch() -> None:
    once = record.taken_by(_at(State.BUILDING), "h", 2, LAUNCHED)
    assert record.taken_by(once, "h", 2, LAUNCHED) == once


def test_a_guest_that_was_never_launched_can_only_be_deleted() -> None:
    failed = _at(State.ERROR, launched_at=None)
    with pytest.raises(Conflict, match="never launched"):
        record.begun(failed, State.REBOOTING_HARD, NOON)
    deleted = record.begun(replace(failed, fault=FAULT), State.DELETING, NOON, "call-1")
    assert (deleted.state, deleted.terminated_at, deleted.fault) == (State.DELETED, NOON, None)
    assert record.begun(deleted, State.DELETING, NOON, "call-1") is deleted
    assert record.begun(_at(State.ERROR), State.DELETING, NOON).state is State.DELETING


def test_a_record_of_a_guest_that_was_not_made_is_not_used_on_the_one_before_it() -> None:
    rebuilt = record.rebuilding(_with_drive(State.ACTIVE), Rebuild(an_instance().image), NOON)
    assert rebuilt.superseded
    failed = record.taken_by(rebuilt, "h", rebuilt.attempt, Failed(FAULT))
    assert (failed.state, failed.superseded) == (State.ERROR, True)
    with pytest.raises(Conflict, match="rebuilt or deleted"):
        record.begun(failed, State.REBOOTING_HARD, NOON)
    assert record.begun(failed, State.DELETING, NOON).state is State.DELETING
    again = record.rebuilding(failed, Rebuild(an_instance().image), NOON)
    assert not record.taken_by(again, "h", again.attempt, LAUNCHED).superseded


def test_a_guest_in_error_that_is_what_the_record_says_may_be_rebooted() -> None:
    assert record.begun(_with_drive(State.ERROR), State.REBOOTING_HARD, NOON).state is State.REBOOTING_HARD


@pytest.mark.parametrize("state", [State.STARTING, State.REBOOTING_HARD])
def test_every_new_start_forgets_what_the_guest_said(state: State) -> None:
    assert record.begun(_at(State.STOPPED, guest=GuestVerdict(GuestState.DONE)), state, NOON).guest == GuestVerdict()


def test_a_delete_that_fails_says_why_and_goes_on() -> None:
    instance = record.taken_by(_at(State.DELETING), "h", 2, Failed(FAULT))
    assert (instance.state, instance.fault) == (State.DELETING, FAULT)
    with pytest.raises(StaleError, match="is deleted"):
        record.taken_by(_at(State.DELETED), "h", 2, Failed(FAULT, state=State.DELETED))


# config drives

ASKED = Refresh(0, NOON, running=False, policy=IdPolicy.KEEP)
LINES = tuple(ReceiptItem(ItemKind.FILE, name, 1, Outcome.READ_BACK, "hmac-sha256:00") for name in "ab")


def _with_drive(state: State, **changes: object) -> Instance:
    drive = {"plan": a_plan(), "receipt": a_receipt(items=LINES), "generation": 1, "inserted": 1, "generations_made": 3}
    return _at(state, **drive | changes)


def _refreshing(number: int = 4) -> Instance:
    return _with_drive(State.REFRESHING, refresh=replace(ASKED, number=number, running=True))


@pytest.mark.parametrize(("state", "running"), [(State.ACTIVE, True), (State.STOPPED, False)])
def test_the_next_drive_has_the_next_number_that_was_never_given(state: State, running: bool) -> None:
    """Also after going back to an earlier one."""
    instance = record.refreshing(_with_drive(state, fault=FAULT), ASKED)
    assert (instance.state, instance.fault) == (State.REFRESHING, None)
    assert instance.refresh == replace(ASKED, number=4, running=running)
    back = record.refreshing(_with_drive(state), replace(ASKED, number=2))
    assert back.refresh == replace(ASKED, number=2, running=running)


@pytest.mark.parametrize(
    "changes", [{"plan": None}, {"plan": Plan(ChannelKind.NONE, "nothing to inject")}, {"generation": 0}]
)
def test_a_guest_without_a_config_drive_is_given_none(changes: dict[str, object]) -> None:
    with pytest.raises(Conflict, match="no config drive") as refused:
        record.refreshing(_with_drive(State.ACTIVE, **changes), ASKED)
    assert refused.value.field == "config_drive"


@pytest.mark.parametrize("state", [State.REBOOTING, State.REFRESHING, State.ERROR, State.DELETING])
def test_a_guest_that_is_busy_or_broken_is_given_none(state: State) -> None:
    with pytest.raises(Conflict):
        record.refreshing(_with_drive(state), ASKED)


def test_what_is_kept_no_more_cannot_be_gone_back_to() -> None:
    record.must_be_kept(1, (a_generation(),))
    with pytest.raises(NotFound, match="there is: 1"):
        record.must_be_kept(2, (a_generation(),))
    with pytest.raises(NotFound, match="none"):
        record.must_be_kept(1, ())


def test_a_refreshed_guest_has_the_receipt_of_its_new_drive() -> None:
    made = a_generation(number=4, receipt=a_receipt(drive_digest="4" * 64))
    report = Refreshed(made, 1, State.ACTIVE)
    instance = record.taken_by(_refreshing(), "h", 2, report)
    assert (instance.generation, instance.inserted, instance.generations_made) == (4, 1, 4)
    assert (instance.state, instance.receipt, instance.refresh) == (State.ACTIVE, made.receipt, None)
    assert record.taken_by(instance, "h", 2, report) == instance


def test_going_back_does_not_make_numbers_free_again() -> None:
    report = Refreshed(a_generation(number=1), 1, State.ACTIVE)
    instance = record.taken_by(_refreshing(1), "h", 2, report)
    assert (instance.generation, instance.generations_made) == (1, 3)


@pytest.mark.parametrize("state", [State.ACTIVE, State.DELETING])
def test_a_drive_that_nobody_waits_for_is_stale(state: State) -> None:
    with pytest.raises(StaleError):
        record.taken_by(_with_drive(state), "h", 2, Refreshed(a_generation(number=4), 4, State.ACTIVE))
    with pytest.raises(StaleError):
        record.taken_by(_refreshing(5), "h", 2, Refreshed(a_generation(number=4), 4, State.ACTIVE))


def test_a_failed_refresh_leaves_everything_as_it_was_and_says_why() -> None:
    before = _refreshing()
    after = record.taken_by(before, "h", 2, Failed(FAULT, state=State.ACTIVE))
    assert (after.state, after.fault, after.refresh) == (State.ACTIVE, FAULT, None)
    assert (after.generation, after.receipt, after.inserted) == (1, before.receipt, 1)


def test_a_late_word_about_an_earlier_start_does_not_end_a_refresh() -> None:
    with pytest.raises(StaleError):
        record.taken_by(_refreshing(), "h", 2, Settled(State.ACTIVE, NOON))


@pytest.mark.parametrize("state", [State.STARTING, State.REBOOTING, State.REBOOTING_HARD, State.STOPPED])
def test_a_guest_that_comes_up_has_the_drive_its_definition_names(state: State) -> None:
    instance = record.taken_by(_with_drive(state, generation=2), "h", 2, Settled(State.ACTIVE, NOON))
    assert instance.inserted == 2


@pytest.mark.parametrize("ends_in", [State.STOPPED, State.ACTIVE])
def test_a_guest_that_ends_or_was_up_all_the_time_has_what_it_had(ends_in: State) -> None:
    instance = _with_drive(State.STOPPING, generation=2)
    assert record.taken_by(instance, "h", 2, Settled(ends_in, NOON)).inserted == 1


def test_what_a_guest_shows_is_witnessed_in_the_receipt_of_that_drive_only() -> None:
    shown = Witnessed(GuestVerdict(GuestState.DONE, witness="agent"), 1, (1,))
    instance = record.taken_by(_with_drive(State.ACTIVE), "h", 2, shown)
    assert instance.receipt is not None
    assert [item.outcome for item in instance.receipt.items] == [Outcome.READ_BACK, Outcome.WITNESSED]
    other = record.taken_by(_with_drive(State.ACTIVE, generation=2), "h", 2, shown)
    assert other.receipt == _with_drive(State.ACTIVE).receipt
    assert other.guest.state is GuestState.DONE


def test_a_guest_is_heard_while_another_drive_is_made() -> None:
    verdict = GuestVerdict(GuestState.DONE)
    assert record.taken_by(_refreshing(), "h", 2, Witnessed(verdict)).guest == verdict


# attempts: what may run, what may move


def test_once_allowed_to_start_a_guest_may_run_whatever_is_heard_later() -> None:
    instance = _at(State.BUILDING)
    assert not instance.may_run
    for step in (Step.IMAGE, Step.DELIVER):
        instance = record.taken_by(instance, "h", 2, Entering(step, NOON))
        assert record.movable(instance)
    instance = record.taken_by(instance, "h", 2, Entering(Step.START, NOON))
    assert (instance.allowed, instance.may_run, record.movable(instance)) == (2, True, False)
    begun_again = record.taken_by(instance, "h", 2, Entering(Step.IMAGE, NOON))
    assert (begun_again.allowed, record.movable(begun_again)) == (2, False)


@pytest.mark.parametrize("state", [State.BUILDING, State.REBUILDING])
def test_what_was_undone_does_not_run(state: State) -> None:
    instance = record.taken_by(_at(state, allowed=2), "h", 2, Failed(FAULT))
    assert (instance.state, instance.allowed) == (State.ERROR, 0)
    assert instance.may_run is (state is State.REBUILDING)  # somebody has to look: it was launched once


def test_a_build_that_fails_while_it_is_deleted_stays_so() -> None:
    assert record.taken_by(_at(State.DELETING), "h", 2, Failed(FAULT)).state is State.DELETING


MOVE = record.Move("other", "east", (Forward("52:54:00:00:00:01", 22, 20022),))


def test_a_build_that_moves_is_another_attempt_and_nobody_is_allowed_anything() -> None:
    marks = (Mark(Step.SCHEDULE, NOON), Mark(Step.IMAGE, NOON))
    after = record.moved(_at(State.BUILDING, marks=marks, tried=("x",)), "h", 2, MOVE)
    assert (after.host, after.attempt, after.tried, after.allowed) == ("other", 3, ("x", "h"), 0)
    assert (after.availability_zone, after.forwards, after.marks) == ("east", MOVE.forwards, marks[:1])
    assert record.movable(after)
    with pytest.raises(StaleError):
        record.taken_by(after, "h", 2, Entering(Step.START, NOON))


@pytest.mark.parametrize(("host", "attempt"), [("other", 2), ("h", 1)])
def test_only_the_attempt_that_was_looked_at_moves(host: str, attempt: int) -> None:
    with pytest.raises(StaleError):
        record.moved(_at(State.BUILDING), host, attempt, MOVE)


@pytest.mark.parametrize("state", [state for state in State if state is not State.BUILDING])
def test_only_a_build_moves(state: State) -> None:
    assert not record.movable(_at(state))
    with pytest.raises(StaleError):
        record.moved(_at(state), "h", 2, MOVE)


def test_what_an_operator_gives_up_is_made_anew_elsewhere() -> None:
    lost = _at(State.STOPPING, allowed=2, plan=a_plan(), receipt=a_receipt(), generation=3, inserted=2)
    after = record.evacuated(lost, "h", 2, MOVE, NOON)
    assert (after.state, after.host, after.attempt, after.allowed) == (State.BUILDING, "other", 3, 0)
    assert (after.plan, after.receipt, after.generation, after.inserted) == (None, None, 0, 0)
    assert after.config_drive  # it had one: an operator who forces them binds first builds only
    assert after.launched_at == NOON
    assert record.taken_by(after, "other", 3, LAUNCHED).launched == 3
    with pytest.raises(StaleError):
        record.evacuated(_at(State.DELETING), "h", 2, MOVE, NOON)
    for host, attempt in (("elsewhere", 2), ("h", 1)):
        with pytest.raises(StaleError, match="any more"):
            record.evacuated(lost, host, attempt, MOVE, NOON)


@pytest.mark.parametrize("plan", [None, Plan(ChannelKind.PARTITION, "asked for")])
def test_who_had_no_drive_is_given_none_because_he_is_made_again(plan: Plan | None) -> None:
    lost = _at(State.ACTIVE, plan=plan)
    assert not record.evacuated(lost, "h", 2, MOVE, NOON).config_drive
    assert not record.rebuilding(lost, REBUILD, NOON).config_drive


# made anew

REBUILD = Rebuild(an_instance().image, metadata={"role": "db"}, name="renamed")


def test_a_rebuild_is_another_attempt_that_keeps_what_was_not_replaced() -> None:
    items = (an_item(),)
    before = _at(State.STOPPED, plan=a_plan(), receipt=a_receipt(), generation=4, items=items, tried=("x",))
    after = record.rebuilding(before, REBUILD, NOON)
    assert (after.state, after.attempt, after.host, after.tried) == (State.REBUILDING, 3, "h", ())
    assert (after.name, after.metadata, after.asked_metadata) == ("renamed", {"role": "db"}, {"role": "db"})
    assert (after.items, after.receipt, after.generation) == (items, None, 0)
    assert after.config_drive
    with pytest.raises(StaleError):
        record.taken_by(after, "h", 2, Settled(State.ACTIVE, NOON))
    entered = record.taken_by(after, "h", 3, Entering(Step.START, NOON))
    done = record.taken_by(entered, "h", 3, LAUNCHED)
    assert (done.state, done.launched, done.step) == (State.ACTIVE, 3, Step.RUNNING)
    assert record.taken_by(done, "h", 3, LAUNCHED) == done


def test_metadata_that_are_to_stay_are_those_that_were_seen() -> None:
    seen = _at(State.ACTIVE, metadata={"role": "web"})
    kept = replace(REBUILD, metadata={"role": "web"}, seen_metadata={"role": "web"})
    assert record.rebuilding(seen, kept, NOON).metadata == {"role": "web"}
    with pytest.raises(Conflict, match="changed meanwhile"):
        record.rebuilding(replace(seen, metadata={"role": "db"}), kept, NOON)


def test_metadata_made_from_what_is_there_no_more_are_stale() -> None:
    seen = _at(State.ACTIVE, metadata={"role": "web"})
    assert record.described(seen, {"role": "db"}, {"role": "web"}).metadata == {"role": "db"}
    assert record.described(seen, {"role": "db"}, None).metadata == {"role": "db"}
    with pytest.raises(StaleError):
        record.described(seen, {"role": "db"}, {})


def test_a_rebuild_with_another_payload_has_its_items() -> None:
    new = (an_item(name="/etc/new"),)
    after = record.rebuilding(_at(State.ACTIVE), replace(REBUILD, payload=a_sealed(), items=new), NOON)
    assert after.items == new


@pytest.mark.parametrize("state", sorted(WORKING))
def test_what_is_busy_is_not_rebuilt(state: State) -> None:
    with pytest.raises(Conflict):
        record.rebuilding(_at(state), REBUILD, NOON)


def test_what_never_ran_is_not_rebuilt() -> None:
    with pytest.raises(Conflict, match="never launched"):
        record.rebuilding(_at(State.ERROR, launched_at=None), REBUILD, NOON)


# the same again


@pytest.mark.parametrize(
    "report", [Entering(Step.IMAGE, NOON), LAUNCHED, Failed(FAULT), Settled(State.STOPPED, NOON)], ids=repr
)
def test_a_report_that_comes_twice_changes_nothing_the_second_time(report: Report) -> None:
    before = _at(State.STOPPING if isinstance(report, Settled) else State.BUILDING)
    once = record.taken_by(before, "h", 2, report, "call-1")
    assert once.calls == ("call-1",)
    assert record.taken_by(once, "h", 2, report, "call-1") is once


def test_a_report_that_comes_again_much_later_does_not_undo_what_was_asked_since() -> None:
    stopped = record.taken_by(_at(State.STOPPING), "h", 2, Settled(State.STOPPED, NOON, seen=State.STOPPING), "s")
    started = record.taken_by(
        record.begun(stopped, State.STARTING, NOON, "a"), "h", 2, Settled(State.ACTIVE, NOON), "t"
    )
    assert record.taken_by(started, "h", 2, Settled(State.STOPPED, NOON, seen=State.STOPPING), "s") is started
    with pytest.raises(StaleError, match="no longer stopping"):
        record.taken_by(started, "h", 2, Settled(State.STOPPED, NOON, seen=State.STOPPING), "another")


@pytest.mark.parametrize("report", [Settled(State.STOPPED, NOON, seen=State.ACTIVE), Failed(FAULT, seen=State.ACTIVE)])
def test_what_was_found_of_a_guest_holds_only_while_nothing_else_was_asked(report: Report) -> None:
    assert record.taken_by(_at(State.ACTIVE), "h", 2, report).state in (State.STOPPED, State.ERROR)
    with pytest.raises(StaleError, match="no longer active"):
        record.taken_by(_at(State.REBOOTING), "h", 2, report)


def test_whether_to_go_on_is_answered_anew_even_if_it_was_asked_before() -> None:
    once = record.taken_by(_at(State.BUILDING), "h", 2, Entering(Step.START, NOON), "call-1")
    with pytest.raises(StaleError):
        record.taken_by(record.begun(once, State.DELETING, NOON), "h", 2, Entering(Step.START, NOON), "call-1")


def test_an_action_that_comes_twice_is_done_once_and_only_the_last_calls_are_known() -> None:
    stopping = record.begun(_at(State.ACTIVE), State.STOPPING, NOON, "call-1")
    assert record.begun(stopping, State.STOPPING, NOON, "call-1") is stopping
    started = record.begun(replace(stopping, state=State.STOPPED), State.STARTING, NOON, "call-2")
    active = replace(started, state=State.ACTIVE)
    assert record.begun(active, State.STOPPING, NOON, "call-1") is active
    rebuilt = record.rebuilding(active, REBUILD, NOON, "call-3")
    assert record.rebuilding(rebuilt, REBUILD, NOON, "call-3") is rebuilt
    wanted = Refresh(0, NOON, running=False, policy=IdPolicy.KEEP)
    refreshed = record.refreshing(replace(active, plan=a_plan(), generation=1), wanted, "call-4")
    assert record.refreshing(refreshed, wanted, "call-4") is refreshed
    for number in range(20):
        refreshed = refreshed.called(f"later-{number}")
    assert (len(refreshed.calls), refreshed.calls[-1]) == (16, "later-19")


@pytest.mark.parametrize("state", [*sorted(MAKING), State.REFRESHING])
def test_making_and_refreshing_are_asked_for_by_calls_of_their_own(state: State) -> None:
    with pytest.raises(Conflict, match="call of its own"):
        record.begun(_at(State.ACTIVE), state, NOON)


def test_a_guest_without_a_drive_says_why_it_has_none() -> None:
    wanted = Refresh(0, NOON, running=False, policy=IdPolicy.KEEP)
    with pytest.raises(Conflict, match="nothing was delivered to it so far"):
        record.refreshing(_at(State.ACTIVE, plan=None), wanted)
    with pytest.raises(Conflict, match="no config drive: the operator wants none"):
        record.refreshing(_at(State.ACTIVE, plan=Plan(ChannelKind.NONE, "the operator wants none")), wanted)


def test_only_a_guest_that_comes_up_has_the_newest_drive_in_it() -> None:
    starting = _at(State.STARTING, generation=4, inserted=2)
    assert record.taken_by(starting, "h", 2, Settled(State.ACTIVE, NOON)).inserted == 4
    assert record.taken_by(starting, "h", 2, Settled(State.STOPPED, NOON)).inserted == 2
    unpausing = _at(State.UNPAUSING, generation=4, inserted=2)
    assert record.taken_by(unpausing, "h", 2, Settled(State.ACTIVE, NOON)).inserted == 2
