"""A compute without a hypervisor: it does at once what it is rung for, and tells the dispatcher so.

For tests of the stations above it. It keeps consoles and refuses what a real one would refuse. A guest asked for with
metadata ``fate: hold`` stays in BUILD, with ``fate: start`` too, but is allowed to start; ``fate: fail`` ends in ERROR.
While the compute is ``deaf`` it hears no ring.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

from injector.errors import NotFound
from injector.inject.configdrive.gather import Gatherer
from injector.model.generation import Change, Difference, Generation, Inspection, Refresh
from injector.model.host import HostFacts
from injector.model.ingredients import Ingredients
from injector.model.instance import MAKING, Fault, Instance, State, Step
from injector.model.payload import ItemKind
from injector.model.plan import Plan
from injector.model.preview import Preview, PreviewFile
from injector.model.receipt import Outcome, Receipt, ReceiptItem
from injector.model.report import Entering, Failed, Launched, Refreshed, Report, Settled
from injector.rpc.dispatcher import Dispatcher
from injector.settings import DriveSettings
from tests import builders

_PREVIEWED = PreviewFile("openstack/latest/meta_data.json", 2, "hmac-sha256:00")

_SETTLES = {
    State.STOPPING: State.STOPPED,
    State.STARTING: State.ACTIVE,
    State.REBOOTING: State.ACTIVE,
    State.REBOOTING_HARD: State.ACTIVE,
    State.PAUSING: State.PAUSED,
    State.UNPAUSING: State.ACTIVE,
    State.SUSPENDING: State.SUSPENDED,
    State.RESUMING: State.ACTIVE,
    State.DELETING: State.DELETED,
}


class PromptCompute:
    """Implements ``injector.rpc.compute.Compute``."""

    def __init__(self, dispatcher: Dispatcher, facts: HostFacts) -> None:
        self._dispatcher = dispatcher
        self._facts = facts
        self._lock = threading.Lock()
        self.consoles: dict[str, str] = {}
        self.deaf = False

    def start(self) -> None:
        self._dispatcher.host_report(self._facts)

    def ring(self, instance_id: str) -> None:
        with self._lock:
            instance = self._dispatcher.assignment(self._facts.name, instance_id)
            if instance is None or self.deaf:
                return
            if instance.state in MAKING:
                self._build(instance)
            elif instance.state is State.REFRESHING:
                self._refresh(instance)
            elif instance.state in _SETTLES:
                self._tell(instance, Settled(_SETTLES[instance.state], datetime.now(UTC)))

    def console(self, instance_id: str, length: int) -> str:
        if instance_id not in self.consoles:
            raise NotFound(f"Instance {instance_id} has no console.", field="server")
        return self.consoles[instance_id][-length:]

    def preview(self, instance: Instance) -> Preview:
        assert instance.payload is not None
        plan, _ = _delivered(instance)
        return Preview(self._facts.name, plan, (_PREVIEWED,), "<domain/>")

    def differences(self, instance_id: str) -> tuple[Difference, ...]:
        instance = self._dispatcher.assignment(self._facts.name, instance_id)
        if instance is None or instance.metadata == instance.asked_metadata:
            return ()
        return (Difference("openstack/latest/meta_data.json#/meta", Change.CHANGED),)

    def verify(self, instance_id: str) -> Inspection:
        instance = self._dispatcher.assignment(self._facts.name, instance_id)
        assert instance is not None
        spoiled = instance.metadata.get("fate") == "spoiled"
        return Inspection(instance.generation, ("user-data: another content",) if spoiled else ())

    def facts(self) -> HostFacts:
        return self._facts

    def _build(self, instance: Instance) -> None:
        now, fate = datetime.now(UTC), instance.metadata.get("fate")
        self._tell(instance, Entering(Step.IMAGE, now))
        if fate == "fail":
            self._tell(instance, Failed(Fault(409, "the image cannot be used: it has a backing file", now)))
        elif fate == "start":
            self._tell(instance, Entering(Step.START, now))
        elif fate != "hold":
            self.consoles[instance.id] = "".join(f"line {number}\n" for number in range(1, 6))
            plan, receipt = _delivered(instance)
            self._tell(instance, Launched(plan, receipt, now, _first(instance, receipt)))

    def _refresh(self, instance: Instance) -> None:
        """With metadata ``fate: full`` it cannot be given another drive, with ``fate: virtio`` not while it runs."""
        wanted, fate = instance.refresh, instance.metadata.get("fate")
        assert wanted is not None
        assert instance.receipt is not None
        was = State.ACTIVE if wanted.running else State.STOPPED
        if fate == "full":
            self._tell(instance, Failed(Fault(503, "the disk is full", datetime.now(UTC)), state=was))
            return
        drive = self._dispatcher.drive(self._facts.name, instance.id)
        known = {one.number: one for one in drive.generations}
        made = known.get(wanted.number) or _renewed(instance, wanted, known[instance.generation])
        inserted = 0 if not wanted.running else instance.inserted if fate == "virtio" else wanted.number
        self._tell(instance, Refreshed(made, inserted, was))

    def _tell(self, instance: Instance, report: Report) -> None:
        self._dispatcher.report(self._facts.name, instance.id, instance.attempt, report)


def _first(instance: Instance, receipt: Receipt) -> Generation:
    ingredients = Gatherer(DriveSettings(linux_password="never")).gather(builders.a_delivery(instance=instance))
    sealed = builders.a_vault().seal(instance.id, ingredients)
    return Generation(1, ingredients.uuid, ingredients.made_at, receipt, sealed)


def _renewed(instance: Instance, wanted: Refresh, current: Generation) -> Generation:
    """The metadata is as the record has it now, and all the rest as it was."""
    vault = builders.a_vault()
    before = vault.open(instance.id, current.ingredients, Ingredients)
    told = wanted.uuid or current.uuid
    ingredients = vault.seal(instance.id, replace(before, made_at=wanted.at, uuid=told, metadata=instance.metadata))
    items = tuple(
        replace(item, digest=f"sha256:{wanted.number:064x}") if item.kind is ItemKind.METADATA else item
        for item in current.receipt.items
    )
    receipt = replace(current.receipt, items=items, drive_digest=f"{wanted.number:064x}")
    return Generation(wanted.number, told, wanted.at, receipt, ingredients, wanted.policy)


def _delivered(instance: Instance) -> tuple[Plan, Receipt]:
    items = tuple(
        ReceiptItem(item.kind, item.name, item.size, Outcome.READ_BACK, "hmac-sha256:00", mode=item.mode)
        for item in instance.items
    )
    return builders.a_plan(items=instance.items), builders.a_receipt(items=items)
