"""A service that handles every message twice, the second time later: above the bus, which would drop the second.

As the broker delivers again what a lost connection did not acknowledge, and another worker is quicker. Casts come late
as well. Of the two answers to a call one is given, the first or the second; the caller waits for that.

``python -c "from tests.faults import twice; twice.main()" KIND --config-file=FILE``
"""

from __future__ import annotations

import copy
import functools
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from injector.cmd import service
from injector.rpc import endpoint

LATE_SECONDS = 3.0
"""The second time, and casts."""
ANSWER_LATE_SECONDS = 0.5
"""The second time, when its answer is waited for."""

_chance = random.SystemRandom()
_plain_handler = endpoint._handler


def _handler(topic: str, name: str, method: Callable[..., Any]) -> Callable[..., endpoint.Envelope]:
    once = _plain_handler(topic, name, method)
    return functools.partial(_twice, once)


def _twice(once: Callable[..., endpoint.Envelope], ctxt: dict[str, Any], /, **arguments: Any) -> endpoint.Envelope:
    again = functools.partial(once, copy.deepcopy(ctxt), **copy.deepcopy(arguments))
    if ctxt.get("is_cast"):
        _later(again)
        time.sleep(_chance.uniform(0, LATE_SECONDS))
        return once(ctxt, **arguments)
    if _chance.random() < 0.5:
        _later(again)
        return once(ctxt, **arguments)
    once(ctxt, **arguments)
    time.sleep(_chance.uniform(0, ANSWER_LATE_SECONDS))
    return again()


def _later(work: Callable[[], object]) -> None:
    timer = threading.Timer(_chance.uniform(0, LATE_SECONDS), work)
    timer.daemon = True
    timer.start()


def main() -> None:
    """As the service of that kind, by its first argument."""
    endpoint._handler = _handler
    kind = sys.argv.pop(1)
    sys.exit({"api": service.api, "dispatcher": service.dispatcher, "compute": service.compute}[kind]())
