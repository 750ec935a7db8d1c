"""What is asked of the dispatcher in the middle of work: that nobody answers is no failure of this host."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from injector.errors import HostError, Unanswered

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def answered(ask: Callable[_Asked, _Answer]) -> Callable[_Asked, _Answer]:
    """The same, but Unanswered when the bus, the dispatcher or its database is what cannot do it now."""

    def asked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        try:
            return ask(*args, **kwargs)
        except HostError as error:
            raise Unanswered(f"nobody answers: {error.message}", field=error.field, detail=error.detail) from error

    return asked
