"""The lint of ``network_data.json``: each finding after a guest that stayed without network somewhere else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from injector.errors import InternalError
from injector.inject import lint
from injector.inject.configdrive.network_data import network_data
from injector.model.finding import Check
from injector.model.network import Address, NetworkKind, Route
from tests import builders

Json = dict[str, Any]
MAC = "52:54:00:00:00:01"

GOOD: Json = {
    "links": [{"id": "interface0", "vif_id": "v", "type": "phy", "mtu": 1400, "ethernet_mac_address": MAC}],
    "networks": [
        {
            "id": "network0",
            "type": "ipv4",
            "link": "interface0",
            "ip_address": "10.0.2.15",
            "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"}],
            "services": [{"type": "dns", "address": "10.0.2.3"}],
            "network_id": "n",
        },
        {
            "id": "network1",
            "type": "ipv6",
            "link": "interface0",
            "ip_address": "fd00::15",
            "netmask": "ffff:ffff:ffff:ffff::",
            "routes": [{"network": "::", "netmask": "::", "gateway": "fe80::1"}],
        },
        {"id": "network2", "type": "ipv4_dhcp", "link": "interface0"},
        {"id": "network3", "type": "ipv4", "link": "interface0", "ip_address": "192.0.2.1/31", "gateway": "192.0.2.0"},
    ],
    "services": [{"type": "dns", "address": "fd00::53"}],
}


def found(document: Json, *macs: str) -> list[tuple[Check, str]]:
    return [(one.check, one.field.removeprefix("network_data.")) for one in lint.network_data(document, macs or (MAC,))]


def changed(change: Callable[[Json], None]) -> Json:
    document = copy.deepcopy(GOOD)
    change(document)
    return document


def put(value: Any, *path: str | int) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def test_nothing_is_said_of_what_is_right() -> None:
    assert found(GOOD, MAC.upper(), "52:54:00:00:00:02") == []
    assert found({}) == []


SCHEMA, ADDRESS = Check.NETWORK_SCHEMA, Check.NETWORK_ADDRESS
NULL = object()

WRONG: dict[str, tuple[Check, str, Callable[[Json], None]]] = {
    # canonical/cloud-init#2727: a null type of a card broke the network of every guest of a cloud
    "null type": (SCHEMA, "links[0].type", put(NULL, "links", 0, "type")),
    # canonical/cloud-init#2761: ValueError for a type it had not heard of
    "unknown type": (SCHEMA, "links[0].type", put("quantum", "links", 0, "type")),
    "no type": (SCHEMA, "links[0]", put(None, "links", 0, "type")),
    "no links": (SCHEMA, "", put(None, "links")),
    "links that are no list": (SCHEMA, "links", put({}, "links")),
    # canonical/cloud-init#2698: a bond without what cloud-init wanted of it
    "a bond of nothing": (SCHEMA, "links[0]", put("bond", "links", 0, "type")),
    "a card without a MAC": (SCHEMA, "links[0]", put(None, "links", 0, "ethernet_mac_address")),
    "a MAC that is none": (SCHEMA, "links[0].ethernet_mac_address", put("52:54", "links", 0, "ethernet_mac_address")),
    "a network of no card": (SCHEMA, "networks[2].link", put("eth0", "networks", 2, "link")),
    "a network of no type": (SCHEMA, "networks[2].type", put("static", "networks", 2, "type")),
    "a static network without an address": (SCHEMA, "networks[0]", put(None, "networks", 0, "ip_address")),
    "a service that is not DNS": (SCHEMA, "services[0].type", put("ntp", "services", 0, "type")),
    # Ironic repairs Nova's drives for this (check_and_fix_configdrive)
    "null MTU": (Check.NETWORK_MTU, "links[0].mtu", put(NULL, "links", 0, "mtu")),
    # canonical/cloud-init#6239: an MTU of 0 made netplan refuse all of it
    "an MTU of 0": (Check.NETWORK_MTU, "links[0].mtu", put(0, "links", 0, "mtu")),
    "an MTU in words": (Check.NETWORK_MTU, "links[0].mtu", put("1500", "links", 0, "mtu")),
    "an MTU that is true": (Check.NETWORK_MTU, "links[0].mtu", put(True, "links", 0, "mtu")),
    "an MTU too large": (Check.NETWORK_MTU, "links[0].mtu", put(65536, "links", 0, "mtu")),
    # canonical/cloud-init#3920 and #4125: Unable to find a system nic; kubevirt/kubevirt#10180
    "a card the guest has not": (
        Check.NETWORK_MAC,
        "links[0].ethernet_mac_address",
        put("52:54:00:00:00:09", "links", 0, "ethernet_mac_address"),
    ),
    "no address": (ADDRESS, "networks[0].ip_address", put("ten", "networks", 0, "ip_address")),
    "another family": (ADDRESS, "networks[0].ip_address", put("fd00::1", "networks", 0, "ip_address")),
    "no mask": (ADDRESS, "networks[0].ip_address", put(None, "networks", 0, "netmask")),
    "a mask with a hole": (ADDRESS, "networks[1].ip_address", put("ffff::ffff", "networks", 1, "netmask")),
    "the subnet itself": (ADDRESS, "networks[0].ip_address", put("10.0.2.0", "networks", 0, "ip_address")),
    "the broadcast address": (ADDRESS, "networks[0].ip_address", put("10.0.2.255", "networks", 0, "ip_address")),
    "loopback": (ADDRESS, "networks[1].ip_address", put("::1", "networks", 1, "ip_address")),
    "an address twice": (ADDRESS, "networks[3].ip_address", put("10.0.2.15/32", "networks", 3, "ip_address")),
    "a route of another family": (
        ADDRESS,
        "networks[0].routes[0]",
        put({"network": "::", "netmask": "::", "gateway": "10.0.2.2"}, "networks", 0, "routes", 0),
    ),
    "a gateway that is none": (
        ADDRESS,
        "networks[0].routes[0].gateway",
        put("gw", "networks", 0, "routes", 0, "gateway"),
    ),
    "the guest as its own gateway": (
        ADDRESS,
        "networks[0].routes[0].gateway",
        put("10.0.2.15", "networks", 0, "routes", 0, "gateway"),
    ),
    # shapeblue/cloudstack#132: network data that left the guest without a way out
    "a gateway outside": (
        Check.NETWORK_GATEWAY,
        "networks[0].routes[0].gateway",
        put("10.0.3.1", "networks", 0, "routes", 0, "gateway"),
    ),
    # canonical/cloud-init#5386 and #2666: name servers in odd places
    "a resolver that is no address": (
        ADDRESS,
        "networks[0].services[0].address",
        put("dns.example", "networks", 0, "services", 0, "address"),
    ),
}


@pytest.mark.parametrize(("check", "field", "change"), WRONG.values(), ids=WRONG.keys())
def test_what_left_guests_without_network_is_found(check: Check, field: str, change: Callable[[Json], None]) -> None:
    document = changed(change)
    text = _with_nulls(document)
    expected = [(check, field)] if field else [(check, "network_data")]
    assert [one for one in found(text) if one[0] is check] == expected
    assert len(found(text)) <= 2, "one fault has its consequences at most once"


def _with_nulls(value: Any) -> Any:
    """JSON's null where NULL was put, since None means to take away."""
    if isinstance(value, dict):
        return {key: _with_nulls(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_nulls(one) for one in value]
    return None if value is NULL else value


def test_the_smallest_and_the_largest_mtu_are_taken() -> None:
    for mtu, right in ((67, False), (68, True), (65535, True), (65536, False)):
        assert (found(changed(put(mtu, "links", 0, "mtu"))) == []) is right


@pytest.mark.parametrize(
    "kind",
    ["bgpovs", "bridge", "cascading", "dvs", "ethernet", "hw_veb", "hyperv", "ovs", "phy", "tap", "vhostuser", "vif"],
)
def test_every_card_that_cloud_init_takes_is_taken(kind: str) -> None:
    assert found(changed(put(kind, "links", 0, "type"))) == []
    assert found(changed(put(kind, "links", 0, "type")), "52:54:00:00:00:02")[0][0] is Check.NETWORK_MAC


DYNAMIC = ["ipv4_dhcp", "ipv6_dhcp", "ipv6_slaac", "ipv6_dhcpv6-stateless", "ipv6_dhcpv6-stateful"]


@pytest.mark.parametrize("kind", DYNAMIC)
def test_addresses_that_the_guest_asks_for_are_not_told(kind: str) -> None:
    assert found(changed(put(kind, "networks", 2, "type"))) == []


KEYS = (
    ("links",),
    ("networks",),
    *(("links", 0, key) for key in ("id", "type", "ethernet_mac_address")),
    *(("networks", 0, key) for key in ("id", "type", "link", "ip_address")),
    *(("networks", 0, "routes", 0, key) for key in ("network", "netmask", "gateway")),
    *(("networks", 0, "services", 0, key) for key in ("type", "address")),
)


@pytest.mark.parametrize("path", KEYS, ids=lambda path: ".".join(map(str, path)))
def test_what_readers_look_for_must_be_there_and_be_of_its_type(path: tuple[str | int, ...]) -> None:
    (finding,) = lint.network_data(changed(put(None, *path)), (MAC,))
    assert (finding.check, finding.message) == (SCHEMA, f"{path[-1]} is missing")
    assert {check for check, _ in found(changed(put(7, *path)))} == {SCHEMA}


@pytest.mark.parametrize("path", [path for path in KEYS if path[-1] not in ("links", "networks", "type")])
def test_what_readers_look_for_must_not_be_empty(path: tuple[str | int, ...]) -> None:
    assert {check for check, _ in found(changed(put("", *path)))} == {SCHEMA}


def test_what_is_no_object_or_list_is_none() -> None:
    for path in (("links", 0), ("networks", 0), ("networks", 0, "routes", 0), ("services", 0), ("services",)):
        assert [check for check, _ in found(changed(put("x", *path)))] == [SCHEMA]
    for key in ("vif_id",):
        assert found(changed(put(7, "links", 0, key)))[0][0] is SCHEMA
    assert found(changed(put(7, "networks", 0, "network_id")))[0][0] is SCHEMA


def test_links_made_of_others_must_be_made_of_something() -> None:
    bond = {"id": "bond0", "type": "bond", "bond_links": ["interface0"], "bond_mode": "active-backup"}
    vlan = {"id": "vlan0", "type": "vlan", "vlan_link": "bond0", "vlan_id": 7}
    good = GOOD | {"links": [*GOOD["links"], bond, vlan]}
    assert found(good) == []
    assert found(GOOD | {"links": [*GOOD["links"], vlan]}) == [(SCHEMA, "links[1]")]
    assert found(GOOD | {"links": [*GOOD["links"], *GOOD["links"]]}) == [(SCHEMA, "links[1].id")]
    for wrong in (
        *(bond | {"bond_links": names} for names in ([], [""], "interface0")),
        *({key: value for key, value in bond.items() if key != left} for left in ("bond_links", "bond_mode")),
        *({key: value for key, value in vlan.items() if key != left} for left in ("vlan_link", "vlan_id")),
        *(vlan | {"vlan_id": number} for number in (0, 4095, "7")),
        vlan | {"vlan_link": ""},
        vlan | {"vlan_mac_address": "x"},
        bond | {"bond_mode": ""},
    ):
        assert {check for check, _ in found(GOOD | {"links": [*GOOD["links"], bond, wrong]})} == {SCHEMA}
    for number in (1, 4094):
        assert found(GOOD | {"links": [*GOOD["links"], bond, vlan | {"vlan_id": number}]}) == []


def test_hostile_text_is_harmless_in_a_message() -> None:
    evil = changed(put("fe80::2%\x1b[31mred", "networks", 1, "routes", 0, "gateway"))
    assert all("\x1b" not in one.message for one in lint.network_data(evil, (MAC,)))
    (finding,) = lint.network_data({"links": [], "networks": [], "services": {"\x1b": 1}}, (MAC,))
    assert "\x1b" not in finding.field + finding.message


def test_what_we_render_passes() -> None:
    subnets = (
        builders.a_subnet(routes=(Route("192.0.2.0/24", "10.0.2.1"),)),
        builders.a_subnet(cidr="fd00::/64", gateway="fd00::1", dns=("fd00::53",), pool_first=None, pool_last=None),
        builders.a_dhcp_subnet(),
    )
    network = builders.a_network(kind=NetworkKind.BRIDGE, source="br0", mtu=1400, subnets=subnets)
    ips = ("10.0.2.15", "fd00::15", None)
    nic = builders.a_nic(network=network, addresses=tuple(map(Address, subnets, ips)))
    document = network_data(builders.an_instance(nics=(nic, builders.a_nic(mac="52:54:00:00:00:02", addresses=()))))
    assert document["links"]
    assert lint.network_data(document, [nic.mac]) == ()


def test_a_bug_of_ours_is_caught_before_the_guest_boots() -> None:
    nic = builders.a_nic(network=builders.a_network(mtu=0))
    with pytest.raises(InternalError, match=r"network_data.links\[0\].mtu"):
        network_data(builders.an_instance(nics=(nic,)))
