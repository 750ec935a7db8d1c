"""That nobody answers is told apart from what is answered."""

from __future__ import annotations

import pytest

from injector.compute.answers import answered
from injector.errors import BusUnavailable, HostError, InjectorError, NotFound, StaleError, Unanswered


def _asked(of: str, *, error: InjectorError | None = None) -> str:
    if error is not None:
        raise error
    return of


@pytest.mark.parametrize("error", [BusUnavailable("nobody", detail="why"), HostError("the database does not answer")])
def test_whatever_keeps_the_dispatcher_from_answering_is_one_thing(error: HostError) -> None:
    with pytest.raises(Unanswered, match=f"nobody answers: {error.message}") as raised:
        answered(_asked)("x", error=error)
    assert raised.value.detail == error.detail


@pytest.mark.parametrize("error", [StaleError("moved on"), NotFound("gone")])
def test_an_answer_is_left_as_it_is(error: InjectorError) -> None:
    assert answered(_asked)("x") == "x"
    with pytest.raises(type(error)):
        answered(_asked)("x", error=error)
