"""The config drives of a guest, a file each: made once, made again to the byte when lost, never written over."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from injector import wire
from injector.errors import HostError, InternalError, NotFound
from injector.inject.channel import Delivery
from injector.inject.comparison import compare_trees
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.plan import canonical
from injector.model.generation import Difference, Drive, Generation, Inspection, Refresh
from injector.model.ingredients import Device, Ingredients
from injector.model.instance import Instance
from injector.model.payload import Item, ItemKind, Payload
from injector.model.plan import Plan
from injector.model.receipt import Receipt
from injector.model.workspace import Workspace
from injector.system import files
from injector.system.vault import Vault

LOG = logging.getLogger(__name__)

FetchDrive = Callable[[str], Drive]
"""Asks for what makes the drives of an instance again; asked only when one has to be made."""


class Drives:
    """The drives of this host's guests, through the channel that writes them and reads them back."""

    def __init__(self, channel: ConfigDriveChannel, vault: Vault, fetch: FetchDrive) -> None:
        self._channel = channel
        self._vault = vault
        self._fetch = fetch

    def renew(self, instance: Instance, home: Workspace, devices: tuple[Device, ...] = ()) -> Generation:
        """The generation that ``instance.refresh`` asks for, its file beside the others, known on disk when it returns.

        ``devices`` are those with a tag, as the hypervisor has them now. Asked again after an interruption, it is the
        same. NotFound when a generation to go back to is kept no more; what the channel raises when it cannot be made,
        and then nothing of it is left.
        """
        with _on_this_host():
            return self._renew(instance, home, devices, self._fetch(instance.id))

    def _renew(self, instance: Instance, home: Workspace, devices: tuple[Device, ...], drive: Drive) -> Generation:
        wanted = _asked_for(instance)
        if wanted.policy is None:
            return self._earlier(instance, home, drive)
        begun = _begun(home, wanted)
        if begun is not None and not _lost(home, begun):
            LOG.info("instance %s: generation %d was made before the interruption", instance.id, begun.number)
            return begun
        return self._make(instance, home, devices, drive)

    def _earlier(self, instance: Instance, home: Workspace, drive: Drive) -> Generation:
        generation = _numbered(drive, _asked_for(instance).number)
        if _lost(home, generation):
            self._make_again(instance, home, drive, generation)
        return generation

    def _make(self, instance: Instance, home: Workspace, devices: tuple[Device, ...], drive: Drive) -> Generation:
        wanted = _asked_for(instance)
        place = replace(home, generation=wanted.number)
        payload = self._vault.unseal(instance.id, drive.payload)
        current = _numbered(drive, instance.generation)
        told, kept = wanted.uuid or current.uuid, self._vault.open(instance.id, current.ingredients, Ingredients)
        with _gone_on_failure(place.config_drive):
            before = Delivery(instance, payload, _plan_of(instance), place, devices, kept)
            ingredients = self._gather(before, wanted, told)
            receipt = self._channel.deliver(_delivery(instance, payload, ingredients, place))
            sealed = self._vault.seal(instance.id, ingredients)
            made = Generation(wanted.number, told, wanted.at, receipt, sealed, wanted.policy)
            files.write_atomic(home.renewed, json.dumps(wire.pack(made)).encode(), mode=0o600)
        return made

    def _gather(self, before: Delivery, wanted: Refresh, told: str) -> Ingredients:
        """As the operator has it now, and the record: its metadata too, which the first drive has as it was asked."""
        now = replace(before.instance, asked_metadata=before.instance.metadata)
        gathered = self._channel.gather(replace(before, instance=now))
        return replace(gathered, made_at=wanted.at, uuid=told, metadata=now.metadata)

    def give_up(self, instance: Instance, home: Workspace) -> None:
        """Leave nothing of a drive that the guest could not be given; one to go back to stays."""
        wanted = _asked_for(instance)
        if wanted.policy is not None:
            home.renewed.unlink(missing_ok=True)
            replace(home, generation=wanted.number).config_drive.unlink(missing_ok=True)

    def current(self, instance: Instance) -> Generation:
        return _numbered(self._fetch(instance.id), instance.generation)

    def mend(self, instance: Instance, home: Workspace) -> None:
        """Make the drive that the guest is to start with again, if its file is gone or altered.

        HostError when it does not come out as it was; then nothing is changed.
        """
        place = replace(home, generation=instance.generation)
        if not instance.generation or instance.receipt is None or not _differs(place.config_drive, instance.receipt):
            return
        with _on_this_host():
            drive = self._fetch(instance.id)
            self._make_again(instance, home, drive, _numbered(drive, instance.generation))

    def _make_again(self, instance: Instance, home: Workspace, drive: Drive, generation: Generation) -> None:
        place = replace(home, generation=generation.number)
        payload = self._vault.unseal(instance.id, drive.payload)
        ingredients = self._vault.open(instance.id, generation.ingredients, Ingredients)
        with _set_aside(place.config_drive):
            receipt = self._channel.deliver(_delivery(instance, payload, ingredients, place))
            if receipt.drive_digest != generation.receipt.drive_digest:
                raise HostError(
                    f"generation {generation.number} of the config drive is lost, and cannot be made again as it was",
                    detail=f"{receipt.drive_digest} instead of {generation.receipt.drive_digest}",
                )
        LOG.warning("instance %s: config drive %d was lost or altered; made again", instance.id, generation.number)
        _note(home, generation.number)

    def verify(self, instance: Instance, home: Workspace) -> Inspection:
        """The current drive against its receipt; NotFound when there is none."""
        if not instance.generation or instance.receipt is None:
            raise NotFound(f"Instance {instance.id} has no config drive.", field="config_drive")
        place = replace(home, generation=instance.generation)
        differences = self._channel.verify(place, instance.receipt)
        return Inspection(instance.generation, differences, _noted(home).get(instance.generation))

    def differences(
        self, instance: Instance, home: Workspace, devices: tuple[Device, ...] = ()
    ) -> tuple[Difference, ...]:
        """What a drive made now, of the same date and id, would have otherwise than the current one.

        NotFound when there is none.
        """
        if not instance.generation:
            raise NotFound(f"Instance {instance.id} has no config drive.", field="config_drive")
        drive = self._fetch(instance.id)
        payload = self._vault.unseal(instance.id, drive.payload)
        generation = _numbered(drive, instance.generation)
        kept = self._vault.open(instance.id, generation.ingredients, Ingredients)
        wanted = Refresh(generation.number, generation.made_at, running=True)
        rehearsal = Delivery(instance, payload, _plan_of(instance), home, devices, kept, rehearsal=True)
        now = self._gather(rehearsal, wanted, generation.uuid)
        before, after = (
            self._channel.contents(_delivery(instance, payload, ingredients, home)) for ingredients in (kept, now)
        )
        return compare_trees(before, after)

    def prune(self, instance_id: str, home: Workspace, inserted: int) -> None:
        """Remove the files of generations that nobody keeps any more, but never the one that the guest runs with."""
        numbers = {one.number for one in self._fetch(instance_id).generations} | {inserted}
        kept = {replace(home, generation=number).config_drive for number in numbers}
        for path in home.path.glob("disk.config*"):
            if path not in kept:
                path.unlink(missing_ok=True)


