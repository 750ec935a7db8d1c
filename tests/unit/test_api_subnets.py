"""Subnets: by the rules of IP."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.api.subnets import parse_subnets
from injector.errors import InvalidRequest
from injector.model.network import Ipv6Mode, Route, Subnet

STATIC = {"cidr": "10.0.2.0/24", "gateway": "10.0.2.2", "pool_first": "10.0.2.15", "pool_last": "10.0.2.99"}


def test_values_in_canonical_form() -> None:
    document = {
        "cidr": "FD00:0::/64",
        "gateway": "fd00::0001",
        "dns": ["FD00::2", "192.0.2.1"],
        "pool_first": "fd00::10",
        "pool_last": "fd00::20",
        "routes": [{"destination": "::/0", "gateway": "fd00::3"}],
    }
    assert parse_subnets([document]) == (
        Subnet(
            "fd00::/64",
            gateway="fd00::1",
            dns=("fd00::2", "192.0.2.1"),
            pool_first="fd00::10",
            pool_last="fd00::20",
            routes=(Route("::/0", "fd00::3"),),
        ),
    )


def test_the_least_that_is_a_subnet() -> None:
    assert parse_subnets([{"cidr": "192.0.2.0/30"}, {"cidr": "198.51.100.0/24", "dhcp": True}]) == (
        Subnet("192.0.2.0/30"),
        Subnet("198.51.100.0/24", dhcp=True),
    )


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("cidr", {"cidr": "10.0.2.1/24"}),
        ("cidr", {"cidr": "ten"}),
        ("cidr", {"cidr": "10.0.2.0/31"}),
        ("gateway", {"gateway": "10.0.3.1"}),
        ("gateway", {"gateway": "fd00::1"}),
        ("gateway", {"gateway": "10.0.2.20"}),
        ("gateway", {"gateway": "10.0.2.0"}),
        ("gateway", {"gateway": "10.0.2.255"}),
        ("gateway", {"gateway": "router"}),
        ("dns[1]", {"dns": ["10.0.2.3", "one.one"]}),
        ("dns[0]", {"dns": ["fe80::1%eth0"]}),
        ("pool_first", {"pool_first": None}),
        ("pool_last", {"pool_last": None}),
        ("pool_last", {"pool_last": "10.0.2.14"}),
        ("pool_last", {"pool_last": "10.0.3.1"}),
        ("pool_first", {"dhcp": True}),
        ("routes[0].destination", {"routes": [{"destination": "10.1.0.1/16", "gateway": "10.0.2.3"}]}),
        ("routes[0].destination", {"routes": [{"destination": "fd00::/8", "gateway": "10.0.2.3"}]}),
        ("routes[0].gateway", {"routes": [{"destination": "10.1.0.0/16", "gateway": "10.1.0.1"}]}),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_subnets([{"cidr": "192.0.2.0/24"}, STATIC | changes])
    assert refused.value.field == f"injector:subnets[1].{field}"
    assert refused.value.field in refused.value.message


@pytest.mark.parametrize("mode", list(Ipv6Mode))
def test_a_mode_means_that_the_guest_asks(mode: Ipv6Mode) -> None:
    (subnet,) = parse_subnets([{"cidr": "fd00::/64", "ipv6_mode": mode.value, "dns": ["fd00::3"]}])
    assert subnet == Subnet("fd00::/64", dhcp=True, dns=("fd00::3",), ipv6_mode=mode)
    assert parse_subnets([{"cidr": "fd00::/64", "ipv6_mode": mode.value, "dhcp": True}])[0].ipv6_mode is mode


@pytest.mark.parametrize(
    ("document", "field", "why"),
    [
        ({"cidr": "192.0.2.0/24", "ipv6_mode": "slaac"}, "ipv6_mode", "an IPv4 network"),
        ({"cidr": "fd00::/64", "ipv6_mode": "slaac", "dhcp": False}, "ipv6_mode", "told its address"),
        ({"cidr": "fd00::/80", "ipv6_mode": "slaac"}, "ipv6_mode", "in a /64 only"),
        ({"cidr": "fd00::/56", "ipv6_mode": "dhcpv6-stateless"}, "ipv6_mode", "in a /64 only"),
        (
            {"cidr": "fd00::/64", "ipv6_mode": "slaac", "pool_first": "fd00::5", "pool_last": "fd00::9"},
            "pool_first",
            "elsewhere",
        ),
    ],
)
def test_modes_that_cannot_be(document: dict[str, object], field: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as refused:
        parse_subnets([document])
    assert refused.value.field == f"injector:subnets[0].{field}"
    assert parse_subnets([{"cidr": "fd00::/80", "ipv6_mode": "dhcpv6-stateful"}])[0].ipv6_mode is Ipv6Mode.STATEFUL


def test_subnets_do_not_overlap() -> None:
    with pytest.raises(InvalidRequest, match="overlaps"):
        parse_subnets([{"cidr": "10.0.0.0/8"}, STATIC])
    assert len(parse_subnets([{"cidr": "::/0"}, STATIC])) == 2


@given(
    prefix=st.integers(8, 30),
    offsets=st.lists(st.integers(1, 2**24), min_size=3, max_size=3),
)
def test_whatever_is_accepted_is_usable(prefix: int, offsets: list[int]) -> None:
    network = ip_network(f"10.0.0.0/{prefix}")
    gateway, first, last = (str(ip_address(int(network.network_address) + offset)) for offset in offsets)
    document = {"cidr": str(network), "gateway": gateway, "pool_first": first, "pool_last": last}
    try:
        (subnet,) = parse_subnets([document])
    except InvalidRequest:
        return
    hosts = {ip_address(address) for address in (gateway, first, last)}
    assert all(address in network for address in hosts)
    assert not hosts & {network.network_address, network.broadcast_address}
    assert int(ip_address(first)) <= int(ip_address(last))
    assert not int(ip_address(first)) <= int(ip_address(gateway)) <= int(ip_address(last))
    assert subnet.cidr == str(network)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("10.0.0.0/8", "10.0.2.0/24", True),
        ("10.0.2.0/24", "10.0.3.0/24", False),
        ("fd00::/48", "fd00::/64", True),
        ("fd00::/64", "fd00:0:0:1::/64", False),
        ("10.0.2.0/24", "fd00::/64", False),
        ("fd00::/64", "10.0.2.0/24", False),
    ],
)
def test_subnets_of_one_family_may_not_overlap(one: str, other: str, overlap: bool) -> None:
    documents = [{"cidr": one}, {"cidr": other}]
    if overlap:
        with pytest.raises(InvalidRequest, match="overlaps") as refusal:
            parse_subnets(documents)
        assert refusal.value.field == "injector:subnets[1].cidr"
    else:
        assert [subnet.cidr for subnet in parse_subnets(documents)] == [one, other]


def test_a_pool_may_be_one_address_and_ipv6_has_no_broadcast() -> None:
    one = {"pool_first": "10.0.2.15", "pool_last": "10.0.2.15"}
    assert parse_subnets([STATIC | one])[0].pool_last == "10.0.2.15"
    assert parse_subnets([{"cidr": "fd00::/64", "gateway": "fd00::ffff:ffff:ffff:ffff"}])[0].gateway is not None
    assert parse_subnets([{"cidr": "10.0.2.0/24", "gateway": "10.0.2.2"}])[0].pool_first is None


@pytest.mark.parametrize(
    ("cidr", "why"), [("10.0.2.1/24", "it has host bits set"), ("ten", "it is not a network such as")]
)
def test_what_is_wrong_with_a_network_is_said(cidr: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        parse_subnets([{"cidr": cidr}])
