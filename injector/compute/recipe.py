"""How a record becomes a guest on this host: in order, each step journalled and agreed on before its first effect."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from injector.compute.journal import Intent, Journal
from injector.errors import HostError, StaleError
from injector.model.instance import Instance, State, Step
from injector.model.report import Entering, Launched, Report
from injector.system.vault import Vault
from injector.virt.driver import Driver, Enter, Order

LOG = logging.getLogger(__name__)

Tell = Callable[[Instance, Report], bool]
"""Reports to the dispatcher; False means "let go". Unanswered when nobody takes it."""


@dataclass(frozen=True, slots=True)
class Kitchen:
    """What a build needs; ``closing`` is set when the daemon must end and builds are to be undone."""

    driver: Driver
    vault: Vault
    journal: Journal
    tell: Tell
    closing: threading.Event


def build(kitchen: Kitchen, instance: Instance) -> Instance:
    """The guest as it runs: what an interrupted build had completed is finished, else undone and made from the start.

    Raises what ``spawn`` raises, after everything was undone; StaleError when the record moved on, Unanswered when it
    cannot be asked whether to go on. A guest that is to be made anew is ``untouched`` until all that it takes is on
    this host.
    """
    before = kitchen.journal.read(instance.id)
    spawned = kitchen.driver.recall(instance)
    # A guest that is rebuilt was completed by its last attempt.
    if before is not None and not (before.step is Step.RUNNING and before.attempt < instance.attempt):
        done = "begun again" if spawned is None else "found complete"
        LOG.warning("instance %s: interrupted at %s, attempt %d: %s", instance.id, before.step, before.attempt, done)
    if spawned is None:
        order = _in_hand(kitchen, instance)
        kitchen.driver.destroy(instance.id)
        spawned = kitchen.driver.spawn(order, _enter(kitchen, instance))
    launched = Launched(spawned.plan, spawned.receipt, datetime.now(UTC), spawned.generation)
    _tell_launched(kitchen, instance, launched)
    number = spawned.generation.number if spawned.generation else 0
    return replace(instance, plan=spawned.plan, receipt=spawned.receipt, generation=number, inserted=number)


def _in_hand(kitchen: Kitchen, instance: Instance) -> Order:
    """All that can be had without touching a guest that is there: it is not ended for one that cannot be made."""
    if instance.payload is None:
        raise HostError("the record came without its payload")
    order = Order(instance, kitchen.vault.unseal(instance.id, instance.payload))
    if untouched(kitchen.journal, instance):
        _ask(kitchen, instance, Step.IMAGE)
        kitchen.driver.fetch(instance)
    return order


def untouched(journal: Journal, instance: Instance) -> bool:
    """Whether a guest that is to be made anew is still the one that it was: this attempt has had no effect on it."""
    if instance.state is not State.REBUILDING:
        return False
    begun = journal.read(instance.id)
    return begun is None or begun.attempt != instance.attempt


def _tell_launched(kitchen: Kitchen, instance: Instance, launched: Launched) -> None:
    """A guest that runs is not undone because nobody answers: the next ring finds it and tells it again."""
    try:
        kitchen.journal.write(instance.id, Intent(instance.attempt, Step.RUNNING))
        wanted = kitchen.tell(instance, launched)
    except HostError as error:
        LOG.warning("instance %s: it runs, but that could not be told; it will be: %s", instance.id, error)
        return
    if not wanted:
        raise StaleError(f"instance {instance.id} is not wanted any more")


def _enter(kitchen: Kitchen, instance: Instance) -> Enter:
    def enter(step: Step) -> None:
        _ask(kitchen, instance, step)
        kitchen.journal.write(instance.id, Intent(instance.attempt, step))

    return enter


def _ask(kitchen: Kitchen, instance: Instance, step: Step) -> None:
    if kitchen.closing.is_set():
        raise StaleError("the daemon is ending; the build begins again at its next start")
    if not kitchen.tell(instance, Entering(step, datetime.now(UTC))):
        raise StaleError(f"instance {instance.id} is not wanted any more")