def _asked_for(instance: Instance) -> Refresh:
    if instance.refresh is None:
        raise InternalError("a drive was to be made that nobody has asked for")
    return instance.refresh


def _plan_of(instance: Instance) -> Plan:
    if instance.plan is None:
        raise InternalError("a drive was to be made for a guest without a plan")
    return instance.plan


def _numbered(drive: Drive, number: int) -> Generation:
    found = next((one for one in drive.generations if one.number == number), None)
    if found is None:
        raise NotFound(f"Generation {number} of the config drive is not kept any more", field="to")
    return found


def _delivery(instance: Instance, payload: Payload, ingredients: Ingredients, place: Workspace) -> Delivery:
    """What the plan promised, the metadata as this generation has it."""
    plan, metadata = _plan_of(instance), ingredients.metadata
    items = tuple(item for item in plan.items if item.kind is not ItemKind.METADATA)
    if metadata and all(left.item.kind is not ItemKind.METADATA for left in plan.left_out):
        items += (Item(ItemKind.METADATA, ItemKind.METADATA.value, len(canonical(metadata))),)
    said = replace(instance, asked_metadata=metadata)
    return Delivery(said, payload, replace(plan, items=items), place, ingredients=ingredients)


def _begun(home: Workspace, wanted: Refresh) -> Generation | None:
    """The same drive, if an interrupted refresh had made it: then the guest may have it already."""
    try:
        found: Generation = wire.unpack(json.loads(home.renewed.read_bytes()), Generation)
    except (FileNotFoundError, ValueError, KeyError, TypeError, InternalError):
        return None
    return found if (found.number, found.made_at) == (wanted.number, wanted.at) else None


def _lost(home: Workspace, generation: Generation) -> bool:
    return _differs(replace(home, generation=generation.number).config_drive, generation.receipt)


def _differs(drive: Path, receipt: Receipt) -> bool:
    try:
        return hashlib.sha256(drive.read_bytes()).hexdigest() != receipt.drive_digest
    except FileNotFoundError:
        return True
    except OSError as error:
        raise HostError("the config drive cannot be read", detail=str(error)) from error


@contextlib.contextmanager
def _on_this_host() -> Iterator[None]:
    """What the file system refuses is the host's fault, in words that name no place of it."""
    try:
        with files.disk_full("make the config drive"):
            yield
    except OSError as error:
        raise HostError("the config drive could not be made", detail=str(error)) from error


@contextlib.contextmanager
def _gone_on_failure(drive: Path) -> Iterator[None]:
    """A new drive: what an attempt that was given up has left of it goes first."""
    drive.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        drive.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _set_aside(drive: Path) -> Iterator[None]:
    """An altered drive comes back when no other can be put in its place."""
    aside = drive.with_name(f"{drive.name}.altered")
    with contextlib.suppress(FileNotFoundError):
        drive.rename(aside)
    try:
        yield
    except BaseException:
        drive.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            aside.rename(drive)
        raise
    aside.unlink(missing_ok=True)


def _noted(home: Workspace) -> dict[int, datetime]:
    try:
        notes = json.loads(home.mended.read_text())
        return {int(number): datetime.fromisoformat(at) for number, at in notes.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def _note(home: Workspace, number: int) -> None:
    notes = _noted(home) | {number: datetime.now(UTC)}
    text = json.dumps({str(known): at.isoformat() for known, at in notes.items()})
    files.write_atomic(home.mended, text.encode(), mode=0o600)
