"""The dispatcher as a station: it keeps the record."""

from __future__ import annotations

from injector.cmd.stations.station import Station
from injector.db import Store
from injector.dispatcher.manager import DispatcherManager
from injector.rpc.bus import Bus
from injector.rpc.compute import ComputeClient
from injector.rpc.dispatcher import TOPIC, DispatcherEndpoint
from injector.settings import Settings


class DispatcherStation(Station):
    """It has nothing on the disk of its host."""

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        super().__init__(bus, settings.host)
        self._manager = DispatcherManager(store, ComputeClient(bus).ring, settings.dispatcher)

    def start(self) -> None:
        self._serve(TOPIC, DispatcherEndpoint(self._manager))
        self._manager.start()
        self._started.callback(self._manager.stop)
