"""Two hundred drives of each format before judges that were not written here: what was asked is what they find.

The requests are of every kind and always the same for one ``INJECTOR_SEED``; a drive that fails is named by its number.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from injector.inject.channel import Delivery
from injector.inject.configdrive.by_pycdlib import read_by_pycdlib
from injector.inject.configdrive.ec2 import VERSIONS as EC2_VERSIONS
from injector.inject.plan import READER_MODE
from injector.model.network import Address, Ipv6Mode, Nic
from injector.model.receipt import Receipt
from tests import generated, judges

if TYPE_CHECKING:
    from tests.cloudinit_reader import CloudInit

pytest_plugins = ("tests.cloudinit_reader",)

DRIVES = 200
# isoinfo extracts these itself, file by file; of the others it says where each file lies.
EXTRACTED = range(0, DRIVES, 20)


@pytest.fixture(params=range(DRIVES))
def request_(request: pytest.FixtureRequest) -> generated.Generated:
    return generated.request(request.param)


@cache
def digests() -> set[str]:
    """Of the drives delivered so far."""
    return set()


def delivered(asked: generated.Generated, directory: Path, drive_format: str) -> tuple[Delivery, Receipt]:
    """The drive as a host makes it, unlike any before."""
    delivery = asked.delivery(directory / "host", drive_format)
    receipt = asked.channel().deliver(delivery)
    assert asked.channel().verify(delivery.workspace, receipt) == ()
    assert receipt.drive_digest not in digests()
    digests().add(str(receipt.drive_digest))
    return delivery, receipt


def test_an_iso9660_drive_is_what_was_asked(
    request_: generated.Generated, tmp_path: Path, cloud_init: CloudInit
) -> None:
    delivery, receipt = delivered(request_, tmp_path, "iso9660")
    drive = delivery.workspace.config_drive
    assert hashlib.sha256(drive.read_bytes()).hexdigest() == receipt.drive_digest
    tags = judges.blkid(drive)
    assert (tags["LABEL"], tags["TYPE"]) == ("config-2", "iso9660")
    assert tags["UUID"] == f"{request_.instance.created_at:%Y-%m-%d-%H-%M-%S}-00"
    read = judges.isoinfo_tree if request_.number in EXTRACTED else judges.isoinfo_extents
    tree = read(drive, "-R")
    assert tree == request_.channel().contents(delivery)
    assert read(drive, "-J") == tree
    assert read_by_pycdlib(drive.read_bytes()) == tree
    check_what_cloud_init_reads(request_, delivery, judges.lay_out(tree, tmp_path / "mnt"), cloud_init)


def test_a_vfat_drive_is_what_was_asked(request_: generated.Generated, tmp_path: Path, cloud_init: CloudInit) -> None:
    delivery, receipt = delivered(request_, tmp_path, "vfat")
    drive = delivery.workspace.config_drive
    assert hashlib.sha256(drive.read_bytes()).hexdigest() == receipt.drive_digest
    tags = judges.blkid(drive)
    assert (tags["LABEL"], tags["TYPE"]) == ("config-2", "vfat")
    tree = judges.mtools_tree(drive, tmp_path / "mnt")
    assert tree == request_.channel().contents(delivery)
    assert f" {len(tree) + _directories(tree)} files, " in judges.fsck_vfat(drive)
    check_what_cloud_init_reads(request_, delivery, tmp_path / "mnt", cloud_init)


def _directories(tree: Mapping[str, bytes]) -> int:
    """As fsck.vfat counts them: the root is none, and the label of the volume is a file to it."""
    return len({parent for path in tree for parent in Path(path).parents})


def check_what_cloud_init_reads(
    asked: generated.Generated, delivery: Delivery, mounted: Path, cloud_init: CloudInit
) -> None:
    instance, payload = asked.instance, asked.payload
    cards = {nic.mac: f"eth{number}" for number, nic in enumerate(instance.nics)}
    found = cloud_init.read(mounted, cards)
    assert "error" not in found
    check_metadata(asked, found["metadata"])
    assert found["userdata"] == (payload.user_data.reveal() if payload.user_data else "")
    check_vendor_data(asked, found)
    check_root_password(asked, cloud_init.passwords(mounted)["set"])
    # One path given twice: the last one wins, as in the guest. A mode that no drive can give was left out.
    kept = (file for file in payload.files if file.mode in (None, READER_MODE))
    assert found["files"] == {file.path: file.content.reveal() for file in kept}
    lost = sum(file.mode == 0o600 for file in payload.files) + _password_is_left_out(asked)
    assert len(delivery.plan.left_out) == lost
    ec2 = {} if "latest" in asked.settings.skip_versions else {"instance-id": f"i-{instance.id[:8]}"}
    assert {name: value for name, value in found["ec2-metadata"].items() if name == "instance-id"} == ec2
    check_network(instance.nics, cards, found.get("network"))
    assert ("interfaces" in found) == (asked.settings.flat_injected and any(map(_told_as_text, instance.nics)))


def check_metadata(asked: generated.Generated, found: Mapping[str, Any]) -> None:
    instance, payload = asked.instance, asked.payload
    domain = asked.settings.dhcp_domain
    dotted = f"{instance.hostname}.{domain}" if domain and "." not in instance.hostname else instance.hostname
    assert (found["instance-id"], found["local-hostname"]) == (instance.id, dotted)
    assert (found["name"], found["launch_index"]) == (instance.name, instance.launch_index)
    assert (found["availability_zone"], found["project_id"]) == (instance.availability_zone, instance.project_id)
    assert found.get("meta", {}) == instance.asked_metadata
    assert list(found.get("public_keys", {}).items()) == [(key.name, key.public_key) for key in instance.keys]
    assert found["random_seed"] == payload.random_seed.reveal()
    told = payload.admin_password and asked.settings.admin_pass and not _password_is_left_out(asked)
    assert found.get("admin_pass") == (payload.admin_password.text() if payload.admin_password and told else None)
    tags = [(one["type"], one.get("mac"), *one["tags"]) for one in found["devices"]]
    disk = [("disk", None, instance.disk_tag)] if instance.disk_tag else []
    assert tags == disk + [("nic", nic.mac, nic.tag) for nic in instance.nics if nic.tag]


def _is_windows(asked: generated.Generated) -> bool:
    return asked.instance.image.properties.get("os_type") == "windows"


def _password_is_left_out(asked: generated.Generated) -> bool:
    """Given by the caller, and no way that the operator allows would bring it into this guest."""
    allowed = asked.settings.admin_pass if _is_windows(asked) else asked.settings.linux_password != "never"
    return asked.payload.admin_password is not None and asked.password_given and not allowed


def check_root_password(asked: generated.Generated, found: list[list[Any]]) -> None:
    """As cloud-init's own module would set it, and openssl compute it."""
    password, policy = asked.payload.admin_password, asked.settings.linux_password
    wanted = policy == "always" or (policy == "given" and asked.password_given)
    if password is None or not wanted or _is_windows(asked):
        assert found == []
        return
    # Told in two ways, for two ages of cloud-init; this one understands both.
    ((user, hashed, is_hash),) = set(map(tuple, found))
    assert (user, is_hash) == ("root", True)
    assert hashed == judges.sha512_crypt(password.text(), hashed.split("$")[2])


