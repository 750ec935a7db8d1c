"""The dispatcher: the only writer of instances, claims and addresses; rings computes, and rings again."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from injector.db.store import Claims, GenerationChange, Store
from injector.dispatcher import record
from injector.dispatcher.choose import Wanted, choose
from injector.errors import GuestError, InjectorError, NoHost, NotFound, StaleError, Undeliverable
from injector.inject import plan
from injector.model.boot import BootRequest, NicOrder
from injector.model.context import Context
from injector.model.facts import ImageFacts
from injector.model.generation import Drive, Generation, IdPolicy, Refresh
from injector.model.host import HostFacts, Usage
from injector.model.image import Image
from injector.model.instance import WORKING, Instance, Mark, State, Step
from injector.model.network import Forward, Nic
from injector.model.report import Failed, Launched, Refreshed, Report, Witnessed
from injector.network import allocate
from injector.settings import DispatcherSettings

LOG = logging.getLogger(__name__)

_CLAIM_ATTEMPTS = 5

Ring = Callable[[str, str], None]
"""Tells a host (first) to look at an instance (second)."""


class DispatcherManager:
    """Implements ``injector.rpc.dispatcher.Dispatcher`` over a store."""

    def __init__(self, store: Store, ring: Ring, settings: DispatcherSettings) -> None:
        self._store = store
        self._ring_host = ring
        self._settings = settings
        self._ports = range(settings.forward_first_port, settings.forward_last_port + 1)
        self._stopping = threading.Event()
        self._patrol = threading.Thread(target=self._patrol_loop, name="dispatcher-patrol", daemon=True)

    def start(self) -> None:
        self._patrol.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._patrol.is_alive():
            self._patrol.join()

    # what the api asks

    def build(self, context: Context, requests: tuple[BootRequest, ...], minimum: int) -> tuple[Instance, ...]:
        instances = self._record(context, requests, minimum)
        for instance in instances:
            self._ring(instance)
        return instances

    def place(self, context: Context, request: BootRequest) -> Instance:
        (instance,) = self._place_all(context, (request,), 1)
        return instance

    def act(self, context: Context, instance_id: str, state: State) -> Instance:
        LOG.info("instance %s: %s asked by %s", instance_id, state.value, context.user_id)
        instance = self._store.change(instance_id, lambda seen: record.begun(seen, state))
        self._ring(instance)
        return instance

    def set_metadata(self, context: Context, instance_id: str, metadata: Mapping[str, str]) -> Instance:
        LOG.info("instance %s: metadata set by %s", instance_id, context.user_id)
        return self._store.change(instance_id, lambda seen: replace(seen, metadata=dict(metadata)))

    def refresh(self, context: Context, instance_id: str, policy: IdPolicy | None, to: int | None) -> Instance:
        LOG.info("instance %s: another config drive asked for by %s", instance_id, context.user_id)
        if to is not None:
            record.must_be_kept(to, self._store.generations(instance_id))
        new = str(uuid.uuid4()) if policy is IdPolicy.NEW else None
        wanted = Refresh(to or 0, datetime.now(UTC), running=False, policy=policy, uuid=new)
        instance = self._store.change(instance_id, lambda seen: record.refreshing(seen, wanted))
        self._ring(instance)
        return instance

    # what computes ask and tell

    def assignment(self, host: str, instance_id: str) -> Instance | None:
        try:
            instance = self._store.instance(instance_id)
        except NotFound:
            return None
        if instance.host != host:
            return None
        if instance.state is not State.BUILDING:
            return instance
        return replace(instance, payload=self._store.payload(instance_id))

    def assignments(self, host: str) -> tuple[Instance, ...]:
        return self._store.instances(host=host)

    def report(self, host: str, instance_id: str, attempt: int, report: Report) -> bool:
        try:
            if isinstance(report, Failed) and report.elsewhere and self._moved(host, instance_id, attempt, report):
                return True
            made = self._generation_after(instance_id, report)
            change = None if made is None else GenerationChange(made, self._settings.keep_generations)
            self._store.change(instance_id, lambda seen: record.taken_by(seen, host, attempt, report), change)
        except (StaleError, NotFound) as error:
            LOG.info("%s of %s, attempt %s: let go: %s", type(report).__name__, host, attempt, error)
            return False
        return True

    def _generation_after(self, instance_id: str, report: Report) -> Generation | None:
        """What a report makes or changes of the generations."""
        if isinstance(report, Launched | Refreshed):
            return report.generation
        if not isinstance(report, Witnessed) or not report.items:
            return None
        seen = (one for one in self._store.generations(instance_id) if one.number == report.generation)
        found = next(seen, None)
        return found and replace(found, receipt=found.receipt.witnessed(report.items))

    def drive(self, host: str, instance_id: str) -> Drive:
        if self._store.instance(instance_id).host != host:
            raise NotFound(f"Instance {instance_id} is not on this host.", field="server")
        return Drive(self._store.payload(instance_id), self._store.generations(instance_id))

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Forward) -> Forward:
        ports = self._store.claims().forwards.get(host, frozenset()) | {taken.host_port}
        found = replace(taken, host_port=allocate.free_port(self._ports, ports))

        def decide(seen: Instance) -> Instance:
            if (seen.host, seen.attempt) != (host, attempt) or taken not in seen.forwards:
                raise StaleError(f"instance {instance_id} has no such forward any more")
            return replace(seen, forwards=tuple(found if one == taken else one for one in seen.forwards))

        self._store.change(instance_id, decide)
        return found

    def host_report(self, facts: HostFacts) -> None:
        self._store.save_host(facts)

    def image_report(self, sha256: str, facts: ImageFacts) -> None:
        self._store.save_image_facts(sha256, facts)

    # how a request becomes records

    def _record(self, context: Context, requests: tuple[BootRequest, ...], minimum: int) -> tuple[Instance, ...]:
        lost = StaleError("no request")
        for _ in range(_CLAIM_ATTEMPTS):
            instances = self._place_all(context, requests, minimum)
            try:
                self._store.add_instances(instances)
            except StaleError as error:
                lost = error
            else:
                return tuple(replace(instance, payload=None) for instance in instances)
        raise lost

    def _place_all(self, context: Context, requests: tuple[BootRequest, ...], minimum: int) -> tuple[Instance, ...]:
        hosts, usage, claims = self._store.hosts(), dict(self._store.usage()), _Taken(self._store.claims())
        placed: list[Instance] = []
        for request in requests:
            try:
                instance = self._place(context, request, hosts, usage, claims)
            except InjectorError:
                if len(placed) < max(minimum, 1):
                    raise
                break
            placed.append(instance)
        return tuple(placed)

    def _place(
        self,
        context: Context,
        request: BootRequest,
        hosts: tuple[HostFacts, ...],
        usage: dict[str, Usage],
        claims: _Taken,
    ) -> Instance:
        nics = tuple(claims.plug(order.network.id, order) for order in request.nics)
        asked = plan.asked_by_request(request, self._facts(request.image))
        wanted = Wanted(asked, request.flavor, request.availability_zone)
        host = choose(wanted, hosts, usage, self._settings)
        forwards = claims.forward(host.name, nics, self._ports)
        usage[host.name] = usage.get(host.name, Usage()).plus(request.flavor.vcpus, request.flavor.ram)
        return _first_record(context, request, host, nics, forwards)

    def _facts(self, image: Image) -> ImageFacts | None:
        """What some host has found in it; None before the first boot."""
        return None if image.sha256 is None else self._store.image_facts(image.sha256)

    def _moved(self, host: str, instance_id: str, attempt: int, report: Failed) -> bool:
        """Whether a failed build goes on on another host; it does not when there is none, or were enough."""
        instance = self._store.instance(instance_id)
        tried = (*instance.tried, host)
        if instance.state is not State.BUILDING or len(tried) >= self._settings.max_attempts:
            return False
        try:
            asked = plan.asked_by_instance(instance, self._facts(instance.image))
            wanted = Wanted(asked, instance.flavor, tried=tried)
            chosen = choose(wanted, self._store.hosts(), self._store.usage(), self._settings)
        except (NoHost, Undeliverable, GuestError):
            return False
        taken = self._store.claims().forwards.get(chosen.name, frozenset())
        forwards = allocate.forwards(instance.nics, self._ports, taken)

        def decide(seen: Instance) -> Instance:
            if (seen.host, seen.attempt, seen.state) != (host, attempt, State.BUILDING):
                raise StaleError(f"instance {instance_id} is not attempt {attempt} of {host} any more")
            return replace(
                seen, host=chosen.name, attempt=attempt + 1, tried=tried, forwards=forwards, marks=seen.marks[:1]
            )

        moved = self._store.change(instance_id, decide)
        LOG.warning("instance %s: %s failed (%s), trying %s", instance_id, host, report.fault.message, chosen.name)
        self._ring(moved)
        return True

    # the bell

    def _ring(self, instance: Instance) -> None:
        if instance.host is None:
            return
        try:
            self._ring_host(instance.host, instance.id)
        except InjectorError as error:
            LOG.warning("instance %s: %s could not be rung, will be: %s", instance.id, instance.host, error)

    def _patrol_loop(self) -> None:
        while not self._stopping.wait(self._settings.ring_interval):
            try:
                self.ring_silent()
            except Exception:
                # The patrol is what brings stuck work forward; it must outlive whatever went wrong once.
                LOG.exception("the patrol could not look at the records")

    def ring_silent(self) -> None:
        """Ring for all work whose record has been silent for ``ring_interval``."""
        before = datetime.now(UTC) - timedelta(seconds=self._settings.ring_interval)
        for instance in self._store.instances(states=WORKING):
            if instance.updated_at < before:
                self._ring(instance)


class _Taken:
    """The claims of the database and those of this batch so far."""

    def __init__(self, claims: Claims) -> None:
        self._addresses = {network: set(ips) for network, ips in claims.addresses.items()}
        self._forwards = {host: set(ports) for host, ports in claims.forwards.items()}

    def plug(self, network_id: str, order: NicOrder) -> Nic:
        taken = self._addresses.setdefault(network_id, set())
        nic = allocate.plug(order, taken)
        taken.update(address.ip for address in nic.addresses if address.ip is not None)
        return nic

    def forward(self, host: str, nics: tuple[Nic, ...], ports: range) -> tuple[Forward, ...]:
        taken = self._forwards.setdefault(host, set())
        made = allocate.forwards(nics, ports, taken)
        taken.update(forward.host_port for forward in made)
        return made


def _first_record(
    context: Context, request: BootRequest, host: HostFacts, nics: tuple[Nic, ...], forwards: tuple[Forward, ...]
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
        availability_zone=host.availability_zone,
        launch_index=request.launch_index,
        host=host.name,
        marks=(Mark(Step.SCHEDULE, now),),
        request_id=context.request_id,
        findings=request.findings,
    )
