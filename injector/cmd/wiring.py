"""The house: the stations of one process and what they share, started from the back of the road to its front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack
from enum import Enum
from functools import cached_property, partial
from typing import TYPE_CHECKING

from oslo_config import cfg

from injector import conf as options
from injector.cmd import defaults, logs, state
from injector.cmd.patience import Patience
from injector.cmd.stations.station import Station
from injector.errors import InvalidRequest
from injector.images.http import HttpSource
from injector.images.source import ImageSource
from injector.images.store import LocalStore
from injector.rpc.bus import Bus, stays_inside
from injector.settings import Settings
from injector.system.keyring import open_vault
from injector.system.vault import Vault

if TYPE_CHECKING:
    from injector.cmd.stations.api import ApiStation
    from injector.db import Store
    from injector.virt.libvirt.host import Host


class Kind(Enum):
    """The stations, by the last word of their service's name."""

    API = "api"
    DISPATCHER = "dispatcher"
    COMPUTE = "compute"


ALL = frozenset(Kind)


def configure(conf: cfg.ConfigOpts, arguments: Sequence[str], version: str, kinds: Set[Kind] = ALL) -> Settings:
    """Options of the house and of the libraries it configures, parsed and read; InvalidRequest names one of them."""
    defaults.set_defaults()
    logs.register(conf)
    Bus.register(conf)
    settings = options.load(conf, arguments, version)
    inside = stays_inside(conf)  # asked of all: it refuses a transport_url that cannot be read
    if kinds != ALL:
        _refuse_islands(conf, kinds, inside)
    return settings


def _refuse_islands(conf: cfg.ConfigOpts, kinds: Set[Kind], inside: bool) -> None:
    """A service by itself needs a bus and a database that the others reach too."""
    if inside:
        raise InvalidRequest(
            "this service works with others over a message bus, and local:// ends at its own process: set "
            "transport_url = rabbit://USER:PASSWORD@HOST:5672/VHOST for all of them, or run `injector serve`",
            field="transport_url",
        )
    if kinds != {Kind.COMPUTE} and not conf.database.connection:
        raise InvalidRequest(
            "this service needs the database that all apis and dispatchers share: set connection, "
            "such as postgresql+psycopg://USER:PASSWORD@HOST/injector",
            field="[database] connection",
        )


class Shared:
    """What the stations of one process share; each thing is opened when the first station wants it."""

    def __init__(self, settings: Settings, conf: cfg.ConfigOpts, kinds: Set[Kind], patience: Patience) -> None:
        self.settings = settings
        self.patience = patience
        self._conf = conf
        self._kinds = kinds
        self._opened = ExitStack()

    def close(self) -> None:
        """The last opened first."""
        self._opened.close()

    def take_state(self) -> None:
        """The state directory, alone if guests are built here. A dispatcher has none."""
        if self._kinds != {Kind.DISPATCHER}:
            state.make_home(self.settings)
        if Kind.COMPUTE in self._kinds:
            self._opened.enter_context(state.alone(self.settings))

    @cached_property
    def store(self) -> Store:
        """The database. All stations together bring its tables up to date; a service leaves that to its operator."""
        from injector.db import open_store

        opened = partial(open_store, self.settings.database_connection, migrate=self._kinds == ALL)
        store = self.patience.until("the database", opened)
        self._opened.callback(store.close)
        return store

    @cached_property
    def bus(self) -> Bus:
        bus = Bus.open(self._conf, self._conf.transport_url)
        self._opened.callback(bus.close)
        self.patience.until("the message broker", bus.reach)
        return bus

    @cached_property
    def vault(self) -> Vault:
        return open_vault(self.settings.secrets_key, self.settings.key_files)

    @cached_property
    def host(self) -> Host:
        from injector.virt.libvirt.host import Host

        where = self.settings.libvirt
        host = Host(where.connection_uri, where.connect_timeout, str(self.settings.instances_dir))
        self._opened.callback(host.close)
        return host

    @cached_property
    def group(self) -> int | None:
        """QEMU's, where guests are built."""
        return self.patience.until("libvirt", self.host.qemu_group) if Kind.COMPUTE in self._kinds else None

    @cached_property
    def images(self) -> LocalStore:
        if Kind.API in self._kinds:
            state.prepare_images(self.settings, self.group)
        store = LocalStore(self.settings.images_dir, self.settings.images, self.group)
        if Kind.API in self._kinds:
            store.sweep()
        return store

    @property
    def source(self) -> ImageSource:
        """Where guests built here have their images from."""
        return HttpSource(self.settings.images) if self.settings.images.source == "http" else self.images


class House:
    """Some stations, or all, in one process. HostError when one of them cannot be made; nothing is left open then."""

    def __init__(
        self,
        settings: Settings,
        conf: cfg.ConfigOpts,
        kinds: Set[Kind] = ALL,
        patience: Patience | None = None,
    ) -> None:
        shared = Shared(settings, conf, kinds, patience or Patience())
        self._api: ApiStation | None = None
        self._stations: list[Station] = []
        self._started = ExitStack()
        with ExitStack() as undo:
            undo.callback(shared.close)
            shared.take_state()
            if kinds & {Kind.API, Kind.DISPATCHER}:
                _ = shared.store  # before the stations' threads are started: a migration forks
            for station in self._make(shared, kinds):
                undo.callback(station.close)
                self._stations.append(station)
            self._opened = undo.pop_all()

    def _make(self, shared: Shared, kinds: Set[Kind]) -> Iterator[Station]:
        """The dispatcher first, since a compute reports to it; the api last, since it needs both."""
        settings = shared.settings
        # Loaded here, not above: a service has its own station in memory, and not the others.
        if Kind.DISPATCHER in kinds:
            from injector.cmd.stations.dispatcher import DispatcherStation

            yield DispatcherStation(settings, shared.bus, shared.store)
        if Kind.COMPUTE in kinds:
            from injector.cmd.stations.compute import ComputeStation, Hypervisor

            state.prepare(settings, shared.group)
            hypervisor = Hypervisor(shared.host, shared.group)
            yield ComputeStation(settings, shared.bus, shared.vault, shared.source, hypervisor, shared.patience)
        if Kind.API in kinds:
            from injector.cmd.stations.api import ApiStation

            self._api = ApiStation(settings, shared.bus, shared.store, shared.vault, shared.images)
            yield self._api

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the API listens, for people; nothing without one."""
        return () if self._api is None else self._api.addresses

    def start(self) -> None:
        """HostError when a station cannot; those started before it still have to be stopped."""
        for station in self._stations:
            self._started.callback(station.stop)
            station.start()

    def stop(self) -> None:
        """The api first: what was accepted is worked on or kept for the next start."""
        self._started.close()
        self._opened.close()