def check_vendor_data(asked: generated.Generated, found: Mapping[str, Any]) -> None:
    """The operator's own come first where a password is told by them too."""
    has_file = bool(asked.settings.vendor_data.providers)
    static = asked.vendor_data if has_file else {}
    assert found["vendordata2"] == ({"static": static} if has_file else {})
    assert _without_texts(found["vendordata"]) == _without_texts(static)
    told = _texts(found["vendordata"])
    assert told[: len(_texts(static))] == _texts(static)
    assert all("chpasswd" in text for text in told[len(_texts(static)) :])


def _without_texts(vendor_data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in vendor_data.items() if key != "cloud-init"}


def _texts(vendor_data: Mapping[str, Any]) -> list[str]:
    found = vendor_data.get("cloud-init", [])
    return found if isinstance(found, list) else [found]


def check_network(nics: tuple[Nic, ...], cards: Mapping[str, str], found: Any) -> None:
    """Cards of which nothing is known are not configured; a guest without cards is told nothing."""
    if not nics:
        assert found in (None, {"version": 1, "config": []})
        return
    known = [nic for nic in nics if nic.addresses]
    physical = [one for one in found["config"] if one["type"] == "physical"]
    assert [(one["name"], one["mac_address"]) for one in physical] == [(cards[nic.mac], nic.mac) for nic in known]
    told = [[_told(subnet) for subnet in one["subnets"]] for one in physical]
    assert told == [[_asked(address) for address in nic.addresses] for nic in known]
    assert [one.get("mtu") for one in physical] == [_mtu(nic) for nic in known]
    servers = dict.fromkeys(server for nic in known for one in nic.addresses for server in one.subnet.dns)
    assert [one["address"] for one in found["config"] if one["type"] == "nameserver"] == list(servers)


