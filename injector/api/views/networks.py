"""Networks as Neutron shows them, with what this house adds under ``injector:``."""

from __future__ import annotations

from injector.api.views.viewpoint import Document
from injector.model.network import Network, Subnet


def detail(network: Network) -> Document:
    """``subnets`` is empty: those of Neutron are records of their own, ours belong to the network."""
    return {
        "id": network.id,
        "name": network.name,
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": False,
        "router:external": False,
        "tenant_id": network.project_id,
        "project_id": network.project_id,
        "mtu": network.mtu,
        "subnets": [],
        "injector:kind": network.kind.value,
        "injector:source": network.source,
        "injector:subnets": [_subnet(subnet) for subnet in network.subnets],
        "injector:forwards": list(network.forwards),
    }


def _subnet(subnet: Subnet) -> Document:
    return {
        "cidr": subnet.cidr,
        "dhcp": subnet.dhcp,
        "ipv6_mode": subnet.ipv6_mode,
        "gateway": subnet.gateway,
        "dns": list(subnet.dns),
        "pool_first": subnet.pool_first,
        "pool_last": subnet.pool_last,
        "routes": [{"destination": route.destination, "gateway": route.gateway} for route in subnet.routes],
    }
