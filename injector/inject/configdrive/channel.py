"""The config drive as a channel: made once, read back by other eyes, never written over."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from injector.errors import ChannelBroken
from injector.inject import linux_password
from injector.inject import receipt as receipts
from injector.inject.bus import drive_device
from injector.inject.channel import Delivery, Fitting
from injector.inject.configdrive.contents import Contents, contents_of
from injector.inject.configdrive.evidence import seen_on, versions_on
from injector.inject.configdrive.formats import FORMATS, Format
from injector.inject.configdrive.gather import Gatherer
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.inject.configdrive.packer import LABEL, Packer, Volume
from injector.inject.configdrive.tree import LATEST, Tree, knows, tree_of
from injector.inject.plan import ROOT_PASSWORD
from injector.inject.receipt import Digests, Seen, Thing
from injector.model.ingredients import Ingredients
from injector.model.payload import ItemKind
from injector.model.plan import Carriage, ChannelKind, Plan
from injector.model.receipt import Receipt
from injector.model.secret import Secret
from injector.model.workspace import Workspace
from injector.settings import DriveSettings
from injector.system import files

_MODE = 0o440
_SINCE: Mapping[ItemKind, Callable[[str], bool]] = {
    ItemKind.NETWORK: partial(knows, name="network_data.json"),
    ItemKind.DEVICES: partial(knows, name="meta_data.json#/devices"),
}
_PASSWORD = Thing(ItemKind.PASSWORD, ItemKind.PASSWORD.value)
_ROOT_PASSWORD = Thing(ItemKind.PASSWORD, ROOT_PASSWORD)
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


class ConfigDriveChannel:
    """A drive holds passwords and user-data: 0440, for ``group`` only (QEMU's; None: whatever the directory gives)."""

    carriage = Carriage(ChannelKind.CONFIG_DRIVE, frozenset(ItemKind))

    def __init__(
        self, settings: DriveSettings, digests: Digests, group: int | None = None, packer: Packer | None = None
    ) -> None:
        self._gatherer = Gatherer(settings)
        self._digests = digests
        self._group = group
        self._packer = packer

    def fittings(self, plan: Plan, workspace: Workspace) -> tuple[Fitting, ...]:
        bus = plan.drive_bus or "scsi"
        device = drive_device(bus, plan.drive_format or Iso9660Packer.format)
        return (Fitting(workspace.config_drive, device, bus),)

    def gather(self, delivery: Delivery) -> Ingredients:
        """What the drive will say beside what the record and the payload say, as the operator has it now."""
        return self._gatherer.gather(delivery)

    def contents(self, delivery: Delivery) -> Tree:
        """The files of the drive."""
        return tree_of(contents_of(delivery))

    def deliver(self, delivery: Delivery) -> Receipt:
        """Make the drive and prove it. One that is there already stays, and must hold exactly this delivery."""
        contents = contents_of(delivery)
        asked = _asked(delivery, contents)
        tree = tree_of(contents)
        try:
            self._write(tree, delivery.workspace.config_drive, contents.ingredients)
            image = _read_again(delivery.workspace.config_drive)
        except OSError as error:
            raise ChannelBroken("the config drive could not be written or read back", detail=str(error)) from error
        seen = _examine(image, FORMATS[contents.ingredients.format], tree, asked)
        items = receipts.read_back(asked, seen, partial(self._digests.digest, delivery.workspace.instance_id))
        return Receipt(
            channel=delivery.plan.channel,
            reason=delivery.plan.reason,
            items=items + receipts.left_out(delivery.plan.left_out),
            drive_digest=hashlib.sha256(image).hexdigest(),
            drive_size=len(image),
            drive_format=contents.ingredients.format,
        )

    def verify(self, workspace: Workspace, receipt: Receipt) -> tuple[str, ...]:
        """How the drive on this host differs from its receipt: a sentence each, none when it is the same.

        Looked for even when the digest is right, by a reader that shares no author with the packer.
        Raises ChannelBroken when the host does not let it be read.
        """
        try:
            image = _read_again(workspace.config_drive)
        except FileNotFoundError:
            return ("the config drive is gone",)
        except OSError as error:
            raise ChannelBroken("the config drive cannot be read", detail=str(error)) from error
        same = hashlib.sha256(image).hexdigest() == receipt.drive_digest
        changed = () if same else ("the config drive is not the one that was delivered",)
        try:
            seen = seen_on(FORMATS[receipt.drive_format or Iso9660Packer.format].read_by_others(image), LATEST)
        except _DAMAGED:
            return (*changed, "it cannot be read" if changed else "the config drive cannot be read")
        matches = partial(self._digests.matches, workspace.instance_id)
        return (*changed, *receipts.differences(receipt.items, seen, matches))

    def _write(self, tree: Tree, drive: Path, ingredients: Ingredients) -> None:
        if drive.exists():
            return
        with files.disk_full("write the config drive"), files.staged(drive.parent, drive.name) as part:
            packer = self._packer or FORMATS[ingredients.format].packer
            packer.pack(tree, Volume(ingredients.made_at), part.file)
            part.publish(drive, mode=_MODE, group=self._group)


def _asked(delivery: Delivery, contents: Contents) -> dict[Thing, Secret]:
    """What the plan promises, and what every drive carries besides: the hostname, and a generated password.

    ChannelBroken when what root would get is not the password.
    """
    asked = receipts.contents_asked(delivery)
    asked[Thing(ItemKind.HOSTNAME, "hostname")] = Secret(contents.ingredients.hostname)
    root = contents.ingredients.root_hash
    if contents.admin_password:
        asked.setdefault(_PASSWORD, contents.admin_password)
    elif root:
        asked.pop(_PASSWORD, None)
    if root:
        password = delivery.payload.admin_password
        if password is None or not linux_password.is_hash_of(root, password):
            raise ChannelBroken("the hash for root is not that of the password")
        asked[_ROOT_PASSWORD] = root
    return asked


def _read_again(drive: Path) -> bytes:
    """From the disk, as far as the kernel lets go of its cache: what was just written there proves nothing."""
    with drive.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


def _examine(image: bytes, form: Format, tree: Tree, asked: Mapping[Thing, Secret]) -> dict[Thing, Seen]:
    """What was seen in the newest version; ChannelBroken unless every file and, in every version, every item agree."""
    try:
        found, label = form.read(image), form.label_of(image)
    except ValueError as error:
        raise ChannelBroken("the config drive cannot be read back", detail=str(error)) from error
    if label != LABEL or found != tree:
        raise ChannelBroken("the config drive does not hold what was to be written on it")
    seen = {version: seen_on(found, version) for version in versions_on(found)}
    for version, things in seen.items():
        receipts.prove(_known_to(version, asked), things)
    return seen[LATEST]


def _known_to(version: str, asked: Mapping[Thing, Secret]) -> dict[Thing, Secret]:
    """Old versions of the formats have no place for some items."""
    homeless = {kind for kind, since in _SINCE.items() if not since(version)}
    hashed = {_ROOT_PASSWORD} if not knows(version, "vendor_data.json") else set()
    return {thing: content for thing, content in asked.items() if thing.kind not in homeless and thing not in hashed}
