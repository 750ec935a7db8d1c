"""The api with everything below it but a hypervisor: store, bus, dispatcher, image store, and a prompt compute.

with ApiHouse(tmp_path, world=world) as house:
    house.rest("admin").post("/v2.1/servers", json=…)
    house.client.boot(…)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from oslo_config import cfg
from sqlalchemy import create_engine, update

from injector.api.operations import Outside, make_operations
from injector.api.rpc import TOPIC as API
from injector.api.rpc import ApiEndpoint
from injector.api.server import ApiServer
from injector.db import open_store, tables
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
from injector.rpc.sealing import Opener
from injector.settings import ApiSettings, DispatcherSettings, ImageSettings, Quotas, Settings
from tests import builders
from tests.prompt_compute import PromptCompute
from tests.worlds import World, local_world

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
    """``store``, ``compute`` and ``vault`` are there for tests to look into. Without ``world``, in one of its own."""

    def __init__(
        self, directory: Path, settings: Settings | None = None, *, world: World | None = None, hosts: bool = True
    ) -> None:
        world = world or local_world(directory)
        self.settings = replace(settings or api_settings(directory), database_connection=world.database)
        self.url = world.transport_url
        self.vault = builders.a_vault()
        self._undo = ExitStack()
        self.store = open_store(world.database, migrate=False)
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
        opener = Opener(self.vault.bus_keys)
        self.bus.serve(API, HOST, ApiEndpoint(self.operations, opener, sealed_only=self.bus.remote))
        if self._hosts:
            self.compute.start()
        self.server.start()
        self._undo.callback(self.server.stop)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def another_host(self, name: str, **facts: Any) -> PromptCompute:
        """One more compute, which has reported itself."""
        compute = PromptCompute(DispatcherClient(self.bus), builders.some_host_facts(name=name, **facts))
        self.bus.serve(COMPUTE, name, ComputeEndpoint(compute))
        compute.start()
        return compute

    def silence(self, host: str, seconds: float = 3600) -> None:
        """It was last heard of so much earlier."""
        engine = create_engine(self.settings.database_connection)
        heard = tables.hosts.c.heard
        with engine.begin() as connection:
            connection.execute(update(tables.hosts).filter_by(name=host).values(heard=heard - seconds))
        engine.dispose()

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


def eventually(look: Callable[[], bool], seconds: float = 30.0) -> None:
    """Fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
