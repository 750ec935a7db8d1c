"""Partition injection as a channel: one back end after the other is asked, and the first that can do it is proven."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from injector.errors import CannotServe, GuestUnreadable, InternalError
from injector.inject import receipt as receipts
from injector.inject.channel import Delivery, Fitting, GuestDisk
from injector.inject.interfaces import Interfaces
from injector.inject.naming import ROOT_PASSWORD, describe
from injector.inject.partition import evidence
from injector.inject.partition.door import Door
from injector.inject.partition.errand import Inject, Injected, Look, Looked, Wanted
from injector.inject.partition.evidence import HASH, Files, thing_of
from injector.inject.partition.preview import preview_of
from injector.inject.partition.root import root_of
from injector.inject.receipt import Digests, SecretMatch, Seen
from injector.model.facts import Root
from injector.model.hostile import one_line
from injector.model.instance import Instance
from injector.model.payload import ItemKind
from injector.model.plan import Carriage, ChannelKind, Plan
from injector.model.receipt import Outcome, PassedOver, Receipt, ReceiptItem
from injector.model.secret import Secret
from injector.model.workspace import Workspace
from injector.settings import PartitionSettings

KINDS = frozenset({ItemKind.KEY, ItemKind.NETWORK, ItemKind.METADATA, ItemKind.PASSWORD, ItemKind.FILE})

_ORDER = (ItemKind.KEY, ItemKind.NETWORK, ItemKind.METADATA, ItemKind.PASSWORD, ItemKind.FILE)
"""Nova's."""
_ADMIN_USER = "os_admin_user"
"""Glance's property: whom the image's owner would have people log in as."""
_LARGEST = 16 * 1024**2
"""Bytes of a file that is looked at again; the largest that can be injected is smaller."""


@dataclass(frozen=True, slots=True)
class _Done:
    """Who did it, and who could not."""

    back_end: str
    answer: Injected
    passed_over: tuple[PassedOver, ...]


