"""A compute as a station: it builds guests on this host."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from injector.cmd.patience import Patience
from injector.cmd.stations.station import Station, dispatcher_client
from injector.compute.answers import answered
from injector.compute.journal import Journal
from injector.compute.manager import ComputeManager
from injector.compute.manager import Host as ComputeHost
from injector.images.cache import BaseCache
from injector.images.source import ImageSource
from injector.rpc.bus import Bus
from injector.rpc.compute import TOPIC, ComputeEndpoint
from injector.rpc.dispatcher import DispatcherClient
from injector.settings import Settings
from injector.system.vault import Vault
from injector.virt.driver import Asks
from injector.virt.libvirt.driver import LibvirtDriver
from injector.virt.libvirt.host import Host

LOG = logging.getLogger(__name__)

_KNOCK = 3.0


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """libvirt, and the group that QEMU's files are of (None: nobody's in particular)."""

    host: Host
    group: int | None


class ComputeStation(Station):
    """Its start waits for a dispatcher."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        vault: Vault,
        images: ImageSource,
        hypervisor: Hypervisor,
        patience: Patience,
    ) -> None:
        super().__init__(bus, settings.host)
        self._settings = settings
        self._patience = patience
        self._dispatcher = dispatcher = dispatcher_client(settings, bus)
        group = hypervisor.group
        self._cache = BaseCache(settings.base_dir, images, group)
        driver = LibvirtDriver(hypervisor.host, settings, vault, self._cache, group, self._asks(dispatcher))
        self._opened.callback(driver.close)
        works_with = ComputeHost(
            driver=driver,
            dispatcher=dispatcher,
            vault=vault,
            journal=Journal(settings.instances_dir, group),
            prune=self._prune,
        )
        self._manager = ComputeManager(works_with, settings)

    def start(self) -> None:
        self._serve(TOPIC, ComputeEndpoint(self._manager))
        self._started.callback(self._manager.stop)
        # A question that no dispatcher was there to hear is lost, and its answer waited for as long as any other's.
        self._patience.until("a dispatcher", partial(self._dispatcher.find, self._name, _KNOCK))
        self._patience.until("a dispatcher", self._manager.start)

    def _prune(self, in_use: frozenset[str]) -> None:
        for name in self._cache.prune(in_use, self._settings.images.cache_unused_after):
            LOG.info("base image %s was not used for long and is removed", name)

    def _asks(self, dispatcher: DispatcherClient) -> Asks:
        return Asks(
            reforward=answered(partial(dispatcher.reforward, self._name)),
            drive=answered(partial(dispatcher.drive, self._name)),
            image_report=dispatcher.image_report,
        )
