"""The roads between states."""

from __future__ import annotations

import pytest

from injector.errors import Conflict
from injector.model.instance import ROADS, WORKING, State
from tests import builders


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("target", list(State))
def test_only_the_roads_of_the_table_are_open(state: State, target: State) -> None:
    instance = builders.an_instance(state=state)
    if target in ROADS[state]:
        assert instance.advance(target).state is target
    else:
        with pytest.raises(Conflict, match=state.value):
            instance.advance(target)


def test_everything_can_be_deleted_and_work_can_end() -> None:
    assert all(State.DELETING in ROADS[state] for state in State if state not in (State.DELETING, State.DELETED))
    assert all(ROADS[state] - WORKING for state in WORKING)
    assert not ROADS[State.DELETED]
