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
from injector.compute.answers import answered
from injector.compute.journal import Intent, Journal
from injector.compute.lanes import Build, Lanes
from injector.compute.pulse import Pulse
from injector.compute.verdict import Action, Judgement, judge
from injector.compute.watch import Watch
from injector.errors import HostError, InjectorError, NotFound, Unanswered
from injector.model.context import Context
from injector.model.generation import Difference, Inspection
from injector.model.host import HostFacts
from injector.model.hostile import harmless
from injector.model.instance import MAKING, WORKING, Instance, State, Step
from injector.model.preview import Preview
from injector.model.report import Failed, Refreshed, Report, Settled
from injector.rpc.dispatcher import Dispatcher, new_call
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
        self._pulse = Pulse(host.dispatcher, self.facts, settings.host, settings.compute.report_interval)
        self._patrol = threading.Thread(target=self._patrol_loop, name="compute-patrol", daemon=True)

    def start(self) -> None:
        """Report this host, finish or undo what was interrupted, and begin to watch.

        HostError when the dispatcher does not answer, or the hypervisor; it may be tried again then.
        """
        self._host.dispatcher.host_report(self.facts())
        self._mend()
        self._host.driver.listen(self._heard)
        self._pulse.start()
        self._watch.start()
        self._patrol.start()

    def stop(self) -> None:
        """Builds in flight get ``shutdown_timeout`` to finish; then they are undone at their next step."""
        self._watch.stop()
        deadline = time.monotonic() + self._settings.shutdown_timeout
        while not self._lanes.idle and time.monotonic() < deadline:
            time.sleep(0.02)
        # Not earlier: a host that is still building must not count as down.
        self._pulse.stop()
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

    def _heard(self, instance_id: str) -> None:
        """The hypervisor says that something became of a guest; asked for by us or not, the record has to agree."""
        self._lanes.enter(instance_id, self._look)

    def _look(self, instance_id: str) -> Build | None:
        """Read the record and do what it says. A compute that cannot reach the record does nothing."""
        instance = self._assignment(instance_id)
        if instance is None:
            self._host.driver.destroy(instance_id)
        elif instance.state in MAKING:
            return functools.partial(self._do, instance)
        elif instance.state in WORKING:
            self._do(instance)
        elif not instance.holds_claims:
            self._undo(instance)
        elif instance.launched_at is not None:
            self._agree(instance)
        return None

    def _do(self, instance: Instance) -> None:
        with request_scope(Context(instance.request_id, instance.user_id, instance.project_id)):
            self._work(instance)

    def _work(self, instance: Instance) -> None:
        driver = self._host.driver
        works: dict[State, Callable[[Instance], None]] = {
            State.BUILDING: self._build,
            State.REBUILDING: self._build,
            State.STOPPING: self._stop_guest,
            State.STARTING: self._start_guest,
            State.REBOOTING: lambda seen: self._reboot_guest(seen, hard=False),
            State.REBOOTING_HARD: lambda seen: self._reboot_guest(seen, hard=True),
            State.PAUSING: lambda seen: self._switch(seen, driver.pause, State.PAUSED),
            State.UNPAUSING: lambda seen: self._switch(seen, driver.unpause, State.ACTIVE),
            State.SUSPENDING: lambda seen: self._switch(seen, driver.suspend, State.SUSPENDED),
            State.RESUMING: lambda seen: self._switch(seen, driver.resume, State.ACTIVE),
            State.REFRESHING: self._refresh_drive,
            State.DELETING: self._delete,
        }
        work = works[instance.state]
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
        except Unanswered:
            # What was begun is undone already, and what recall found runs.
            raise
        except BaseException:
            if not recipe.untouched(self._host.journal, instance):
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

    def _switch(self, instance: Instance, act: Callable[[Instance], None], state: State) -> None:
        """What the guest does not notice, or only by its clock: it is the same boot, and is still watched."""
        act(instance)
        self._found(instance, state)

    def _found(self, instance: Instance, state: State) -> None:
        """Of a guest that runs, the record then forgets what it said."""
        self._tell(instance, Settled(state, datetime.now(UTC), seen=instance.state))
        if state is State.ACTIVE:
            self._watch.unsaid(instance.id)

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
        self._tell(instance, Settled(state, datetime.now(UTC), seen=instance.state))
        if state is State.ACTIVE:
            self._watch.begin(instance)

    def _fail(self, instance: Instance, judgement: Judgement, error: BaseException) -> None:
        if judgement.action is Action.LET_GO:
            LOG.info("instance %s: %s is let go: %s", instance.id, instance.state.value, error)
            return
        detail = getattr(error, "detail", None)
        if judgement.action is Action.LATER:
            LOG.warning(
                "instance %s: %s is let go, and done again when it is rung for: %s (%s)",
                instance.id,
                instance.state.value,
                error,
                detail or "-",
            )
            return
        if instance.state in MAKING and self._may_run(instance):
            LOG.warning(
                "instance %s: %s failed, but its guest may run and cannot be undone now; it will be looked at again: "
                "%s (%s)",
                instance.id,
                instance.state.value,
                error,
                detail or "-",
            )
            return
        LOG.error(
            "instance %s: %s failed: %s (%s) -> %s",
            instance.id,
            instance.state.value,
            error,
            detail or "-",
            judgement.action.value,
            exc_info=error if judgement.unforeseen else None,
        )
        elsewhere = judgement.action is Action.ELSEWHERE and instance.state is State.BUILDING
        try:
            after = self._state_after_failure(instance)
            self._tell(instance, Failed(judgement.fault, elsewhere, after, seen=instance.state))
        except HostError as unknown:  # by the hypervisor, or Unanswered
            LOG.warning("instance %s: that cannot be told yet, it will be rung: %s", instance.id, unknown)

    def _may_run(self, instance: Instance) -> bool:
        """Whether a guest of this attempt was about to start, and is not known to be gone.

        To tell of a failure then would let it start elsewhere, or be taken for what was asked.
        """
        try:
            begun = self._host.journal.read(instance.id)
            if begun is None or begun.attempt != instance.attempt or begun.step not in (Step.START, Step.RUNNING):
                return False
        except OSError as error:
            LOG.warning("instance %s: its journal cannot be read; the hypervisor is asked: %s", instance.id, error)
        try:
            return self._host.driver.state(instance.id) is not None
        except HostError:
            return True

    def _state_after_failure(self, instance: Instance) -> State:
        """HostError when the hypervisor does not say: then the work stays to be done, and is rung for again."""
        if instance.state in (*MAKING, State.DELETING):
            return State.ERROR
        return self._host.driver.state(instance.id) or State.ERROR

    # the dispatcher

    def _assignment(self, instance_id: str) -> Instance | None:
        return self._host.dispatcher.assignment(self._name, instance_id)

    def _tell(self, instance: Instance, report: Report) -> bool:
        """Report, again and again for a while when the dispatcher does not answer: reports may be repeated.

        Unanswered when nobody has taken it then.
        """
        report_to = answered(functools.partial(_PATIENCE, self._host.dispatcher.report))
        return report_to(self._name, instance.id, instance.attempt, report, new_call())

    # what an interruption left behind

    def _mend(self) -> None:
        """Undo what no record asks for, ring for what was interrupted, and make guests and records agree."""
        found = self._host.driver.local()
        assigned = {instance.id: instance for instance in self._host.dispatcher.assignments(self._name)}
        for instance_id in found - assigned.keys():
            if not self._lanes.busy(instance_id):
                LOG.warning("instance %s: nothing asks for it here; it is removed", instance_id)
                self.ring(instance_id)
        # In lanes: a guest that hangs costs a worker, not the patrol or the start of the daemon.
        for instance in assigned.values():
            if instance.holds_claims or instance.id in found:
                self.ring(instance.id)

    def _agree(self, instance: Instance) -> None:
        """Where the hypervisor and the record differ, the hypervisor is right."""
        try:
            self._compare(instance)
        except InjectorError as error:
            LOG.warning("instance %s: cannot be compared with its record: %s", instance.id, error)

    def _compare(self, instance: Instance) -> None:
        state = self._host.driver.state(instance.id)
        if instance.superseded:
            # Whatever becomes of it, it is not what the record speaks of.
            return
        if state is None and instance.state is not State.ERROR:
            fault = judge(HostError("the guest is gone from its host"), datetime.now(UTC)).fault
            self._tell(instance, Failed(fault, seen=instance.state))
        elif state is not None and state is not instance.state:
            self._found(instance, state)
        elif state is State.ACTIVE:
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
        assigned = self._host.dispatcher.assignments(self._name)
        if any(instance.superseded and self._host.driver.state(instance.id) is not None for instance in assigned):
            # The disk of such a guest lies over an image that no record names any more.
            return
        used = {
            image.sha256
            for instance in assigned
            for image in (instance.image, instance.kernel, instance.ramdisk)
            if image is not None and image.sha256 is not None
        }
        self._host.prune(frozenset(used))
