"""Addresses come from pools, never twice, and never where DHCP rules."""

from __future__ import annotations

import re

import pytest

from injector.errors import Conflict, InvalidRequest
from injector.model.boot import NicOrder
from injector.network import allocate
from tests import builders


def test_the_first_free_address_of_the_pool() -> None:
    network = builders.a_network(subnets=(builders.a_subnet(pool_first="10.0.2.15", pool_last="10.0.2.17"),))
    taken = {"10.0.2.15"}
    assert allocate.plug(NicOrder(network), taken).addresses[0].ip == "10.0.2.16"


def test_an_exhausted_pool_names_the_network() -> None:
    network = builders.a_network(subnets=(builders.a_subnet(pool_first="10.0.2.15", pool_last="10.0.2.15"),))
    with pytest.raises(Conflict, match="lab"):
        allocate.plug(NicOrder(network), {"10.0.2.15"})


def test_without_a_pool_every_host_but_the_gateway() -> None:
    subnet = builders.a_subnet(cidr="10.9.0.0/30", gateway="10.9.0.1", pool_first=None, pool_last=None)
    network = builders.a_network(subnets=(subnet,))
    assert allocate.plug(NicOrder(network), set()).addresses[0].ip == "10.9.0.2"


def test_one_address_from_each_subnet() -> None:
    six = builders.a_subnet(
        cidr="2001:db8::/64", gateway="2001:db8::1", pool_first="2001:db8::10", pool_last="2001:db8::20"
    )
    nic = allocate.plug(NicOrder(builders.a_network(subnets=(builders.a_subnet(), six))), set())
    assert [address.ip for address in nic.addresses] == ["10.0.2.15", "2001:db8::10"]


def test_dhcp_promises_nothing() -> None:
    network = builders.a_network(subnets=(builders.a_dhcp_subnet(),))
    nic = allocate.plug(NicOrder(network), set())
    assert (nic.addresses[0].ip, nic.static) == (None, False)
    with pytest.raises(InvalidRequest, match="DHCP"):
        allocate.plug(NicOrder(network, "192.0.2.9"), set())


@pytest.mark.parametrize(
    ("fixed", "error"),
    [
        ("10.0.2.40", None),
        ("10.0.2.2", Conflict),
        ("10.0.2.50", Conflict),
        ("10.7.0.1", InvalidRequest),
        ("x", InvalidRequest),
    ],
)
def test_a_fixed_address(fixed: str, error: type[Exception] | None) -> None:
    order = NicOrder(builders.a_network(), fixed)
    if error is None:
        assert allocate.plug(order, {"10.0.2.50"}).addresses[0].ip == fixed
    else:
        with pytest.raises(error):
            allocate.plug(order, {"10.0.2.50"})


def test_forwards_take_ports_that_are_free() -> None:
    nics = (builders.a_nic(network=builders.a_network(forwards=(22, 80))),)
    made = allocate.forwards(nics, range(20000, 20003), {20001})
    assert {forward.host_port for forward in made} == {20000, 20002}
    assert [forward.guest_port for forward in made] == [22, 80]
    with pytest.raises(Conflict):
        allocate.forwards(nics, range(20000, 20001), set())


def test_a_mac_is_of_openstacks_guests() -> None:
    macs = {allocate.new_mac() for _ in range(50)}
    assert len(macs) > 45
    assert all(re.fullmatch("fa:16:3e(:[0-9a-f]{2}){3}", mac) for mac in macs)


@pytest.mark.parametrize("fixed", ["10.0.2.2", "10.7.0.1", "x", "192.0.2.9"])
def test_what_is_wrong_with_a_fixed_address_names_it(fixed: str) -> None:
    network = builders.a_network(subnets=(builders.a_subnet(), builders.a_dhcp_subnet()))
    with pytest.raises((Conflict, InvalidRequest)) as refusal:
        allocate.plug(NicOrder(network, fixed), set())
    assert refusal.value.field == "networks.fixed_ip"


def test_an_exhausted_network_is_named_by_its_field() -> None:
    with pytest.raises(Conflict) as refusal:
        allocate.plug(NicOrder(builders.a_network(subnets=(builders.a_subnet(pool_last="10.0.2.15"),))), {"10.0.2.15"})
    assert refusal.value.field == "networks"
