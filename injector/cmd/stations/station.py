"""What all stations have in common: started and stopped, with what they serve on the bus."""

from __future__ import annotations

from contextlib import ExitStack

from injector.rpc.bus import Bus
from injector.rpc.dispatcher import VERSION, DispatcherClient
from injector.rpc.endpoint import Endpoint
from injector.settings import Settings


def dispatcher_client(settings: Settings, bus: Bus) -> DispatcherClient:
    return DispatcherClient(bus, settings.dispatcher_level or VERSION)


class Station:
    """What was started is stopped in the reverse order, and so is what was opened."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._name = name
        self._started = ExitStack()
        self._opened = ExitStack()

    def start(self) -> None:
        """Take work from now on."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take no more work, and return when what was taken is done or kept for the next start."""
        self._started.close()

    def close(self) -> None:
        """Let go of what was opened."""
        self._opened.close()

    def _serve(self, topic: str, endpoint: Endpoint) -> None:
        server = self._bus.serve(topic, self._name, endpoint)
        self._started.callback(server.wait)
        self._started.callback(server.stop)
