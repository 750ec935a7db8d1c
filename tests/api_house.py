"""The api with everything below it but a hypervisor: store, bus, dispatcher, image store, and a prompt compute.

with ApiHouse(tmp_path) as house:
    house.rest("admin").post("/v2.1/servers", json=…)
    house.client.boot(…)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from oslo_config import cfg

from injector.api.operations import Outside, make_operations
from injector.api.rpc import TOPIC as API
from injector.api.rpc import ApiEndpoint
from injector.api.server import ApiServer
from injector.db import open_store
from injector.dispatcher.manager import DispatcherManager
from injector.images.store import LocalStore
from injector.model.flavor import Flavor
from injector.model.image import Image
from injector.model.network import Network
from injector.rpc import Client
from injector.rpc.bus import Bus
from injector.rpc.compute import TOPIC as COMPUTE
from injector.rpc.compute import ComputeClient, ComputeEndpoint
from injector.rpc.dispatcher import TOPIC as DISPATCHER
from injector.rpc.dispatcher import DispatcherClient, DispatcherEndpoint
from injector.settings import ApiSettings, DispatcherSettings, ImageSettings, Quotas, Settings
from tests import builders
from tests.prompt_compute import PromptCompute

TOKEN = "a-token-that-nobody-would-guess"
HOST = "host-1"


def api_settings(directory: Path, **api: Any) -> Settings:
    listens = {"socket": directory / "api.sock", "socket_group": None, "port": 0, "threads": 4} | api
    return Settings(
        host=HOST,
        state_dir=directory,
        database_connection=f"sqlite:///{directory / 'injector.sqlite'}",
        api=ApiSettings(**listens),
        quotas=Quotas(key_pairs=10, instances_per_request=10),
    )


class ApiHouse:
    """``store``, ``compute`` and ``vault`` are there for tests to look into."""

    def __init__(self, directory: Path, settings: Settings | None = None, *, hosts: bool = True) -> None:
        self.settings = settings or api_settings(directory)
        self.url = f"local:///{uuid.uuid4()}"
        self.vault = builders.a_vault()
        self._undo = ExitStack()
        self.store = open_store(self.settings.database_connection)
        self._undo.callback(self.store.close)
        self.bus = Bus.open(cfg.ConfigOpts(), self.url)
        self._undo.callback(self.bus.close)
        self.dispatcher = DispatcherManager(self.store, ComputeClient(self.bus).ring, DispatcherSettings())
        self.compute = PromptCompute(DispatcherClient(self.bus), builders.some_host_facts(name=HOST))
        images = LocalStore(directory / "images", ImageSettings())
        outside = Outside(self.store, DispatcherClient(self.bus), ComputeClient(self.bus), images, self.vault)
        self.operations = make_operations(outside, self.settings)
        self.server = ApiServer(self.operations, self.settings.api, TOKEN, shutdown_timeout=5)
        self.client = Client(self.bus)
        self._hosts = hosts

    def __enter__(self) -> Self:
        self.bus.serve(DISPATCHER, HOST, DispatcherEndpoint(self.dispatcher))
        self.bus.serve(COMPUTE, HOST, ComputeEndpoint(self.compute))
        self.bus.serve(API, HOST, ApiEndpoint(self.operations))
        if self._hosts:
            self.compute.start()
        self.server.start()
        self._undo.callback(self.server.stop)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def rest(self, *, version: str = "2.56", tcp: bool = False, **headers: str) -> httpx.Client:
        """Over the Unix socket, or over TCP with the token; close it (or let it be closed with the house)."""
        said = {"OpenStack-API-Version": f"compute {version}"} | headers
        if tcp:
            client = httpx.Client(base_url=f"http://127.0.0.1:{self.server.port}", headers=said, trust_env=False)
        else:
            transport = httpx.HTTPTransport(uds=str(self.settings.api.socket))
            client = httpx.Client(base_url="http://injector", headers=said, transport=transport)
        self._undo.callback(client.close)
        return client

    def an_image(self, **changes: Any) -> Image:
        """An active one of the administrator, without bytes: nothing here reads them."""
        image = builders.an_image(**({"id": str(uuid.uuid4()), "owner": "admin"} | changes))
        self.store.add_image(image)
        return image

    def a_network(self, **changes: Any) -> Network:
        """The administrator's, with a static subnet."""
        network = builders.a_network(**({"id": str(uuid.uuid4()), "project_id": "admin"} | changes))
        self.store.add_network(network)
        return network

    def a_flavor(self, **changes: Any) -> Flavor:
        flavor = builders.a_flavor(**changes)
        self.store.add_flavor(flavor)
        return flavor


def eventually(look: Callable[[], bool], seconds: float = 5.0) -> None:
    """Fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
