"""Where guests go: the hosts that are asked about, the choice among them, and the claims that make it hold."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from injector.db import Store
from injector.dispatcher import record
from injector.dispatcher.choose import Wanted, able, choose, could_build, least_loaded, no_room
from injector.errors import GuestUnreadable, InjectorError, NoHost, StaleError, Undeliverable
from injector.inject import plan
from injector.model.boot import BootRequest, ClientToken, NicOrder
from injector.model.context import Context
from injector.model.facts import ImageFacts
from injector.model.host import HostRecord
from injector.model.image import Image
from injector.model.instance import Instance, Mark, Step
from injector.model.network import Forward, Nic
from injector.network import allocate
from injector.settings import DispatcherSettings

_CLAIM_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05
_FIRST_PAGE = 8
_PAGE = 64


class Placement:
    """Chooses hosts and claims what guests take there. Several may do so at once: the database lets one of them win."""

    def __init__(self, store: Store, settings: DispatcherSettings) -> None:
        self._store = store
        self._settings = settings
        self._ports = range(settings.forward_first_port, settings.forward_last_port + 1)

    def add(
        self, context: Context, requests: tuple[BootRequest, ...], minimum: int, token: ClientToken | None
    ) -> tuple[Instance, ...]:
        """The records of all guests of a request, or of at least ``minimum``, kept with their claims; or none.

        Those of an earlier call with the same ids or token, if there was one.
        """
        lost = StaleError("no request")
        ids = [request.instance_id for request in requests]
        for _ in range(_CLAIM_ATTEMPTS):
            try:
                planned = self.plan(context, requests, minimum)
            except InjectorError:
                # What is in its way may be what the same call was given when it came first.
                if (earlier := self._store.added_earlier(ids, token)) is None:
                    raise
                return earlier
            try:
                made = self._store.add_instances(planned, token)
                # So there may have been room for more of them.
                return made if len(made) == len(requests) else self._store.added_earlier(ids, token) or made
            except StaleError as error:
                lost = error
                time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - whoever was as quick is to be slower now
        raise lost

    def plan(self, context: Context, requests: tuple[BootRequest, ...], minimum: int) -> tuple[Instance, ...]:
        """The records that would be made now; one decision for the whole batch. Nothing is kept."""
        batch = _Batch(self._store, requests, self._ports)
        placed: list[Instance] = []
        for request in requests:
            try:
                placed.append(self._plan(context, request, batch, len(requests)))
            except InjectorError:
                if len(placed) < max(minimum, 1):
                    raise
                break
        return tuple(placed)

    def _plan(self, context: Context, request: BootRequest, batch: _Batch, size: int) -> Instance:
        nics = tuple(batch.plug(order) for order in request.nics)
        if batch.wanted is None:
            asked = plan.asked_by_request(request, self._facts(request.image))
            batch.wanted = Wanted(asked, request.flavor, request.availability_zone)
            batch.pool = self._pool(batch.wanted, size)
        host = batch.choose(batch.wanted)
        return _first_record(context, request, host, nics, batch.forward(host.facts.name, nics))

    def elsewhere(self, instance: Instance, without: tuple[str, ...]) -> record.Move:
        """Another host for a guest that is on record already, not one of ``without``; in the zone that it asked for.

        NoHost, Undeliverable and GuestUnreadable as in ``choose``.
        """
        asked = plan.asked_by_instance(instance, self._facts(instance.image))
        wanted = Wanted(asked, instance.flavor, instance.asked_zone, tried=without)
        host = choose(wanted, self._pool(wanted, 1))
        taken = self._store.claims(networks=(), hosts=(host.facts.name,)).forwards.get(host.facts.name, frozenset())
        forwards = allocate.forwards(instance.nics, self._ports, taken)
        return record.Move(host.facts.name, host.facts.availability_zone, forwards)

    def must_carry(self, instance: Instance) -> None:
        """Undeliverable or GuestUnreadable, as in ``choose``, when its own host cannot bring in what it asks for."""
        facts = self._store.host_record(str(instance.host)).facts
        plan.choose(plan.asked_by_instance(instance, self._facts(instance.image)), facts.policy, facts.carriages)

    def other_port(self, host: str, taken: Forward) -> Forward:
        ports = self._store.claims(networks=(), hosts=(host,)).forwards.get(host, frozenset()) | {taken.host_port}
        return replace(taken, host_port=allocate.free_port(self._ports, ports))

    def _facts(self, image: Image) -> ImageFacts | None:
        """What some host has found in it; None before the first boot."""
        return None if image.sha256 is None else self._store.image_facts(image.sha256)

    def _pool(self, wanted: Wanted, size: int) -> list[HostRecord]:
        """The least loaded hosts that will do, ``size`` of them if there are so many; never none.

        A batch of that size needs no more of them: each guest goes to the least loaded of those that are left.
        """
        pool: list[HostRecord] = []
        refusal: InjectorError | None = None
        for page in self._pages(wanted, min(max(size, _FIRST_PAGE), _PAGE)):
            try:
                pool += able(wanted, page)
            except (NoHost, Undeliverable, GuestUnreadable) as error:
                refusal = refusal or error
            if len(pool) >= size:
                return pool[:size]
        if not pool:
            raise refusal or self._none(wanted)
        return pool

    def _pages(self, wanted: Wanted, size: int) -> Iterator[tuple[HostRecord, ...]]:
        """The first has ``size`` hosts of all kinds. Who wants more is given those of the kinds that can build it."""
        after: HostRecord | None = None
        kinds: tuple[str, ...] | None = None
        while True:
            page = self._store.candidates(
                wanted.need,
                zone=wanted.availability_zone,
                without=wanted.tried,
                alive_within=self._settings.host_down_after,
                after=after,
                limit=size,
                kinds=kinds,
            )
            if not page:
                return
            yield page
            after, size = page[-1], _PAGE
            if kinds is None:
                kinds = tuple(kind for kind, facts in self._store.kinds().items() if could_build(wanted, facts))

    def _none(self, wanted: Wanted) -> NoHost:
        """Why there is nobody to ask, in words for whoever wonders at night."""
        zone = wanted.availability_zone
        census, field = self._store.census(zone, self._settings.host_down_after), "availability_zone" if zone else None
        if not census.known:
            where = f" in zone {zone}" if zone else ""
            return NoHost(f"no host has reported itself yet{where}", field=field)
        if not census.ready:
            why = f"{census.known} known, {census.silent} silent, {census.disabled} disabled"
            return NoHost(f"no host is up and enabled: {why}", field=field)
        return no_room(wanted)


class _Batch:
    """What the database says is taken, and what this batch has taken so far."""

    def __init__(self, store: Store, requests: tuple[BootRequest, ...], ports: range) -> None:
        networks = {order.network.id for request in requests for order in request.nics}
        self._store = store
        self._ports = ports
        self._addresses = {
            network: set(taken) for network, taken in store.claims(networks=networks, hosts=()).addresses.items()
        }
        self._forwards: dict[str, set[int]] = {}
        self.wanted: Wanted | None = None
        self.pool: list[HostRecord] = []

    def plug(self, order: NicOrder) -> Nic:
        taken = self._addresses.setdefault(order.network.id, set())
        nic = allocate.plug(order, taken)
        taken.update(address.ip for address in nic.addresses if address.ip is not None)
        return nic

    def choose(self, wanted: Wanted) -> HostRecord:
        """The guests of a batch ask for the same, so that hosts found for the first will do for all."""
        host = least_loaded(wanted, self.pool)
        self.pool = [one.holding(wanted.need) if one is host else one for one in self.pool]
        return host

    def forward(self, host: str, nics: tuple[Nic, ...]) -> tuple[Forward, ...]:
        if not any(nic.network.forwards for nic in nics):
            return ()
        if host not in self._forwards:
            claims = self._store.claims(networks=(), hosts=(host,))
            self._forwards[host] = set(claims.forwards.get(host, frozenset()))
        made = allocate.forwards(nics, self._ports, self._forwards[host])
        self._forwards[host].update(forward.host_port for forward in made)
        return made


def _first_record(
    context: Context, request: BootRequest, host: HostRecord, nics: tuple[Nic, ...], forwards: tuple[Forward, ...]
) -> Instance:
    now = datetime.now(UTC)
    return Instance(
        id=request.instance_id,
        name=request.name,
        hostname=request.hostname,
        project_id=request.project_id,
        user_id=request.user_id,
        reservation_id=request.reservation_id,
        image=request.image,
        flavor=request.flavor,
        payload=request.payload,
        created_at=now,
        updated_at=now,
        kernel=request.kernel,
        ramdisk=request.ramdisk,
        key=request.key,
        more_keys=request.more_keys,
        metadata=request.metadata,
        asked_metadata=request.metadata,
        items=request.items,
        nics=nics,
        disk_tag=request.disk_tag,
        forwards=forwards,
        config_drive=request.config_drive,
        availability_zone=host.facts.availability_zone,
        asked_zone=request.availability_zone,
        launch_index=request.launch_index,
        host=host.facts.name,
        marks=(Mark(Step.SCHEDULE, now),),
        request_id=context.request_id,
        findings=request.findings,
    )
