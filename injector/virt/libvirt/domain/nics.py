"""The cards of a domain, and what they are plugged into."""

from __future__ import annotations

from ipaddress import ip_network
from xml.etree.ElementTree import Element

from injector.model.network import Network, NetworkKind, Nic
from injector.virt.libvirt.domain.blueprint import Blueprint
from injector.virt.libvirt.domain.element import element


def nics(blueprint: Blueprint) -> list[Element]:
    return [_nic(nic, blueprint.hardware.vif_model) for nic in blueprint.instance.nics]


def _nic(nic: Nic, model: str) -> Element:
    network = nic.network
    made = element("interface", element("mac", address=nic.mac), *_plug(network), element("model", type=model))
    # In QEMU's user mode libvirt knows no MTU; there the guest learns it from its drive alone.
    if network.mtu is not None and network.kind is not NetworkKind.USER:
        made.append(element("mtu", size=str(network.mtu)))
    # Guests boot from their disk; a card's boot firmware would only cost them time.
    made.append(element("rom", enabled="no"))
    made.set("type", {NetworkKind.LIBVIRT: "network"}.get(network.kind, network.kind.value))
    return made


def _plug(network: Network) -> list[Element]:
    match network.kind:
        case NetworkKind.BRIDGE:
            return [element("source", bridge=network.source or "")]
        case NetworkKind.LIBVIRT:
            return [element("source", network=network.source or "")]
        case NetworkKind.USER:
            return _range_of_user_network(network)


def _range_of_user_network(network: Network) -> list[Element]:
    """QEMU's own are 10.0.2.0/24 and fec0::/64; where the record promises other addresses, QEMU has to serve those."""
    ranges = [ip_network(subnet.cidr, strict=False) for subnet in network.subnets]
    first = {found.version: found for found in reversed(ranges)}
    return [
        element("ip", family=f"ipv{version}", address=str(found.network_address), prefix=str(found.prefixlen))
        for version, found in sorted(first.items())
    ]
