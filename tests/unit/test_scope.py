"""The request a thread works for: set inside the block, as before outside it."""

from __future__ import annotations

import threading

import pytest

from injector.model.context import Context
from injector.rpc.scope import current_context, request_scope

OUTER = Context("req-outer", "ada", "looms")
INNER = Context("req-inner", "charles", "engines")


def test_it_is_known_inside_and_forgotten_outside() -> None:
    with request_scope(OUTER):
        assert current_context() == OUTER
    assert current_context() is None


def test_a_scope_inside_another_gives_way_to_it_again() -> None:
    with request_scope(OUTER):
        with request_scope(INNER):
            assert current_context() == INNER
        assert current_context() == OUTER
    assert current_context() is None


def test_it_is_forgotten_after_an_error_too() -> None:
    with pytest.raises(KeyError), request_scope(OUTER):
        raise KeyError
    assert current_context() is None


def test_another_thread_has_its_own() -> None:
    seen: list[Context | None] = []
    with request_scope(OUTER):
        thread = threading.Thread(target=lambda: seen.append(current_context()))
        thread.start()
        thread.join()
    assert seen == [None]
