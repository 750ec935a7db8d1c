"""The roads between states."""

from __future__ import annotations

import pytest

from injector.errors import Conflict
from injector.model.instance import ROADS, WORKING, Mark, State, Step
from tests import builders

# What the table says, in the words that cross the bus and lie in the database: from state to states.
STATES = {
    "building": "active error deleting",
    "active": "stopping rebooting rebooting_hard refreshing rebuilding pausing suspending "
    "paused suspended stopped error deleting",
    "stopping": "stopped active paused suspended error deleting",
    "stopped": "starting rebooting_hard refreshing rebuilding active paused suspended error deleting",
    "starting": "active stopped error deleting",
    "rebooting": "active stopped error deleting",
    "rebooting_hard": "active stopped error deleting",
    "refreshing": "active stopped paused error deleting",
    "pausing": "active stopped paused error deleting",
    "paused": "active stopped unpausing rebooting_hard suspended error deleting",
    "unpausing": "active stopped paused error deleting",
    "suspending": "active stopped suspended paused error deleting",
    "suspended": "active stopped resuming rebooting_hard paused error deleting",
    "resuming": "active stopped suspended error deleting",
    "rebuilding": "active error deleting",
    "error": "rebooting_hard rebuilding active stopped paused suspended deleting deleted",
    "deleting": "deleted",
    "deleted": "",
}


def test_the_roads_are_these() -> None:
    assert {state.value: {after.value for after in roads} for state, roads in ROADS.items()} == {
        state: set(after.split()) for state, after in STATES.items()
    }
    assert {state.value for state in WORKING} == {state for state in STATES if state.endswith("ing")} | {
        "rebooting_hard"
    }


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("target", list(State))
def test_only_the_roads_of_the_table_are_open(state: State, target: State) -> None:
    instance = builders.an_instance(state=state)
    if target in ROADS[state]:
        assert instance.advance(target).state is target
    else:
        with pytest.raises(Conflict, match=state.value) as refusal:
            instance.advance(target)
        assert refusal.value.field == "state"


def test_everything_can_be_deleted_and_work_can_end() -> None:
    assert all(State.DELETING in ROADS[state] for state in State if state not in (State.DELETING, State.DELETED))
    assert all(ROADS[state] - WORKING for state in WORKING)
    assert not ROADS[State.DELETED]


@pytest.mark.parametrize(
    ("state", "launched", "holds"),
    [
        (State.BUILDING, False, True),
        (State.ACTIVE, True, True),
        (State.ERROR, False, False),
        (State.ERROR, True, True),
        (State.DELETING, False, True),
        (State.DELETED, False, False),
        (State.DELETED, True, False),
    ],
)
def test_claims_are_held_until_it_is_gone_or_its_only_build_failed(state: State, launched: bool, holds: bool) -> None:
    instance = builders.an_instance(state=state, launched_at=builders.NOON if launched else None)
    assert instance.holds_claims is holds


def test_the_steps_come_in_this_order_and_the_last_mark_is_where_it_stands() -> None:
    assert " ".join(Step) == "schedule image disk define deliver start running"
    assert builders.an_instance().step is None
    marks = (Mark(Step.SCHEDULE, builders.NOON), Mark(Step.IMAGE, builders.NOON))
    assert builders.an_instance(marks=marks).step is Step.IMAGE


def test_a_new_one_is_a_first_attempt_without_any_history() -> None:
    fresh = builders.an_instance(request_id="")
    assert (fresh.state, fresh.attempt, fresh.revision, fresh.launch_index) == (State.BUILDING, 1, 0, 0)
    assert (fresh.availability_zone, fresh.config_drive) == ("nova", False)


def test_a_device_of_any_kind_may_have_a_role() -> None:
    plain, tagged = builders.a_nic(), builders.a_nic(mac="52:54:00:00:00:02", tag="front")
    assert not builders.an_instance(nics=(plain,)).has_tags
    assert builders.an_instance(nics=(plain, tagged)).has_tags
    assert builders.an_instance(nics=(plain,), disk_tag="root").has_tags


def test_what_may_run_has_a_host_and_was_allowed_or_launched() -> None:
    allowed = builders.an_instance(host="h", attempt=2, allowed=2)
    assert allowed.may_run
    assert not builders.an_instance(host="h", attempt=2, allowed=1).may_run
    assert not builders.an_instance(attempt=2, allowed=2).may_run
    launched = builders.an_instance(host="h", launched_at=builders.NOON, state=State.ERROR)
    assert launched.may_run
    assert not builders.an_instance(host="h", launched_at=builders.NOON, state=State.DELETED).may_run


def test_a_call_without_an_id_is_not_kept() -> None:
    instance = builders.an_instance(calls=("one",))
    assert instance.called("") is instance
    assert instance.called("two").calls == ("one", "two")
