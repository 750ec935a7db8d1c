"""The api as a station: REST and RPC in."""

from __future__ import annotations

from injector.api.operations import Outside, make_operations
from injector.api.rpc import TOPIC, ApiEndpoint
from injector.api.server import ApiServer
from injector.cmd import state
from injector.cmd.stations.station import Station, dispatcher_client
from injector.db import Store
from injector.images.store import LocalStore
from injector.rpc.bus import Bus
from injector.rpc.compute import ComputeClient
from injector.rpc.sealing import Opener
from injector.settings import Settings
from injector.system.vault import Vault


class ApiStation(Station):
    """It has the image store and the token on its disk, or on one shared with others like it."""

    def __init__(self, settings: Settings, bus: Bus, store: Store, vault: Vault, images: LocalStore) -> None:
        super().__init__(bus, settings.host)
        outside = Outside(
            store=store,
            dispatcher=dispatcher_client(settings, bus),
            hosts=ComputeClient(bus),
            image_store=images,
            vault=vault,
        )
        # Once: uploads and changes of metadata wait for each other whether REST or RPC asked for them.
        self._operations = make_operations(outside, settings)
        self._opener = Opener(vault.bus_keys)
        self._server = ApiServer(self._operations, settings.api, state.admin_token(settings), settings.shutdown_timeout)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, for people."""
        return self._server.addresses

    def start(self) -> None:
        self._serve(TOPIC, ApiEndpoint(self._operations, self._opener, sealed_only=self._bus.remote))
        self._started.callback(self._server.stop)
        self._server.start()
