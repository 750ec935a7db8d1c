"""What a station answers and how it travels: a gate before each endpoint, an envelope around each reply.

A reply is ``{"ok": value}`` or ``{"error": {"type", "message", "field"}}``, so errors do not depend on the library's
way of rebuilding remote exceptions by importing the modules they name.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from injector.errors import InjectorError, InternalError, from_wire
from injector.model.context import Context
from injector.rpc.scope import request_scope

LOG = logging.getLogger(__name__)

# Parameters of Bus.call and of the library's own call: an argument of these names would never arrive.
RESERVED = frozenset({"ctxt", "method", "server", "timeout", "version"})
_CAST = "is_cast"
_LEAVES = frozenset({type(None), bool, int, str})

Envelope = dict[str, Any]


class Endpoint(Protocol):
    """A plain object whose operations may be called over the bus.

    A method with a parameter named ``context`` is given the caller's Context there; the other parameters arrive by
    name, as plain JSON values. What it returns must be one too (tuples arrive as lists).
    """

    @property
    def version(self) -> str:
        """``"1.4"``: also answers callers who ask for 1.0 to 1.3, never those who ask for 1.5 or 2.0."""
        ...

    @property
    def methods(self) -> Collection[str]:
        """The only names callers may use."""
        ...


class Gate:
    """An endpoint as oslo.messaging calls it: the declared methods only, each in its request's scope."""

    def __init__(self, topic: str, endpoint: Endpoint, target: Any) -> None:
        self.target = target
        for name in endpoint.methods:
            handler = _handler(topic, name, getattr(endpoint, name))
            vars(handler)["exposed"] = True
            setattr(self, name, handler)


def _handler(topic: str, name: str, method: Callable[..., Any]) -> Callable[..., Envelope]:
    parameters = inspect.signature(method).parameters
    if clash := RESERVED & parameters.keys():
        raise ValueError(f"{topic}: {name} has a parameter the bus keeps for itself: {', '.join(sorted(clash))}")
    return functools.partial(_answer, topic, name, method, "context" in parameters)


def _answer(
    topic: str, name: str, method: Callable[..., Any], wants_context: bool, ctxt: Mapping[str, Any], /, **arguments: Any
) -> Envelope:
    context = unpack_context(ctxt)
    if wants_context:
        arguments["context"] = context
    with request_scope(context):
        try:
            value = method(**arguments)
            refuse_unless_plain(value, f"the result of {topic} {name}")
            return {"ok": value}
        except InjectorError as error:
            _log_for_operator(topic, name, error, is_cast=bool(ctxt.get(_CAST)))
            return {"error": error.to_wire()}
        except Exception:
            # The far side of a call must hear of our bugs, and this is the last place that sees the traceback.
            LOG.exception("%s %s failed", topic, name)
            return {"error": _bug(topic, name, context).to_wire()}


def _log_for_operator(topic: str, name: str, error: InjectorError, *, is_cast: bool) -> None:
    """What no caller will see: the detail, and the whole error when nobody waits for an answer."""
    if is_cast or error.detail:
        LOG.warning("%s %s: %s: %s (%s)", topic, name, type(error).__name__, error.message, error.detail or "-")


def _bug(topic: str, name: str, context: Context) -> InternalError:
    return InternalError(f"{topic} failed in {name}; the cause is in its log under {context.request_id}")


def open_envelope(reply: Envelope) -> Any:
    """The value inside, or the error inside, raised."""
    if "error" in reply:
        raise from_wire(reply["error"])
    return reply["ok"]


def pack_context(context: Context, *, is_cast: bool) -> dict[str, Any]:
    return {**asdict(context), _CAST: is_cast}


def unpack_context(ctxt: Mapping[str, Any]) -> Context:
    """The caller of a message; drivers add keys of their own to what was packed."""
    return Context(ctxt["request_id"], ctxt["user_id"], ctxt["project_id"])


def refuse_unless_plain(value: object, where: str) -> None:
    """TypeError naming the part that is no plain JSON value.

    The library's serialiser does not refuse: it turns bytes into text, sets into lists and objects into their
    attributes, and the far side gets something other than what was sent.
    """
    match value:
        case None | bool() | int() | str():
            return
        case float():
            if not math.isfinite(value):
                raise TypeError(f"{where} is {value}, which JSON has no word for")
        case list() | tuple():
            for index, item in enumerate(value):
                if type(item) not in _LEAVES:
                    refuse_unless_plain(item, f"{where}[{index}]")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise TypeError(f"{where} has a key that is a {type(key).__name__}, not a str")
                if type(item) not in _LEAVES:
                    refuse_unless_plain(item, f"{where}.{key}")
        case _:
            raise TypeError(f"{where} is a {type(value).__name__}: the bus carries only JSON values")
