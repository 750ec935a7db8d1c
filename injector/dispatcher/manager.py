"""The dispatcher: the only writer of instances, claims and addresses; rings computes, and rings again."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from injector.db import GenerationChange, Store
from injector.dispatcher import record
from injector.dispatcher.bell import Bell, Ring
from injector.dispatcher.fleet import Fleet
from injector.dispatcher.patrol import Patrol
from injector.dispatcher.placement import Placement
from injector.errors import Conflict, NoRoom, NotFound, StaleError
from injector.model.boot import BootRequest, ClientToken, Rebuild
from injector.model.context import Context
from injector.model.facts import ImageFacts
from injector.model.generation import Drive, IdPolicy, Refresh
from injector.model.host import HostFacts
from injector.model.instance import MAKING, Instance, State
from injector.model.network import Forward
from injector.model.report import Failed, Launched, Refreshed, Report, Witnessed
from injector.settings import DispatcherSettings

LOG = logging.getLogger(__name__)


class DispatcherManager:
    """Implements ``injector.rpc.dispatcher.Dispatcher`` over a store; several of them may share it."""

    def __init__(
        self, store: Store, ring: Ring, settings: DispatcherSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._settings = settings
        self._bell = Bell(ring)
        self._placement = Placement(store, settings)
        self._fleet = Fleet(store, self._placement, self._bell, settings)
        self.patrol = Patrol(store, self._bell, self._fleet, settings, clock)

    def start(self) -> None:
        self.patrol.start()

    def stop(self) -> None:
        self.patrol.stop()

    # what the api asks

    def build(
        self, context: Context, requests: tuple[BootRequest, ...], minimum: int, token: ClientToken | None = None
    ) -> tuple[Instance, ...]:
        instances = self._placement.add(context, requests, minimum, token)
        for instance in instances:
            self._bell.ring(instance)
        return tuple(replace(instance, payload=None) for instance in instances)

    def place(self, context: Context, request: BootRequest) -> Instance:
        (instance,) = self._placement.plan(context, (request,), 1)
        return instance

    def act(self, context: Context, instance_id: str, state: State, call: str = "") -> Instance:
        LOG.info("instance %s: %s asked by %s", instance_id, state.value, context.user_id)
        now = datetime.now(UTC)
        instance = self._store.change(instance_id, lambda seen: record.begun(seen, state, now, call))
        self._bell.ring(instance)
        return instance

    def rebuild(self, context: Context, instance_id: str, wanted: Rebuild, call: str = "") -> Instance:
        LOG.info("instance %s: rebuild asked by %s", instance_id, context.user_id)
        now = datetime.now(UTC)
        # Before anything is recorded: then the record speaks of the guest that is to be, and not of the one there is.
        self._placement.must_carry(record.rebuilding(self._store.instance(instance_id), wanted, now, call))
        try:
            instance = self._store.change(
                instance_id, lambda seen: record.rebuilding(seen, wanted, now, call), payload=wanted.payload
            )
        except NoRoom as error:
            message = f"The host of instance {instance_id} has no room for it with this image."
            raise Conflict(message, field="imageRef") from error
        self._bell.ring(instance)
        return instance

    def set_metadata(
        self, context: Context, instance_id: str, metadata: Mapping[str, str], before: Mapping[str, str] | None = None
    ) -> Instance:
        LOG.info("instance %s: metadata set by %s", instance_id, context.user_id)
        return self._store.change(instance_id, lambda seen: record.described(seen, metadata, before))

    def refresh(
        self, context: Context, instance_id: str, policy: IdPolicy | None, to: int | None, call: str = ""
    ) -> Instance:
        LOG.info("instance %s: another config drive asked for by %s", instance_id, context.user_id)
        if to is not None:
            record.must_be_kept(to, self._store.generations(instance_id))
        new = str(uuid.uuid4()) if policy is IdPolicy.NEW else None
        wanted = Refresh(to or 0, datetime.now(UTC), running=False, policy=policy, uuid=new)
        instance = self._store.change(instance_id, lambda seen: record.refreshing(seen, wanted, call))
        self._bell.ring(instance)
        return instance

    def enable_host(self, context: Context, host: str, enabled: bool, reason: str | None) -> None:
        self._fleet.enable(context, host, enabled, reason)

    def drain_host(self, context: Context, host: str, reason: str | None) -> tuple[str, ...]:
        return self._fleet.drain(context, host, reason)

    def evacuate_host(self, context: Context, host: str) -> tuple[str, ...]:
        return self._fleet.evacuate(context, host)

    def forget_host(self, context: Context, host: str) -> None:
        self._fleet.forget(context, host)

    # what computes ask and tell

    def assignment(self, host: str, instance_id: str) -> Instance | None:
        try:
            instance = self._store.instance(instance_id)
        except NotFound:
            return None
        if instance.host != host:
            return None
        if instance.state not in MAKING:
            return instance
        return replace(instance, payload=self._store.payload(instance_id))

    def assignments(self, host: str) -> tuple[Instance, ...]:
        return self._store.instances(host=host)

    def report(self, host: str, instance_id: str, attempt: int, report: Report, call: str = "") -> bool:
        try:
            if isinstance(report, Failed) and report.elsewhere and self._goes_on(host, instance_id, attempt, report):
                return True
            change = self._generation_after(instance_id, report)
            self._store.change(instance_id, lambda seen: record.taken_by(seen, host, attempt, report, call), change)
        except (StaleError, NotFound) as error:
            LOG.info("%s of %s, attempt %s: let go: %s", type(report).__name__, host, attempt, error)
            return False
        return True

    def _goes_on(self, host: str, instance_id: str, attempt: int, report: Failed) -> bool:
        """Whether a failed build goes on elsewhere; not when the record is of another attempt or state by now.

        StaleError when it has been begun again since.
        """
        instance = self._store.instance(instance_id)
        if (instance.host, instance.attempt, instance.state) != (host, attempt, State.BUILDING):
            return False
        record.must_be_of_this_making(instance, report.fault)
        return self._fleet.move_on(instance, report.fault)

    def _generation_after(self, instance_id: str, report: Report) -> GenerationChange | None:
        """What a report makes or changes of the generations; a guest made anew has none of its earlier ones."""
        if isinstance(report, Launched):
            return GenerationChange(report.generation, fresh=True)
        if isinstance(report, Refreshed):
            return GenerationChange(report.generation, self._settings.keep_generations)
        if not isinstance(report, Witnessed) or not report.items:
            return None
        found = next((one for one in self._store.generations(instance_id) if one.number == report.generation), None)
        if found is None:
            return None
        witnessed = replace(found, receipt=found.receipt.witnessed(report.items))
        return GenerationChange(witnessed, self._settings.keep_generations)

    def drive(self, host: str, instance_id: str) -> Drive:
        if self._store.instance(instance_id).host != host:
            raise NotFound(f"Instance {instance_id} is not on this host.", field="server")
        return Drive(self._store.payload(instance_id), self._store.generations(instance_id))

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Forward) -> Forward:
        """The same again for a question that comes twice."""
        found = self._placement.other_port(host, taken)

        def decide(seen: Instance) -> Instance:
            if (seen.host, seen.attempt) != (host, attempt) or _like(taken, seen) is None:
                raise StaleError(f"instance {instance_id} has no such forward any more")
            return replace(seen, forwards=tuple(found if one == taken else one for one in seen.forwards))

        return _like(taken, self._store.change(instance_id, decide)) or found

    def host_report(self, facts: HostFacts) -> None:
        self._fleet.report(facts)

    def host_alive(self, host: str) -> bool:
        return self._store.host_alive(host)

    def image_report(self, sha256: str, facts: ImageFacts) -> None:
        self._store.save_image_facts(sha256, facts)


def _like(taken: Forward, instance: Instance) -> Forward | None:
    """What leads to the same port of the same card."""
    door = (taken.mac, taken.guest_port)
    return next((one for one in instance.forwards if (one.mac, one.guest_port) == door), None)
