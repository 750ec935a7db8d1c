"""The guest's network configuration as text: the golden ones, Nova's rules of what is told, and templates that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from injector.errors import ChannelBroken, InvalidRequest
from injector.inject.interfaces import Interfaces
from injector.model.network import Nic, Route, Subnet
from tests import builders as a
from tests import goldens

V4 = a.a_subnet(dns=("10.0.2.3", "1.1.1.1"), routes=(Route("192.168.0.0/16", "10.0.2.9"),))
V6 = a.a_subnet(cidr="2001:db8::/64", gateway="2001:db8::1", dns=("2001:db8::3",))
BARE = a.a_subnet(cidr="198.51.100.0/28", gateway=None, dns=())
DHCP = a.a_dhcp_subnet()


def card(number: int, *told: tuple[Subnet, str | None]) -> Nic:
    network = a.a_network(subnets=tuple(subnet for subnet, _ in told))
    addresses = tuple(a.an_address(subnet, ip) for subnet, ip in told)
    return a.a_nic(mac=f"52:54:00:00:00:{number:02x}", network=network, addresses=addresses)


def test_the_shipped_template() -> None:
    cards = [
        card(1, (V4, "10.0.2.15"), (V6, "2001:db8::15")),
        card(2, (DHCP, None)),
        card(3, (V6, "2001:db8::16")),
        card(4, (BARE, "198.51.100.3"), (V4, "10.0.2.16")),
    ]
    text = Interfaces().render(cards)
    assert text is not None
    goldens.agrees("configdrive/interfaces.txt", text.decode())


@pytest.mark.parametrize(
    "nics",
    [
        (),
        (a.a_nic(addresses=()),),
        (card(1, (DHCP, None)),),
        (card(1, (V4, "10.0.2.15"), (a.a_dhcp_subnet(cidr="fd00::/64"), None)),),
    ],
)
def test_nothing_is_told_of_cards_that_ask(nics: tuple[Nic, ...]) -> None:
    assert Interfaces().render(nics) is None


def test_an_operators_template_has_novas_variables(tmp_path: Path) -> None:
    template = tmp_path / "interfaces"
    template.write_text(
        "{% for one in interfaces %}{{ one.name }} {{ one.hwaddress }} {{ one.address }}/{{ one.netmask }} "
        "{{ one.broadcast }} {{ one.gateway }} {{ one.dns }} {% for route in one.routes %}"
        "{{ route.cidr }} {{ route.netmask }} {{ route.network }} {{ route.gateway }}{% endfor %} "
        "{{ one.address_v6 }}/{{ one.netmask_v6 }} "
        "{{ one.gateway_v6 }} {{ one.dns_v6 }}{% endfor %} {{ use_ipv6 }} {{ libvirt_virt_type }}\n"
    )
    text = Interfaces(template, "qemu").render([card(1, (V4, "10.0.2.15"), (V6, "2001:db8::15"))])
    assert text == (
        b"eth0 52:54:00:00:00:01 10.0.2.15/255.255.255.0 10.0.2.255 10.0.2.2 10.0.2.3 1.1.1.1 192.168.0.0/16 "
        b"255.255.0.0 192.168.0.0 10.0.2.9 2001:db8::15/64 2001:db8::1 2001:db8::3 True qemu\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{% for card in interfaces %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ interfaces[0].address.a.b.c }}",
        "{{ 'x' * 300000 }}",
        "{% for n in range(1000000000) %}{% endfor %}",
        "x" * 70000,
        b"\xff\xfe",
    ],
)
def test_a_template_that_cannot_be_used_is_refused_before_any_guest_depends_on_it(
    tmp_path: Path, text: str | bytes
) -> None:
    template = tmp_path / "interfaces"
    template.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidRequest) as refused:
        Interfaces(template)
    assert refused.value.field == "injected_network_template"


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        Interfaces(tmp_path / "nothing")


def test_a_template_that_fails_on_the_cards_of_a_guest_ends_its_boot(tmp_path: Path) -> None:
    lame = tmp_path / "lame"
    lame.write_text("{{ 1 // (2 - interfaces|length) }}")
    one, two = card(1, (V4, "10.0.2.15")), card(2, (V6, "2001:db8::15"))
    with pytest.raises(InvalidRequest):
        Interfaces(lame)
    lame.write_text("{{ 1 // (3 - interfaces|length) }}")
    with pytest.raises(ChannelBroken, match="injected_network_template") as broken:
        Interfaces(lame).render([one, two, card(3, (BARE, "198.51.100.3"))])
    assert "/" not in broken.value.message
