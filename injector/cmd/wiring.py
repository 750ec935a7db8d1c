"""The house: every station made and joined, started from the back of the road and stopped from its front."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from oslo_config import cfg

from injector import conf as options
from injector.api.operations import Operations, Outside, make_operations
from injector.api.rpc import TOPIC as API
from injector.api.rpc import ApiEndpoint
from injector.api.server import ApiServer
from injector.cmd import defaults, logs, state
from injector.compute.journal import Journal
from injector.compute.manager import ComputeManager
from injector.compute.manager import Host as ComputeHost
from injector.db import open_store
from injector.dispatcher.manager import DispatcherManager
from injector.images.cache import BaseCache
from injector.images.store import LocalStore
from injector.rpc.bus import Bus
from injector.rpc.compute import TOPIC as COMPUTE
from injector.rpc.compute import ComputeClient, ComputeEndpoint
from injector.rpc.dispatcher import TOPIC as DISPATCHER
from injector.rpc.dispatcher import DispatcherClient, DispatcherEndpoint
from injector.rpc.endpoint import Endpoint
from injector.settings import Settings
from injector.system.vault import open_vault
from injector.virt.driver import Asks
from injector.virt.libvirt.driver import LibvirtDriver
from injector.virt.libvirt.host import Host

LOG = logging.getLogger(__name__)


def configure(conf: cfg.ConfigOpts, arguments: Sequence[str], version: str) -> Settings:
    """Options of the house and of the libraries it configures, parsed and read."""
    defaults.set_defaults()
    logs.register(conf)
    Bus.register(conf)
    return options.load(conf, arguments, version)


class House:
    """All stations in one process. HostError when one of them cannot be made; nothing is left open then."""

    def __init__(self, settings: Settings, conf: cfg.ConfigOpts) -> None:
        self._settings = settings
        with ExitStack() as undo:
            state.make_home(settings)
            undo.enter_context(state.alone(settings))
            # Before the first thread is started: a migration forks.
            self._store = open_store(settings.database_connection)
            undo.callback(self._store.close)
            host = Host(settings.libvirt.connection_uri, settings.libvirt.connect_timeout, str(settings.instances_dir))
            undo.callback(host.close)
            group = host.qemu_group()
            state.prepare(settings, group)
            self._token = state.admin_token(settings)
            self._vault = open_vault(settings.secrets_key)
            self._bus = Bus.open(conf, conf.transport_url)
            undo.callback(self._bus.close)
            self._images = LocalStore(settings.images_dir, settings.images, group)
            self._cache = BaseCache(settings.base_dir, self._images, group)
            self._driver = LibvirtDriver(host, settings, self._vault, self._cache, group, self._asks())
            undo.callback(self._driver.close)
            self._dispatcher = DispatcherManager(self._store, ComputeClient(self._bus).ring, settings.dispatcher)
            self._compute = ComputeManager(self._compute_host(group), settings)
            self._operations = self._make_operations()
            self._api = ApiServer(self._operations, settings.api, self._token, settings.shutdown_timeout)
            self._opened = undo.pop_all()
        self._started = ExitStack()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the API listens, for people."""
        return self._api.addresses

    def _make_operations(self) -> Operations:
        """Once: uploads and changes of metadata wait for each other whether REST or RPC asked for them."""
        outside = Outside(
            store=self._store,
            dispatcher=DispatcherClient(self._bus),
            hosts=ComputeClient(self._bus),
            image_store=self._images,
            vault=self._vault,
        )
        return make_operations(outside, self._settings)

    def start(self) -> None:
        """The dispatcher first, since a compute reports to it; the api last, since it needs both."""
        name = self._settings.host
        self._serve(DISPATCHER, name, DispatcherEndpoint(self._dispatcher))
        self._dispatcher.start()
        self._started.callback(self._dispatcher.stop)
        self._serve(COMPUTE, name, ComputeEndpoint(self._compute))
        self._started.callback(self._compute.stop)
        self._compute.start()
        self._serve(API, name, ApiEndpoint(self._operations))
        self._started.callback(self._api.stop)
        self._api.start()

    def stop(self) -> None:
        """The api first: what was accepted is worked on or kept for the next start."""
        self._started.close()
        self._opened.close()

    def _serve(self, topic: str, name: str, endpoint: Endpoint) -> None:
        server = self._bus.serve(topic, name, endpoint)
        self._started.callback(server.wait)
        self._started.callback(server.stop)

    def _compute_host(self, group: int | None) -> ComputeHost:
        unused_after = self._settings.images.cache_unused_after

        def prune(in_use: frozenset[str]) -> None:
            for name in self._cache.prune(in_use, unused_after):
                LOG.info("base image %s was not used for long and is removed", name)

        return ComputeHost(
            driver=self._driver,
            dispatcher=DispatcherClient(self._bus),
            vault=self._vault,
            journal=Journal(self._settings.instances_dir, group),
            prune=prune,
        )

    def _asks(self) -> Asks:
        dispatcher, name = DispatcherClient(self._bus), self._settings.host
        return Asks(
            reforward=partial(dispatcher.reforward, name),
            drive=partial(dispatcher.drive, name),
            image_report=dispatcher.image_report,
        )