def _told(subnet: Mapping[str, Any]) -> tuple[Any, ...]:
    """A subnet as cloud-init would configure it: its type, the address, and the way to each destination."""
    routes = [(f"{one['network']}/{one['netmask']}", one["gateway"]) for one in subnet.get("routes", [])]
    return subnet["type"], subnet.get("address"), subnet.get("netmask"), routes


def _asked(address: Address) -> tuple[Any, ...]:
    subnet = address.subnet
    network = ipaddress.ip_network(subnet.cidr)
    if subnet.dhcp:
        return (subnet.ipv6_mode and f"ipv6_{subnet.ipv6_mode.value}") or f"dhcp{network.version}", None, None, []
    everywhere = ipaddress.ip_network("0.0.0.0/0" if network.version == 4 else "::/0")
    ways = [(everywhere, subnet.gateway)] if subnet.gateway else []
    ways += [(ipaddress.ip_network(route.destination), route.gateway) for route in subnet.routes]
    routes = [(f"{one.network_address}/{one.netmask}", gateway) for one, gateway in ways]
    return "static" if network.version == 4 else "static6", address.ip, str(network.netmask), routes


def _mtu(nic: Nic) -> int | None:
    """None where a DHCP server tells it."""
    served = any(one.subnet.dhcp and one.subnet.ipv6_mode is not Ipv6Mode.SLAAC for one in nic.addresses)
    return None if served else nic.network.mtu


def _told_as_text(nic: Nic) -> bool:
    return bool(nic.addresses) and not any(one.subnet.dhcp for one in nic.addresses)


def remarks(asked: generated.Generated) -> dict[str, bool]:
    """Whether a request is remarkable, for one thing and another."""
    instance, payload = asked.instance, asked.payload
    data = payload.user_data
    return {
        "no metadata": not instance.asked_metadata,
        "128 metadata items": len(instance.asked_metadata) == 128,
        "no key": not instance.keys,
        "one key": len(instance.keys) == 1,
        "many keys": len(instance.keys) >= 5,
        "no user-data": data is None,
        "empty user-data": data is not None and not data,
        "64 KiB of user-data": data is not None and len(data) == 65536,
        "binary user-data": data is not None and _is_binary(data.reveal()),
        "a binary file": any(_is_binary(file.content.reveal()) for file in payload.files),
        "an empty file": any(not file.content for file in payload.files),
        "a path twice": len({file.path for file in payload.files}) < len(payload.files),
        "a file that no drive can carry": any(file.mode is not None for file in payload.files),
        "a unicode name": not instance.name.isascii(),
        "no card": not instance.nics,
        "a card of which nothing is known": any(not nic.addresses for nic in instance.nics),
        "a tagged card": any(nic.tag for nic in instance.nics),
        "a tagged disk": instance.disk_tag is not None,
        "a password that was given": payload.admin_password is not None and asked.password_given,
        "a password that was made": payload.admin_password is not None and not asked.password_given,
        "a password that was left out": _password_is_left_out(asked),
        "no vendor data": not asked.settings.vendor_data.providers,
        "vendor data beside a password": "cloud-init" in asked.vendor_data and payload.admin_password is not None,
        "Windows": _is_windows(asked),
        "a ramdisk": instance.ramdisk is not None,
        "no EC2 tree": {*EC2_VERSIONS, "latest"} <= {*asked.settings.skip_versions},
        "every EC2 version": not asked.settings.skip_versions,
        "the network as text": asked.settings.flat_injected,
        "no domain": not asked.settings.dhcp_domain,
    }


def _is_binary(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def test_the_requests_are_of_every_kind_and_always_the_same() -> None:
    every = list(generated.requests(DRIVES))
    assert every == list(generated.requests(DRIVES))
    found = [remarks(asked) for asked in every]
    assert [remark for remark in found[0] if not any(one[remark] for one in found)] == []
    cards = {tuple(_asked(one)[0] for one in nic.addresses) for asked in every for nic in asked.instance.nics}
    assert len(cards) == len(generated.PLUGS)
