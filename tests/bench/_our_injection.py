"""A worker that injects with our channel. Arguments: the base image and the directory for overlays."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from injector.inject.channel import Delivery, GuestDisk
from injector.inject.partition.channel import PartitionChannel
from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.errand import Survey
from injector.inject.plan import asked_by_instance, choose, items_of
from injector.model.boot import NicOrder
from injector.model.host import InjectionPolicy
from injector.model.instance import Instance
from injector.model.receipt import Outcome
from injector.model.secret import Secret
from injector.settings import PartitionSettings
from tests import builders as a
from tests.bench import _asked as asked
from tests.bench._our_drive import card
from tests.bench._overlays import make_overlay
from tests.bench._processes import cpu_ms
from tests.bench._rounds import serve

POLICY = InjectionPolicy(force_config_drive=False, inject_partition=-1, inject_key=True, inject_password=True)
PAYLOAD = a.a_payload(
    files=tuple(a.a_file(path, content) for path, content in asked.FILES), admin_password=Secret(asked.PASSWORD)
)


def main(base: Path, scratch: Path) -> None:
    settings = PartitionSettings(filesystems=("ext",), virt_type="qemu")
    crew = Crew(settings, images=scratch, bases=base.parent)
    channel = PartitionChannel(settings, POLICY.inject_partition, a.a_vault(), (crew,))
    # Once an image, not once a boot.
    facts = crew.send(Survey(), GuestDisk(None, base, "qcow2")).facts
    instance = _instance()

    def deliver(directory: Path) -> None:
        """From the choice to the receipt, as the driver does it."""
        workspace = a.a_workspace(scratch, instance_id=directory.name)
        plan = choose(asked_by_instance(instance, facts), POLICY, (channel.carriage,))
        disk = GuestDisk(workspace.disk, base, "qcow2", facts)
        receipt = channel.deliver(Delivery(instance, PAYLOAD, plan, workspace, disk=disk))
        if {item.outcome for item in receipt.items} != {Outcome.READ_BACK}:
            raise RuntimeError(f"not everything was read back: {receipt}")

    serve(
        deliver,
        scratch,
        prepare=lambda directory: make_overlay(base, directory / "disk"),
        cpu_ms=lambda: cpu_ms(os.getpid()),
    )
    crew.close()


def _instance() -> Instance:
    instance = a.an_instance(
        id=asked.INSTANCE_ID,
        image=a.an_image(id=asked.IMAGE_ID),
        key=a.a_key(name=asked.KEY_NAME, public_key=asked.PUBLIC_KEY),
        asked_metadata=asked.METADATA,
        nics=tuple(map(card, asked.CARDS)),
    )
    items = items_of(
        PAYLOAD,
        keys=instance.keys,
        metadata=instance.asked_metadata,
        nics=tuple(NicOrder(nic.network) for nic in instance.nics),
        password_given=True,
    )
    return replace(instance, items=items)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
