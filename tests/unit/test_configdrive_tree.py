"""The files of a config drive: goldens of every version, the rules behind them, and properties of any of them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from injector.inject.channel import Delivery
from injector.inject.configdrive import ec2
from injector.inject.configdrive.contents import contents_of
from injector.inject.configdrive.gather import Gatherer, qualified
from injector.inject.configdrive.tree import LATEST, VERSIONS, Tree, tree_of
from injector.model.ingredients import Bus, Device
from injector.model.instance import Instance
from injector.model.network import Ipv6Mode, NetworkKind, Route
from injector.model.payload import ItemKind, Payload
from injector.model.plan import LeftOut
from injector.model.secret import Secret
from injector.settings import DriveSettings
from tests import builders as a
from tests import goldens
from tests.strategies import ANY_DEVICES, INSTANCES, PAYLOADS, VENDOR_DATA

DUAL = a.a_network(
    mtu=1400, subnets=(a.a_subnet(), a.a_subnet(cidr="2001:db8::/64", gateway="2001:db8::1", dns=("2001:db8::3",)))
)
EVERYTHING = a.an_instance(
    name="Ada's web server",
    key=a.a_key(),
    asked_metadata={"role": "wëb", "empty": ""},
    metadata={"role": "changed since"},
    nics=(
        a.a_nic(
            network=DUAL,
            addresses=(a.an_address(DUAL.subnets[0], "10.0.2.15"), a.an_address(DUAL.subnets[1], "2001:db8::15")),
        ),
        a.a_nic(mac="52:54:00:00:00:02", network=a.a_network(subnets=(a.a_dhcp_subnet(),))),
    ),
    kernel=a.an_image(id="5ca1ab1e-3333-4000-8000-000000000001"),
    launch_index=1,
)
EVERYTHING_PAYLOAD = a.a_payload(
    random_seed=Secret(b"a seed for readers of goldens"),
    user_data=Secret(b"#cloud-config\nhostname: no\n"),
    files=(a.a_file(), a.a_file("/opt/binary", b"\x00\xff\xfe"), a.a_file("/etc/empty", b"")),
    admin_password=Secret("correct horse"),
)


def drive_of(delivery: Delivery, **settings: Any) -> Tree:
    ingredients = Gatherer(DriveSettings(**settings)).gather(delivery)
    return tree_of(contents_of(replace(delivery, ingredients=ingredients)))


def tree(instance: Instance | None = None, payload: Payload | None = None, **settings: Any) -> Tree:
    delivery = a.a_delivery(instance=instance or a.an_instance(), payload=payload or a.a_payload())
    return drive_of(delivery, **settings)


def document(found: Tree, version: str = LATEST, name: str = "meta_data.json") -> dict[str, Any]:
    return dict(json.loads(found[f"openstack/{version}/{name}"]))


def listing(found: Tree, top: str) -> str:
    """One directory in a form for reviewers: documents spread over lines, the rest as it is."""
    parts = []
    for path, content in found.items():
        if path.startswith(f"{top}/"):
            text = json.dumps(json.loads(content), indent=2) if path.endswith(".json") else repr(content)
            parts.append(f"== {path}\n{text}\n")
    return "".join(parts)


@pytest.mark.parametrize("version", [*VERSIONS, LATEST, "content"])
def test_everything_asked_for_in_every_version(version: str) -> None:
    found = tree(EVERYTHING, EVERYTHING_PAYLOAD)
    goldens.agrees(f"configdrive/everything-{version}.txt", listing(found, f"openstack/{version}"))


def test_the_ec2_tree_with_no_version_skipped() -> None:
    found = tree(EVERYTHING, EVERYTHING_PAYLOAD, skip_versions=())
    goldens.agrees("configdrive/everything-ec2.txt", listing(found, "ec2"))


def test_nothing_asked_for_and_no_card() -> None:
    found = tree(a.an_instance(nics=()), a.a_payload(random_seed=Secret(b"seed")))
    goldens.agrees("configdrive/bare.txt", listing(found, f"openstack/{LATEST}") + listing(found, "ec2/latest"))


def test_the_paths_of_a_drive() -> None:
    goldens.agrees("configdrive/paths.txt", "\n".join(tree(EVERYTHING, EVERYTHING_PAYLOAD)) + "\n")


def test_latest_is_the_newest_version() -> None:
    found = tree(EVERYTHING, EVERYTHING_PAYLOAD)
    names = {path.rpartition("/")[2] for path in found if path.startswith(f"openstack/{LATEST}/")}
    assert len(names) == 5
    for name in names:
        assert found[f"openstack/{LATEST}/{name}"] == found[f"openstack/{VERSIONS[-1]}/{name}"]


def test_documents_are_one_line_of_ascii_as_nova_writes_them() -> None:
    text = tree(EVERYTHING, EVERYTHING_PAYLOAD)[f"openstack/{LATEST}/meta_data.json"]
    assert text.startswith(b'{"uuid": "')
    assert b"\\u00eb" in text
    assert b"\n" not in text


def test_skipped_versions_are_ec2_ones_and_can_be_all() -> None:
    everything = tree(skip_versions=(*ec2.VERSIONS, LATEST, "2018-08-27"))
    assert not [path for path in everything if path.startswith("ec2/")]
    assert "openstack/2018-08-27/meta_data.json" in everything


def test_the_seed_is_the_payloads_in_every_version_that_has_one() -> None:
    found = tree()
    seeds = [document(found, version).get("random_seed") for version in VERSIONS]
    assert seeds == [None] + [base64.b64encode(a.SEED).decode()] * 9


@pytest.mark.parametrize(
    ("hostname", "domain", "expected"),
    [("web", "novalocal", "web.novalocal"), ("web", "", "web"), ("web.example.org", "novalocal", "web.example.org")],
)
def test_the_domain_is_added_once(hostname: str, domain: str, expected: str) -> None:
    found = tree(a.an_instance(hostname=hostname), dhcp_domain=domain)
    assert document(found)["hostname"] == expected == qualified(hostname, domain)
    assert json.loads(found["ec2/latest/meta-data.json"])["local-hostname"] == expected


@pytest.mark.parametrize("user_data", [None, Secret(b"")])
def test_empty_user_data_makes_no_file(user_data: Secret | None) -> None:
    assert not [path for path in tree(payload=a.a_payload(user_data=user_data)) if "user" in path]


def test_an_empty_password_is_none() -> None:
    assert "admin_pass" not in document(tree(payload=a.a_payload(admin_password=Secret(""))))


def test_metadata_is_what_was_asked_at_boot_and_not_what_it_became() -> None:
    assert document(tree(EVERYTHING))["meta"] == {"role": "wëb", "empty": ""}


def test_what_was_left_out_is_not_on_the_drive() -> None:
    lost = (a.a_file("/etc/motd", b"secret", mode=0o600), a.a_file("/etc/motd", b"kept"))
    kinds = (ItemKind.METADATA, ItemKind.USER_DATA, ItemKind.PASSWORD)
    left_out = [LeftOut(a.an_item(kind, kind.value), "no") for kind in kinds]
    left_out.append(LeftOut(a.an_item(ItemKind.KEY, "laptop"), "no"))
    left_out.append(LeftOut(a.an_item(mode=0o600), "no"))
    payload = a.a_payload(user_data=Secret(b"#!"), files=lost, admin_password=Secret("x"))
    plan = a.a_plan(left_out=tuple(left_out))
    found = drive_of(a.a_delivery(instance=EVERYTHING, payload=payload, plan=plan))
    described = document(found)
    assert not {"public_keys", "keys", "meta", "admin_pass"} & described.keys()
    assert found["openstack/content/0000"] == b"kept"
    assert len(described["files"]) == 1
    assert f"openstack/{LATEST}/user_data" not in found


def test_the_rendered_network_is_the_first_content_and_files_follow() -> None:
    found = tree(EVERYTHING, EVERYTHING_PAYLOAD, flat_injected=True)
    described = document(found)
    assert described["network_config"] == {"name": "network_config", "content_path": "/content/0000"}
    assert found["openstack/content/0000"].startswith(b"# Static addresses")
    assert [file["content_path"] for file in described["files"]] == ["/content/0001", "/content/0002", "/content/0003"]
    assert [found[f"openstack{file['content_path']}"] for file in described["files"]] == [
        file.content.reveal() for file in EVERYTHING_PAYLOAD.files
    ]
    keys = list(described)
    assert keys[keys.index("network_config") - 1 : keys.index("network_config") + 2] == [
        "admin_pass",
        "network_config",
        "public_keys",
    ]
    assert all("network_config" in document(found, version) for version in VERSIONS)


def test_no_network_is_rendered_where_guests_ask_or_the_operator_does_not() -> None:
    dhcp = a.a_nic(network=a.a_network(subnets=(a.a_dhcp_subnet(),)))
    assert "network_config" not in document(tree(a.an_instance(nics=(dhcp,)), flat_injected=True))
    assert "network_config" not in document(tree())


def test_several_keys_are_all_there_in_the_order_they_were_asked_for() -> None:
    keys = (a.a_key(name="work", public_key="ssh-rsa BBBB"), a.a_key(name="home", public_key="ssh-rsa CCCC"))
    found = tree(a.an_instance(key=a.a_key(), more_keys=keys))
    described = document(found)
    assert list(described["public_keys"]) == [key["name"] for key in described["keys"]] == ["laptop", "work", "home"]
    assert described["public_keys"]["home"] == described["keys"][2]["data"] == "ssh-rsa CCCC"
    assert json.loads(found["ec2/latest/meta-data.json"])["public-keys"]["2"] == {"openssh-key": "ssh-rsa CCCC"}


TAGGED = a.an_instance(nics=(a.a_nic(tag="front"), a.a_nic(mac="52:54:00:00:00:02")), disk_tag="os")
DEVICES = (
    Device("disk", Bus.SCSI, "0:0:0:0", ("os",), serial="5ca1ab1e000040008000", path="/dev/sda"),
    Device("nic", Bus.PCI, "0000:01:00.0", ("front",), mac="52:54:00:00:00:01"),
)


def test_devices_with_a_role_are_described_since_the_version_that_knows_them() -> None:
    found = drive_of(a.a_delivery(instance=TAGGED, devices=DEVICES))
    with_devices = [version for version in (*VERSIONS, LATEST) if "devices" in document(found, version)]
    assert with_devices == [*VERSIONS[4:], LATEST]
    text = json.dumps(document(found)["devices"], indent=2)
    goldens.agrees("configdrive/devices.txt", text + "\n")


def test_roles_that_were_left_out_are_not_told() -> None:
    plan = a.a_plan(left_out=(LeftOut(a.an_item(ItemKind.DEVICES, "devices"), "no"),))
    assert document(drive_of(a.a_delivery(instance=TAGGED, devices=DEVICES, plan=plan)))["devices"] == []


def network(**changes: Any) -> dict[str, Any]:
    found = tree(a.an_instance(**changes))
    return document(found, name="network_data.json")


def test_a_static_card_is_told_everything() -> None:
    subnet = a.a_subnet(routes=(Route("192.168.0.0/16", "10.0.2.9"),))
    described = network(nics=(a.a_nic(network=a.a_network(mtu=9000, subnets=(subnet,))),))
    assert described["links"][0]["mtu"] == 9000
    assert described["networks"] == [
        {
            "id": "network0",
            "type": "ipv4",
            "link": "interface0",
            "ip_address": "10.0.2.15",
            "netmask": "255.255.255.0",
            "routes": [
                {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"},
                {"network": "192.168.0.0", "netmask": "255.255.0.0", "gateway": "10.0.2.9"},
            ],
            "services": [{"type": "dns", "address": "10.0.2.3"}],
            "network_id": a.a_network().id,
        }
    ]


def test_ipv6_has_its_long_netmask_and_default_route() -> None:
    subnet = a.a_subnet(cidr="2001:db8::/64", gateway="2001:db8::1", dns=())
    nic = a.a_nic(network=a.a_network(subnets=(subnet,)), addresses=(a.an_address(subnet, "2001:db8::15"),))
    (described,) = network(nics=(nic,))["networks"]
    assert (described["type"], described["netmask"]) == ("ipv6", "ffff:ffff:ffff:ffff::")
    assert described["routes"] == [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}]


@pytest.mark.parametrize(("cidr", "kind"), [("192.0.2.0/24", "ipv4_dhcp"), ("2001:db8::/64", "ipv6_dhcp")])
def test_a_card_with_dhcp_is_told_no_address_and_no_mtu(cidr: str, kind: str) -> None:
    wired = a.a_network(mtu=1400, subnets=(a.a_dhcp_subnet(cidr=cidr),))
    described = network(nics=(a.a_nic(network=wired),))
    assert described["networks"] == [
        {"id": "network0", "type": kind, "link": "interface0", "network_id": wired.id},
    ]
    assert "mtu" not in described["links"][0]


@pytest.mark.parametrize(("mode", "mtu"), [("slaac", 1400), ("dhcpv6-stateless", None), ("dhcpv6-stateful", None)])
def test_a_card_that_finds_its_own_address_is_told_how(mode: str, mtu: int | None) -> None:
    subnet = a.a_dhcp_subnet(cidr="2001:db8::/64", dns=("2001:db8::3",), ipv6_mode=Ipv6Mode(mode))
    wired = a.a_network(mtu=1400, subnets=(subnet,))
    described = network(nics=(a.a_nic(network=wired),))
    assert described["networks"] == [
        {"id": "network0", "type": f"ipv6_{mode}", "link": "interface0", "network_id": wired.id},
    ]
    assert described["services"] == [{"type": "dns", "address": "2001:db8::3"}]
    assert described["links"][0].get("mtu") == mtu


def test_every_subnet_and_every_name_server_is_described_once() -> None:
    both = a.a_network(subnets=(a.a_subnet(dns=("10.0.2.3", "1.1.1.1")), a.a_dhcp_subnet(dns=("1.1.1.1",))))
    addresses = (a.an_address(both.subnets[0], "10.0.2.15"), a.an_address(both.subnets[1]))
    described = network(nics=(a.a_nic(network=both, addresses=addresses),))
    assert [one["type"] for one in described["networks"]] == ["ipv4", "ipv4_dhcp"]
    assert [one["address"] for one in described["services"]] == ["10.0.2.3", "1.1.1.1"]


def test_a_card_without_subnets_is_skipped_and_no_card_at_all_is_an_empty_document() -> None:
    assert network(nics=(a.a_nic(network=a.a_network(subnets=())),)) == {"links": [], "networks": [], "services": []}
    assert network(nics=()) == {}


def _no_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_no_null, value.values()))
    if isinstance(value, list):
        return all(map(_no_null, value))
    return value is not None


@given(INSTANCES, PAYLOADS)
def test_any_drive_says_exactly_what_was_asked_in_every_version(instance: Instance, payload: Payload) -> None:
    found = tree(instance, payload)
    for version in (*VERSIONS, LATEST):
        described = document(found, version)
        assert described["uuid"] == instance.id
        assert described["name"] == instance.name
        assert described.get("meta", {}) == instance.asked_metadata
        assert described.get("public_keys", {}) == {key.name: key.public_key for key in instance.keys}
        delivered = [
            (entry["path"], found["openstack" + entry["content_path"]]) for entry in described.get("files", [])
        ]
        assert delivered == [(file.path, file.content.reveal()) for file in payload.files]
        expected = payload.user_data.reveal() if payload.user_data else None
        assert found.get(f"openstack/{version}/user_data") == expected


@given(INSTANCES)
def test_any_keys_are_told_in_their_order_to_every_reader(instance: Instance) -> None:
    found = tree(instance, skip_versions=())
    told = [{"name": key.name, "type": key.type, "data": key.public_key} for key in instance.keys]
    for version in (*VERSIONS, LATEST):
        described = document(found, version)
        assert described.get("keys", []) == told
        assert list(described.get("public_keys", {})) == [key.name for key in instance.keys]
    for version in (*ec2.VERSIONS, LATEST):
        numbered = json.loads(found[f"ec2/{version}/meta-data.json"]).get("public-keys", {})
        assert [one["openssh-key"] for one in numbered.values()] == [key.public_key for key in instance.keys]
        assert list(numbered) == [str(number) for number in range(len(instance.keys))]


@given(VENDOR_DATA, VENDOR_DATA)
def test_any_vendor_data_is_where_the_version_has_a_place_for_it(first: dict[str, Any], second: dict[str, Any]) -> None:
    delivery = a.a_delivery()
    assert delivery.ingredients is not None
    texts = (Secret(json.dumps(first)), Secret(json.dumps(second)))
    said = replace(delivery.ingredients, vendor_data=texts[0], vendor_data2=texts[1])
    found = tree_of(contents_of(replace(delivery, ingredients=said)))
    for name, since, expected in (("vendor_data", 2, first), ("vendor_data2", 5, second)):
        told = {version: found.get(f"openstack/{version}/{name}.json") for version in (*VERSIONS, LATEST)}
        assert [version for version, text in told.items() if text is None] == list(VERSIONS[:since])
        assert all(json.loads(text) == expected for text in told.values() if text is not None)


@given(ANY_DEVICES)
def test_any_devices_are_told_the_same_since_the_version_that_knows_them(devices: tuple[Device, ...]) -> None:
    found = drive_of(a.a_delivery(devices=devices))
    expected = [_described(device) for device in devices]
    for version in (*VERSIONS, LATEST):
        told = document(found, version).get("devices")
        assert told == (None if version in VERSIONS[:4] else expected)


def _described(device: Device) -> dict[str, Any]:
    values = {name: getattr(device, name) for name in ("type", "mac", "serial", "path", "address")}
    values |= {"bus": device.bus.value, "tags": list(device.tags)}
    return {name: value for name, value in values.items() if value is not None}


@given(INSTANCES, PAYLOADS)
def test_any_drive_has_plain_paths_valid_documents_and_nothing_null(instance: Instance, payload: Payload) -> None:
    for path, content in tree(instance, payload).items():
        assert path.isascii()
        assert ".." not in path.split("/")
        if path.endswith(".json"):
            assert _no_null(json.loads(content))


@given(INSTANCES, PAYLOADS)
def test_the_order_of_a_records_metadata_does_not_show(instance: Instance, payload: Payload) -> None:
    turned = replace(instance, asked_metadata=dict(reversed(list(instance.asked_metadata.items()))))
    assert list(tree(instance, payload).items()) == list(tree(turned, payload).items())


@pytest.mark.parametrize(
    ("bus", "device"),
    [(None, "vda"), ("virtio", "vda"), ("scsi", "sda"), ("sata", "sda"), ("usb", "sda"), ("ide", "hda")],
)
def test_the_ec2_tree_names_the_root_device_by_its_bus(bus: str | None, device: str) -> None:
    image = a.an_image(properties={} if bus is None else {"hw_disk_bus": bus})
    found = json.loads(tree(a.an_instance(image=image), skip_versions=())["ec2/latest/meta-data.json"])
    assert found["block-device-mapping"] == {"ami": device, "root": f"/dev/{device}"}


def test_the_ec2_tree_names_the_ramdisk_since_it_was_known() -> None:
    ramdisk = a.an_image(id="5ca1ab1e-4444-4000-8000-000000000001")
    found = tree(a.an_instance(ramdisk=ramdisk), skip_versions=())
    documents = {version: json.loads(found[f"ec2/{version}/meta-data.json"]) for version in ec2.VERSIONS}
    assert [version for version in ec2.VERSIONS if "ramdisk-id" in documents[version]] == list(ec2.VERSIONS[5:])
    assert documents[ec2.VERSIONS[-1]]["ramdisk-id"] == "ari-5ca1ab1e"


def test_the_ec2_tree_has_the_first_ipv4_address() -> None:
    six, four = a.a_subnet(cidr="fd00::/64"), a.a_subnet()
    dual = a.a_nic(addresses=(a.an_address(six, "fd00::9"), a.an_address(four, "10.0.2.16")))
    found = tree(a.an_instance(nics=(dual, a.a_nic())), skip_versions=())
    assert json.loads(found["ec2/latest/meta-data.json"])["local-ipv4"] == "10.0.2.16"


def test_a_card_without_an_address_does_not_hide_the_next() -> None:
    dhcp = a.a_nic(mac="52:54:00:00:00:07", network=a.a_network(subnets=(a.a_dhcp_subnet(),)))
    none = a.a_nic(mac="52:54:00:00:00:08", addresses=())
    found = document(tree(a.an_instance(nics=(none, dhcp, a.a_nic()))), name="network_data.json")
    assert "10.0.2.15" in [network.get("ip_address") for network in found["networks"]]


def test_a_link_says_what_it_is_and_its_mtu_unless_dhcp_tells_it() -> None:
    bridged = a.a_network(kind=NetworkKind.BRIDGE, mtu=1400)
    half = a.a_network(mtu=1300, subnets=(a.a_dhcp_subnet(), a.a_subnet()))
    addresses = (a.an_address(half.subnets[0]), a.an_address(half.subnets[1], "10.0.2.15"))
    nics = (a.a_nic(network=bridged), a.a_nic(network=half, addresses=addresses))
    links = document(tree(a.an_instance(nics=nics)), name="network_data.json")["links"]
    assert [(link["type"], link.get("mtu")) for link in links] == [("bridge", 1400), ("phy", None)]


@pytest.mark.parametrize("lost", [ItemKind.USER_DATA, ItemKind.PASSWORD, ItemKind.METADATA])
def test_empty_secrets_are_none_and_one_left_out_takes_no_other_with_it(lost: ItemKind) -> None:
    plan = a.a_plan(left_out=(LeftOut(a.an_item(lost, lost.value), "no"), LeftOut(a.an_item(name="/other"), "no")))
    payload = a.a_payload(user_data=Secret("#!"), admin_password=Secret("pw"))
    instance = a.an_instance(asked_metadata={"a": "1"})
    contents = contents_of(a.a_delivery(plan=plan, payload=payload, instance=instance))
    found = {
        ItemKind.USER_DATA: contents.user_data,
        ItemKind.PASSWORD: contents.admin_password,
        ItemKind.METADATA: contents.metadata,
    }
    assert {kind for kind, content in found.items() if content is None} == {lost}
    empty = a.a_delivery(payload=a.a_payload(user_data=Secret(""), admin_password=Secret("")))
    assert contents_of(empty).user_data is None
    assert contents_of(empty).admin_password is None
