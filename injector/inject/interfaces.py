"""The guest's network configuration as text, from the operator's template (``injected_network_template``) or ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.errors import ChannelBroken, InvalidRequest
from injector.model.network import Address, Network, NetworkKind, Nic, Route, Subnet

SHIPPED = Path(__file__).with_name("interfaces.template")
FIELD = "injected_network_template"

_LONGEST_TEMPLATE = 64 * 1024
_LONGEST_TEXT = 256 * 1024


class Interfaces:
    """A template, read and tried out once; it cannot reach anything but what it is given.

    InvalidRequest naming the option when it cannot be read, compiled or rendered.
    """

    def __init__(self, path: Path | None = None, virt_type: str = "kvm") -> None:
        # Loaded here, not above: most operators inject no network, and a megabyte is a megabyte.
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        text = _read(path or SHIPPED)
        self._virt_type = virt_type
        try:
            environment = ImmutableSandboxedEnvironment(trim_blocks=True, keep_trailing_newline=True)
            self._template = environment.from_string(text)
            self._render([_variables(0, nic) for nic in _SAMPLES])
        except Exception as error:
            raise InvalidRequest(f"the template cannot be used: {error}", field=FIELD) from error

    def render(self, nics: Sequence[Nic]) -> bytes | None:
        """The text for a guest with these cards; None when none of them has a static address to be told.

        As in Nova, of each card the first IPv4 and IPv6 subnet count, a card with DHCP on either is left out, and names
        go on counting over it. ChannelBroken when the template fails on these cards.
        """
        cards = [_variables(number, nic) for number, nic in enumerate(nics) if _told(nic)]
        if not cards:
            return None
        try:
            return self._render(cards).encode()
        except Exception as error:
            message = "the operator's network template (injected_network_template) could not be rendered"
            raise ChannelBroken(message, detail=str(error)) from error

    def _render(self, cards: list[dict[str, Any]]) -> str:
        ipv6 = any(card["address_v6"] for card in cards)
        text = self._template.render(interfaces=cards, use_ipv6=ipv6, libvirt_virt_type=self._virt_type)
        if len(text) > _LONGEST_TEXT:
            raise ValueError(f"it makes more than {_LONGEST_TEXT} characters")
        return text


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_TEMPLATE + 1)
        if len(content) > _LONGEST_TEMPLATE:
            raise ValueError(f"it is larger than {_LONGEST_TEMPLATE} bytes")
        return content.decode()
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", field=FIELD) from error


@dataclass(frozen=True, slots=True)
class _Families:
    """The first address of each family."""

    v4: Address | None
    v6: Address | None


def _families(nic: Nic) -> _Families:
    first = {ipaddress.ip_network(address.subnet.cidr).version: address for address in reversed(nic.addresses)}
    return _Families(first.get(4), first.get(6))


def _told(nic: Nic) -> bool:
    families = [address for address in (_families(nic).v4, _families(nic).v6) if address is not None]
    return bool(families) and all(address.ip is not None and not address.subnet.dhcp for address in families)


def _variables(number: int, nic: Nic) -> dict[str, Any]:
    """One card under Nova's names."""
    families = _families(nic)
    return {"name": f"eth{number}", "hwaddress": nic.mac} | _of_v4(families.v4) | _of_v6(families.v6)


def _of_v4(address: Address | None) -> dict[str, Any]:
    if address is None:
        none = dict.fromkeys(("address", "netmask", "broadcast", "dns"))
        return {**none, "gateway": "", "routes": []}
    subnet, network = address.subnet, ipaddress.ip_network(address.subnet.cidr)
    return {
        "address": address.ip,
        "netmask": str(network.netmask),
        "broadcast": str(network.broadcast_address),
        "dns": " ".join(subnet.dns),
        "gateway": subnet.gateway or "",
        "routes": [_route(route) for route in subnet.routes],
    }


def _route(route: Route) -> dict[str, str]:
    network = ipaddress.ip_network(route.destination)
    return {
        "gateway": route.gateway,
        "cidr": str(network),
        "network": str(network.network_address),
        "netmask": str(network.netmask),
    }


def _of_v6(address: Address | None) -> dict[str, Any]:
    """Nova's netmask of IPv6 is the length of the prefix."""
    if address is None:
        return {"address_v6": None, "netmask_v6": None, "dns_v6": None, "gateway_v6": ""}
    subnet = address.subnet
    return {
        "address_v6": address.ip,
        "netmask_v6": ipaddress.ip_network(subnet.cidr).prefixlen,
        "dns_v6": " ".join(subnet.dns),
        "gateway_v6": subnet.gateway or "",
    }


def _sample(*subnets: tuple[Subnet, str]) -> Nic:
    network = Network("sample", "sample", NetworkKind.BRIDGE, "sample", subnets=tuple(subnet for subnet, _ in subnets))
    return Nic("52:54:00:00:00:01", network, tuple(Address(subnet, ip) for subnet, ip in subnets))


_V4 = (Subnet("192.0.2.0/24", False, "192.0.2.1", ("192.0.2.53",), routes=(Route("198.51.100.0/24", "192.0.2.9"),)),)
_SAMPLES = (
    _sample((*_V4, "192.0.2.10")),
    _sample((Subnet("2001:db8::/64", False, "2001:db8::1", ("2001:db8::53",)), "2001:db8::10")),
)
"""What a template is tried on before any guest depends on it."""
