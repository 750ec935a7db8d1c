"""A worker that delivers config drives with our channel, or only writes the bytes of one and syncs them."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from injector.inject.channel import Delivery
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.plan import items_of
from injector.model.boot import NicOrder
from injector.model.instance import Instance
from injector.model.network import Address, Nic
from injector.model.payload import Payload
from injector.model.secret import Secret
from injector.settings import DriveSettings
from tests import builders as a
from tests.bench import _asked as asked
from tests.bench._rounds import serve


def main(what: str, scratch: Path) -> None:
    channel = ConfigDriveChannel(DriveSettings(dhcp_domain=asked.DOMAIN), a.a_vault())
    deliver = functools.partial(_deliver, channel, _instance(), _payload())
    serve(deliver if what == "deliver" else _floor(deliver, scratch), scratch)


def _deliver(channel: ConfigDriveChannel, instance: Instance, payload: Payload, directory: Path) -> Path:
    """As the driver does it for a new guest: gather, then deliver, which writes, syncs, reads back and compares."""
    workspace = a.a_workspace(directory.parent, instance_id=directory.name)
    delivery = Delivery(instance, payload, a.a_plan(items=instance.items), workspace)
    channel.deliver(replace(delivery, ingredients=channel.gather(delivery)))
    return workspace.config_drive


def _floor(deliver: Callable[[Path], Path], scratch: Path) -> Callable[[Path], None]:
    model = scratch / "model"
    model.mkdir()
    content = deliver(model).read_bytes()

    def write(directory: Path) -> None:
        with (directory / "disk.config").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    return write


def _instance() -> Instance:
    instance = a.an_instance(
        id=asked.INSTANCE_ID,
        image=a.an_image(id=asked.IMAGE_ID),
        flavor=a.a_flavor(name=asked.FLAVOR),
        availability_zone=asked.ZONE,
        key=a.a_key(name=asked.KEY_NAME, public_key=asked.PUBLIC_KEY),
        asked_metadata=asked.METADATA,
        nics=tuple(map(card, asked.CARDS)),
    )
    orders = tuple(NicOrder(nic.network) for nic in instance.nics)
    items = items_of(_payload(), keys=instance.keys, metadata=instance.asked_metadata, nics=orders)
    return replace(instance, items=items)


def _payload() -> Payload:
    files = tuple(a.a_file(path, content) for path, content in asked.FILES)
    return a.a_payload(files=files, user_data=Secret(asked.USER_DATA))


def card(one: asked.Card) -> Nic:
    """A card with the static address."""
    subnet = a.a_subnet(cidr=one.cidr, gateway=one.gateway, dns=(one.dns,), pool_first=one.ip, pool_last=one.ip)
    network = a.a_network(id=one.network, subnets=(subnet,))
    return a.a_nic(mac=one.mac, network=network, addresses=(Address(subnet, one.ip),))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
