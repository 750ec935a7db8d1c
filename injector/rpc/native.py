"""oslo.messaging on native threads: the one place that imports it, with eventlet kept out of the process.

Left alone, importing oslo.messaging imports eventlet (through oslo.service's default backend and oslo.utils): 15 MB,
0.1 s and a deprecation warning for a library nobody here uses. A program that imported eventlet before us made its
own choice; it is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from oslo_service import backend

_LOOK_SECONDS = 0.5


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Make ``import name`` fail inside the block, unless somebody has imported it already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


with _absent("eventlet"):
    if backend.get_backend_type() is None:
        backend.init_backend(backend.BackendType.THREADING)
    import oslo_messaging as messaging
    from oslo_messaging._drivers import base as driver_base
    from oslo_messaging._drivers import common as driver_common
    from oslo_messaging._metrics.client import oslo_messaging_metrics as metrics_options
    from oslo_messaging._tracing.client import oslo_messaging_tracing as tracing_options
    from oslo_messaging.opts import list_opts as library_options
    from oslo_messaging.rpc.server import RPCServer
    from oslo_messaging.transport import _transport_opts as transport_options


def look_often() -> None:
    """Make whoever waits for a broker's messages look up twice a second whether it is to stop.

    The library lets an idle listener, and the reader of replies, sleep for up to five seconds; to stop is to wait for
    each of them, one after the other. Called when its driver is loaded already, which in-process buses do without.
    """
    from oslo_messaging._drivers import amqpdriver

    amqpdriver.ACK_REQUEUE_EVERY_SECONDS_MAX = _LOOK_SECONDS


__all__ = [
    "RPCServer",
    "driver_base",
    "driver_common",
    "library_options",
    "look_often",
    "messaging",
    "metrics_options",
    "tracing_options",
    "transport_options",
]
