"""The hosts: what they say of themselves, what the operator decides about them, and guests whose host is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from injector.db import Store
from injector.dispatcher import record
from injector.dispatcher.bell import Bell
from injector.dispatcher.choose import room_of
from injector.dispatcher.placement import Placement
from injector.errors import Conflict, GuestError, NoHost, NotFound, StaleError, Undeliverable
from injector.model.context import Context
from injector.model.host import HostFacts
from injector.model.instance import MAKING, Fault, Instance, State
from injector.model.report import Settled
from injector.settings import DispatcherSettings

LOG = logging.getLogger(__name__)

_CLAIM_ATTEMPTS = 5
_NOWHERE = "its host is not heard of any more, and no other host can take it"


class Fleet:
    """Moves only what cannot run twice: a build that was not yet allowed to start, or what an operator gave up."""

    def __init__(self, store: Store, placement: Placement, bell: Bell, settings: DispatcherSettings) -> None:
        self._store = store
        self._placement = placement
        self._bell = bell
        self._settings = settings

    def report(self, facts: HostFacts) -> None:
        self._store.save_host(facts, room_of(facts, self._settings))

    def enable(self, context: Context, host: str, enabled: bool, reason: str | None) -> None:
        LOG.info("host %s: %s by %s", host, "enabled" if enabled else "disabled", context.user_id)
        self._store.enable_host(host, enabled, reason)

    def drain(self, context: Context, host: str, reason: str | None) -> tuple[str, ...]:
        """Guests that were launched stay: their disks are there. The operator stops or deletes them."""
        self.enable(context, host, False, reason)
        for instance in self._store.instances(host=host):
            if record.movable(instance):
                self._leave(instance, "its host is drained")
        return tuple(one.id for one in self._store.instances(host=host) if one.holds_claims)

    def evacuate(self, context: Context, host: str) -> tuple[str, ...]:
        self._must_be_silent(host)
        LOG.warning("host %s: given up by %s; its guests are made anew elsewhere", host, context.user_id)
        self._store.enable_host(host, False, "evacuated: it was given up for dead")
        return tuple(one.id for one in self._store.instances(host=host) if self._evacuated(one))

    def forget(self, context: Context, host: str) -> None:
        self._must_be_silent(host)
        LOG.info("host %s: forgotten by %s", host, context.user_id)
        self._store.forget_host(host)

    def _must_be_silent(self, host: str) -> None:
        silent = self._store.host_record(host).silent
        if silent < self._settings.host_down_after:
            raise Conflict(f"Host {host} is alive: it was heard of {silent:.0f} s ago.", field="host")

    # builds that move

    def move_on(self, instance: Instance, fault: Fault) -> bool:
        """Have a build that failed go on on another host; whether it does. False when there is none, or were enough."""
        if instance.host is None or len(instance.tried) + 1 >= self._settings.max_attempts:
            return False
        host, attempt = instance.host, instance.attempt

        def decide(seen: Instance, move: record.Move) -> Instance:
            record.must_be_of_this_making(seen, fault)
            return record.moved(seen, host, attempt, move)

        return self._moves(instance, (*instance.tried, host), decide, f"{host} failed ({fault.message})")

    def lost(self) -> frozenset[str] | None:
        """The hosts that are not heard of; None when nobody is: then it is not the hosts' fault.

        When a bus falls silent, its hosts are lost one after the other, each when its time is over. So half of that
        time without a word from anybody says that already.
        """
        silent = self._store.silent_hosts(self._settings.host_down_after)
        if silent and not self._store.census(None, self._settings.host_down_after / 2).heard:
            return None
        return silent

    def leave(self, lost: frozenset[str]) -> None:
        """Move builds away from these hosts.

        A build that nobody else can take fails, unless it was allowed to start: then nobody knows what became of it.
        """
        if not lost:
            return
        for instance in self._store.on_hosts(lost, frozenset({State.BUILDING})):
            if record.movable(instance) and not self._leave(instance, "its host is not heard of"):
                self._give_up(instance)

    def _leave(self, instance: Instance, why: str) -> bool:
        if instance.host is None:
            return False
        host, attempt = instance.host, instance.attempt

        def decide(seen: Instance, move: record.Move) -> Instance:
            if not record.movable(seen):
                raise StaleError(f"instance {seen.id} was allowed to start meanwhile")
            return record.moved(seen, host, attempt, move)

        return self._moves(instance, (*instance.tried, host), decide, why)

    def _give_up(self, instance: Instance) -> None:
        def decide(seen: Instance) -> Instance:
            if (seen.host, seen.attempt) != (instance.host, instance.attempt) or not record.movable(seen):
                raise StaleError(f"instance {seen.id} has moved on")
            return seen.advance(State.ERROR, fault=Fault(503, _NOWHERE, datetime.now(UTC)))

        try:
            self._store.change(instance.id, decide)
        except (StaleError, NotFound) as error:
            LOG.info("instance %s: not given up: %s", instance.id, error)

    def _evacuated(self, instance: Instance) -> bool:
        host, attempt = str(instance.host), instance.attempt
        if instance.state is State.DELETING:
            gone = Settled(State.DELETED, datetime.now(UTC))
            self._store.change(instance.id, lambda seen: record.taken_by(seen, host, attempt, gone))
            return False
        if not instance.may_run and instance.state not in MAKING:
            return False
        now = datetime.now(UTC)
        why = "its host was given up"
        return self._moves(instance, (host,), lambda seen, move: record.evacuated(seen, host, attempt, move, now), why)

    def _moves(
        self,
        instance: Instance,
        without: tuple[str, ...],
        decide: Callable[[Instance, record.Move], Instance],
        why: str,
    ) -> bool:
        for _ in range(_CLAIM_ATTEMPTS):
            try:
                move = self._placement.elsewhere(instance, without)
                after = self._store.change(instance.id, _to(move, decide))
            except (NoHost, Undeliverable, GuestError, Conflict) as error:
                LOG.warning("instance %s: %s, and it cannot go elsewhere: %s", instance.id, why, error)
                return False
            except NotFound:
                return False
            except StaleError as error:
                LOG.info("instance %s: %s; not moved yet: %s", instance.id, why, error)
                continue
            LOG.warning("instance %s: %s, so %s makes it (attempt %d)", instance.id, why, move.host, after.attempt)
            self._bell.ring(after)
            return True
        return False


def _to(move: record.Move, decide: Callable[[Instance, record.Move], Instance]) -> Callable[[Instance], Instance]:
    return lambda seen: decide(seen, move)