class PartitionChannel:
    """Writes into the root of a guest that is off. InvalidRequest when the operator's network template is no use."""

    def __init__(
        self,
        settings: PartitionSettings,
        inject_partition: int,
        digests: Digests,
        doors: Sequence[Door],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._interfaces = Interfaces(settings.network_template, settings.virt_type)
        self._inject_partition = inject_partition
        self._digests = digests
        self._doors = tuple(doors)
        self._clock = clock

    @property
    def carriage(self) -> Carriage:
        return Carriage(ChannelKind.PARTITION, KINDS, any_mode=True, back_ends=tuple(door.name for door in self._doors))

    def fittings(self, plan: Plan, workspace: Workspace) -> tuple[Fitting, ...]:  # noqa: ARG002 - the protocol's
        return ()

    def gather(self, delivery: Delivery) -> None:
        """A guest's own files cannot be made again, so nothing has to be kept for it."""

    def contents(self, delivery: Delivery) -> Mapping[str, bytes]:
        """The files that a guest without any of them would get, by path; what the guest itself says is not known.

        A password's line is not there: it has another salt each time, and its size would tell the password's.
        """
        facts = None if delivery.disk is None else delivery.disk.facts
        return preview_of(self._wanted(delivery), delivery.instance.nics, self._rendered(delivery.instance), facts)

    def deliver(self, delivery: Delivery) -> Receipt:
        """Have it written, and prove what was read back.

        ItemRefused and GuestUnreadable are final. GuestUnreadable as well when no back end is left, with the reason
        of each; ChannelBroken when what was read back is not what was asked.
        """
        instance, plan, disk = delivery.instance, delivery.plan, _disk(delivery)
        wanted = self._wanted(delivery)
        errand = self._errand(instance, wanted, disk)
        done = self._send(errand, disk, plan)
        seen = evidence.seen_in(errand, done.answer)
        lost = evidence.lost_of(wanted, done.answer)
        asked = {thing_of(one): one.content for one in wanted if thing_of(one) not in lost}
        receipts.prove(asked, seen)
        if HASH in seen:
            asked[HASH] = seen[HASH].content
        items = receipts.read_back(asked, seen, partial(self._digests.digest, instance.id))
        return Receipt(
            channel=plan.channel,
            reason=plan.reason,
            items=items + receipts.left_out((*plan.left_out, *lost.values())),
            back_end=done.back_end,
            filesystem=one_line(done.answer.filesystem, 32),
            passed_over=done.passed_over,
        )

    def verify(self, instance: Instance, disk: GuestDisk, receipt: Receipt) -> tuple[str, ...]:
        """How the guest's files differ from their receipt: a sentence each, none when they are the same.

        The guest is off: the caller sees to that. A change of its own, since, is a difference like any other.
        """
        delivered = [item for item in receipt.items if item.where is not None and _is_there(item)]
        where = tuple(path for item in delivered for path in evidence.paths_of(item.kind, item.where or ""))
        looked = self._look(Look(self._root(disk), where, _LARGEST), disk, receipt)
        files = evidence.by_path(looked.files)
        return tuple(_differences(delivered, instance, files, looked, partial(self._digests.matches, instance.id)))

    def _wanted(self, delivery: Delivery) -> tuple[Wanted, ...]:
        asked = receipts.contents_asked(delivery)
        pairs = zip(delivery.plan.items, asked.items(), strict=True)
        wanted = [Wanted(item, content, thing.turn) for item, (thing, content) in pairs]
        for one in wanted:
            if one.item.kind not in KINDS:
                raise InternalError(f"no partition carries {one.item.kind.value}")
        return tuple(sorted(wanted, key=lambda one: _ORDER.index(one.item.kind)))

    def _errand(self, instance: Instance, wanted: tuple[Wanted, ...], disk: GuestDisk) -> Inject:
        return Inject(
            root=self._root(disk),
            wanted=wanted,
            stamp=int(self._clock()),
            nics=instance.nics,
            interfaces=self._rendered(instance),
            admin_user=instance.image.properties.get(_ADMIN_USER) or None,
        )

    def _rendered(self, instance: Instance) -> Secret | None:
        text = self._interfaces.render(instance.nics)
        return None if text is None else Secret(text)

    def _root(self, disk: GuestDisk) -> Root:
        if disk.facts is None:
            raise GuestUnreadable("nobody has found out where the image's root file system is")
        return root_of(disk.facts, self._inject_partition)

    def _send(self, errand: Inject, disk: GuestDisk, plan: Plan) -> _Done:
        passed_over: list[PassedOver] = []
        for door in self._serving(plan.back_ends):
            try:
                return _Done(door.name, door.send(errand, disk), tuple(passed_over))
            except CannotServe as refusal:
                passed_over.append(PassedOver(door.name, one_line(refusal.message)))
        raise _nobody(passed_over)

    def _look(self, errand: Look, disk: GuestDisk, receipt: Receipt) -> Looked:
        """By the back end that wrote first, if it is still there."""
        refused: list[PassedOver] = []
        for door in sorted(self._doors, key=lambda door: door.name != receipt.back_end):
            try:
                return door.send(errand, disk)
            except CannotServe as refusal:
                refused.append(PassedOver(door.name, one_line(refusal.message)))
        raise _nobody(refused)

    def _serving(self, names: Sequence[str]) -> Iterator[Door]:
        """Those of the plan in its order; all where it names none."""
        doors = {door.name: door for door in self._doors}
        return (doors[name] for name in names or doors if name in doors)


def _disk(delivery: Delivery) -> GuestDisk:
    if delivery.disk is None:
        raise InternalError("partition injection was asked for before there was a disk")
    return delivery.disk


def _nobody(refused: Sequence[PassedOver]) -> GuestUnreadable:
    reasons = "; ".join(f"{one.back_end}: {one.reason}" for one in refused) or "this host has none"
    return GuestUnreadable(f"no back end of partition injection serves the guest's file system: {reasons}")


def _is_there(item: ReceiptItem) -> bool:
    return item.outcome not in (Outcome.LEFT_OUT, Outcome.REFUSED)


def _differences(
    delivered: Sequence[ReceiptItem], instance: Instance, files: Files, looked: Looked, matches: SecretMatch
) -> Iterator[str]:
    """A password itself is not looked for: its hash has a line of its own."""
    hashed = any(item.name == ROOT_PASSWORD for item in delivered)
    lines = [item for item in delivered if not (hashed and _is_clear_password(item))]
    grown = [item for item in lines if set(evidence.paths_of(item.kind, item.where or "")) & set(looked.too_long)]
    for item in grown:
        yield f"{describe(item.kind, item.name)}: another content, larger than {_LARGEST} bytes"
    rest = [item for item in lines if item not in grown]
    named = receipts.things((item.kind, item.name) for item in rest)
    seen = {thing: found for thing, item in zip(named, rest, strict=True) if (found := _seen(item, instance, files))}
    yield from receipts.differences(rest, seen, matches)
    for thing, item in zip(named, rest, strict=True):
        if item.kind is ItemKind.FILE and thing in seen and seen[thing].mode != item.mode:
            yield f"{describe(item.kind, item.name)}: mode {seen[thing].mode:04o} instead of {item.mode:04o}"


def _is_clear_password(item: ReceiptItem) -> bool:
    return item.kind is ItemKind.PASSWORD and item.name != ROOT_PASSWORD


def _seen(item: ReceiptItem, instance: Instance, files: Files) -> Seen | None:
    where = evidence.paths_of(item.kind, item.where or "")
    if item.kind is ItemKind.PASSWORD:
        return evidence.hash_seen(where, files)
    key = next((Secret(key.public_key) for key in instance.keys if key.name == item.name), None)
    return evidence.look_for(item.kind, where, files, instance.nics, key)
