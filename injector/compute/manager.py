"""One host's compute: answers the bell, works on its instances, and mends what an interruption left behind."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from injector.compute import recipe
from injector.compute.journal import Intent, Journal
from injector.compute.lanes import Build, Lanes
from injector.compute.verdict import Action, Judgement, judge
from injector.compute.watch import Watch
from injector.errors import HostError, InjectorError, NotFound
from injector.model.context import Context
from injector.model.generation import Difference, Inspection
from injector.model.host import HostFacts
from injector.model.hostile import harmless
from injector.model.instance import WORKING, Instance, State, Step
from injector.model.preview import Preview
from injector.model.report import Failed, Refreshed, Report, Settled
from injector.rpc.dispatcher import Dispatcher
from injector.rpc.scope import request_scope
from injector.settings import Settings
from injector.system.vault import Vault
from injector.virt.driver import Driver, Order

LOG = logging.getLogger(__name__)

CONSOLE_LIMIT = 100 * 1024
_ACTIONS = 8
_TELL_SECONDS = 30.0
_PATROL_SECONDS = 5.0
_PATIENCE = Retrying(
    retry=retry_if_exception_type(HostError),
    stop=stop_after_delay(_TELL_SECONDS),
    wait=wait_exponential(multiplier=0.1, max=5),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Host:
    """What one compute works with. ``prune`` empties the image cache of what no instance uses (digests)."""

    driver: Driver
    dispatcher: Dispatcher
    vault: Vault
    journal: Journal
    prune: Callable[[frozenset[str]], None]


class ComputeManager:
    """Implements ``injector.rpc.compute.Compute`` on one host."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self._host = host
        self._name = settings.host
        self._settings = settings
        self._lanes = Lanes(settings.compute.max_concurrent_builds, _ACTIONS)
        self._closing = threading.Event()
        self._watch = Watch(host.driver, self._tell, settings.compute)
        self._kitchen = recipe.Kitchen(host.driver, host.vault, host.journal, self._tell, self._closing)
        self._patrol = threading.Thread(target=self._patrol_loop, name="compute-patrol", daemon=True)

    def start(self) -> None:
        """Report this host, finish or undo what was interrupted, and begin to watch."""
        self._host.dispatcher.host_report(self.facts())
        self._mend()
        self._watch.start()
        self._patrol.start()

    def stop(self) -> None:
        """Builds in flight get ``shutdown_timeout`` to finish; then they are undone at their next step."""
        self._watch.stop()
        deadline = time.monotonic() + self._settings.shutdown_timeout
        while not self._lanes.idle and time.monotonic() < deadline:
            time.sleep(0.02)
        self._closing.set()
        self._lanes.close()
        if self._patrol.is_alive():
            self._patrol.join(_PATROL_SECONDS)

    # what others ask

    def ring(self, instance_id: str) -> None:
        self._lanes.enter(instance_id, self._look)

    def console(self, instance_id: str, length: int) -> str:
        if self._assignment(instance_id) is None:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        wanted = CONSOLE_LIMIT if length < 0 else min(length, CONSOLE_LIMIT)
        return harmless(self._host.driver.console(instance_id, wanted), wanted)

    def preview(self, instance: Instance) -> Preview:
        if instance.payload is None:
            raise HostError("the record came without its payload")
        payload = self._host.vault.unseal(instance.id, instance.payload)
        return self._host.driver.preview(Order(instance, payload))

    def verify(self, instance_id: str) -> Inspection:
        instance = self._assignment(instance_id)
        if instance is None:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        return self._host.driver.verify(instance)

    def differences(self, instance_id: str) -> tuple[Difference, ...]:
        instance = self._assignment(instance_id)
        if instance is None:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        return self._host.driver.differences(instance)

    def facts(self) -> HostFacts:
        return self._host.driver.facts()

    # the work

    def _look(self, instance_id: str) -> Build | None:
        """Read the record and do what it says. A compute that cannot reach the record does nothing."""
        instance = self._assignment(instance_id)
        if instance is None:
            self._host.driver.destroy(instance_id)
            return None
        if instance.state is State.BUILDING:
            return functools.partial(self._do, instance)
        self._do(instance)
        return None

    def _do(self, instance: Instance) -> None:
        with request_scope(Context(instance.request_id, instance.user_id, instance.project_id)):
            self._work(instance)

    def _work(self, instance: Instance) -> None:
        works: dict[State, Callable[[Instance], None]] = {
            State.BUILDING: self._build,
            State.STOPPING: self._stop_guest,
            State.STARTING: self._start_guest,
            State.REBOOTING: lambda seen: self._reboot_guest(seen, hard=False),
            State.REBOOTING_HARD: lambda seen: self._reboot_guest(seen, hard=True),
            State.REFRESHING: self._refresh_drive,
            State.DELETING: self._delete,
        }
        work = works.get(instance.state)
        if work is None:
            return
        started = time.monotonic()
        LOG.info("instance %s: %s", instance.id, instance.state.value)
        try:
            work(instance)
        except BaseException as error:
            self._fail(instance, judge(error, datetime.now(UTC)), error)
            if not isinstance(error, Exception):
                raise
        else:
            LOG.info("instance %s: %s took %.3f s", instance.id, instance.state.value, time.monotonic() - started)

    def _build(self, instance: Instance) -> None:
        try:
            running = recipe.build(self._kitchen, instance)
        except BaseException:
            self._undo(instance)
            raise
        # With the plan: without it nobody could tell that the guest never saw its drive.
        self._watch.begin(running)

    def _undo(self, instance: Instance) -> None:
        """The driver has undone its own; what goes now is the journal, and what it could not reach."""
        try:
            self._host.driver.destroy(instance.id)
        except HostError as error:
            LOG.warning("instance %s: not all is undone, it will be: %s", instance.id, error)

    def _stop_guest(self, instance: Instance) -> None:
        self._watch.forget(instance.id)
        self._host.driver.stop(instance)
        self._settled(instance, State.STOPPED)

    def _start_guest(self, instance: Instance) -> None:
        self._watch.forget(instance.id)
        self._host.driver.start(instance)
        self._settled(instance, State.ACTIVE)

    def _reboot_guest(self, instance: Instance, *, hard: bool) -> None:
        self._watch.forget(instance.id)
        self._host.driver.reboot(instance, hard=hard)
        self._settled(instance, State.ACTIVE)

    def _refresh_drive(self, instance: Instance) -> None:
        """The journal says that it was begun; what was made so far lies beside the guest's files, to be found again."""
        before = self._host.journal.read(instance.id)
        if before is not None and before.step is Step.DELIVER:
            LOG.warning("instance %s: its new config drive was interrupted; begun again", instance.id)
        self._host.journal.write(instance.id, Intent(instance.attempt, Step.DELIVER))
        given = self._host.driver.refresh(instance)
        self._host.journal.write(instance.id, Intent(instance.attempt, Step.RUNNING))
        state = self._host.driver.state(instance.id) or State.ERROR
        if self._tell(instance, Refreshed(given.generation, given.inserted, state)):
            self._host.driver.prune(instance.id, given.inserted)

    def _delete(self, instance: Instance) -> None:
        self._watch.forget(instance.id)
        self._host.driver.destroy(instance.id)
        self._settled(instance, State.DELETED)

    def _settled(self, instance: Instance, state: State) -> None:
        self._tell(instance, Settled(state, datetime.now(UTC)))
        if state is State.ACTIVE:
            self._watch.begin(instance)

    def _fail(self, instance: Instance, judgement: Judgement, error: BaseException) -> None:
        detail = getattr(error, "detail", None)
        LOG.error(
            "instance %s: %s failed: %s (%s) -> %s",
            instance.id,
            instance.state.value,
            error,
            detail or "-",
            judgement.action.value,
            exc_info=error if judgement.ours else None,
        )
        if judgement.action is Action.LET_GO:
            return
        elsewhere = judgement.action is Action.ELSEWHERE and instance.state is State.BUILDING
        try:
            self._tell(instance, Failed(judgement.fault, elsewhere, self._state_after_failure(instance)))
        except HostError as unknown:
            LOG.warning("instance %s: that cannot be told yet, it will be rung: %s", instance.id, unknown)

    def _state_after_failure(self, instance: Instance) -> State:
        """HostError when the hypervisor does not say: then the work stays to be done, and is rung for again."""
        if instance.state in (State.BUILDING, State.DELETING):
            return State.ERROR
        return self._host.driver.state(instance.id) or State.ERROR

    # the dispatcher

    def _assignment(self, instance_id: str) -> Instance | None:
        return self._host.dispatcher.assignment(self._name, instance_id)

    def _tell(self, instance: Instance, report: Report) -> bool:
        """Report, again and again for a while when the dispatcher does not answer: reports may be repeated."""
        return _PATIENCE(self._host.dispatcher.report, self._name, instance.id, instance.attempt, report)

    # what an interruption left behind

    def _mend(self) -> None:
        """Undo what no record asks for, ring for what was interrupted, and make guests and records agree."""
        found = self._host.driver.local()
        assigned = {instance.id: instance for instance in self._host.dispatcher.assignments(self._name)}
        for instance_id in found - assigned.keys():
            if not self._lanes.busy(instance_id):
                LOG.warning("instance %s: nothing asks for it here; it is removed", instance_id)
                self._lanes.enter(instance_id, self._look)
        for instance in assigned.values():
            if instance.state in WORKING:
                self.ring(instance.id)
            elif not instance.holds_claims and instance.id in found:
                self._undo(instance)
            elif instance.launched_at is not None:
                # In a lane: a guest that hangs costs a worker, not the patrol or the start of the daemon.
                self._lanes.enter(instance.id, self._agree)

    def _agree(self, instance_id: str) -> Build | None:
        """Where the hypervisor and the record differ, the hypervisor is right."""
        instance = self._assignment(instance_id)
        if instance is None or instance.state in WORKING:
            return self._look(instance_id)
        try:
            self._compare(instance)
        except InjectorError as error:
            LOG.warning("instance %s: cannot be compared with its record: %s", instance_id, error)
        return None

    def _compare(self, instance: Instance) -> None:
        seen = self._host.driver.state(instance.id)
        if seen is None and instance.state is not State.ERROR:
            fault = judge(HostError("the guest is gone from its host"), datetime.now(UTC)).fault
            self._tell(instance, Failed(fault))
        elif seen is not None and seen is not instance.state:
            self._tell(instance, Settled(seen, datetime.now(UTC)))
        elif seen is State.ACTIVE:
            if not instance.guest.state.final:
                self._watch.go_on(instance)
            self._host.driver.mend_forwards(instance)

    def _patrol_loop(self) -> None:
        while not self._closing.wait(self._settings.compute.reconcile_interval):
            try:
                self.reconcile()
            except InjectorError as error:
                LOG.warning("the host could not be looked over: %s (%s)", error, error.detail or "-")
            except Exception:
                # The patrol must outlive whatever went wrong once.
                LOG.exception("the host could not be looked over")

    def reconcile(self) -> None:
        """Report the host, make guests and records agree, and let unused base images go."""
        self._host.dispatcher.host_report(self.facts())
        self._mend()
        used = {
            image.sha256
            for instance in self._host.dispatcher.assignments(self._name)
            for image in (instance.image, instance.kernel, instance.ramdisk)
            if image is not None and image.sha256 is not None
        }
        self._host.prune(frozenset(used))
