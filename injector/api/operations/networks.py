"""Networks: records as Neutron words them, with what this house needs to plug a card (``injector:…`` keys)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, ip_network
from typing import Any

from injector.api import query, schemas
from injector.api.subnets import parse_subnets
from injector.db import Store
from injector.errors import InvalidRequest, NotFound
from injector.model.context import Context
from injector.model.network import Ipv6Mode, Network, NetworkKind, Subnet

_ROUTE = schemas.an_object(
    {"destination": schemas.text(64, 1), "gateway": schemas.text(64, 1)}, "destination", "gateway"
)
_SUBNET = schemas.an_object(
    {
        "cidr": schemas.text(64, 1),
        "dhcp": {"type": "boolean"},
        "ipv6_mode": {"enum": [None, *(mode.value for mode in Ipv6Mode)]},
        "gateway": schemas.or_null(schemas.text(64, 1)),
        "dns": schemas.an_array(schemas.text(64, 1), maxItems=8),
        "pool_first": schemas.or_null(schemas.text(64, 1)),
        "pool_last": schemas.or_null(schemas.text(64, 1)),
        "routes": schemas.an_array(_ROUTE, maxItems=32),
    },
    "cidr",
)
_CREATE = schemas.Checker(
    schemas.an_object(
        {
            "name": schemas.NAME,
            "mtu": {"type": ["integer", "null"], "minimum": 576, "maximum": 65535},
            "admin_state_up": {"enum": [True]},
            "shared": {"enum": [False]},
            "injector:kind": {"enum": [kind.value for kind in NetworkKind]},
            "injector:source": schemas.or_null(schemas.a_pattern("[A-Za-z0-9_.:-]{1,64}")),
            "injector:subnets": schemas.an_array(_SUBNET, maxItems=16),
            "injector:forwards": schemas.an_array(
                {"type": "integer", "minimum": 1, "maximum": 65535}, maxItems=16, uniqueItems=True
            ),
        },
        "name",
        "injector:kind",
    ),
    "network",
)
_QEMU_SUBNET = Subnet("10.0.2.0/24", dhcp=True)
# Linux's IFNAMSIZ, without the NUL.
_LONGEST_INTERFACE = 15


class Networks:
    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, context: Context, document: object) -> Network:
        """InvalidRequest naming the field that makes no sense."""
        asked: dict[str, Any] = _CREATE.check(document)
        network = Network(
            id=str(uuid.uuid4()),
            name=asked["name"],
            kind=NetworkKind(asked["injector:kind"]),
            project_id=context.project_id,
            source=asked.get("injector:source"),
            mtu=None if asked.get("mtu") is None else int(asked["mtu"]),
            subnets=_subnets(asked),
            forwards=tuple(int(port) for port in asked.get("injector:forwards", [])),
        )
        _check_kind(network)
        self._store.add_network(network)
        return network

    def find(self, context: Context, parameters: Mapping[str, str]) -> tuple[query.Selection, tuple[Network, ...]]:
        asked = query.networks(parameters)
        found = [one for one in self._store.networks(context.project_id) if asked.matches(one.name, one.id)]
        return asked, query.page(found, asked, lambda network: network.id)

    def show(self, context: Context, network_id: str) -> Network:
        network = self._store.network(network_id)
        if network.project_id != context.project_id:
            raise NotFound(f"Network {network_id} could not be found.", field="network")
        return network

    def delete(self, context: Context, network_id: str) -> None:
        """Conflict while a server is plugged into it."""
        self.show(context, network_id)
        self._store.delete_network(network_id)


def _check_kind(network: Network) -> None:
    """What each kind needs, and cannot have."""
    if network.kind is NetworkKind.USER:
        if network.source is not None:
            raise _refusal("injector:source", "a user network has no source")
        _one_subnet_a_family(network.subnets)
        _gateway_of_qemu(network.subnets)
        return
    if network.source is None:
        raise _refusal("injector:source", f"a {network.kind.value} network needs the name of its source")
    if network.kind is NetworkKind.BRIDGE and len(network.source) > _LONGEST_INTERFACE:
        raise _refusal("injector:source", f"a bridge's name has at most {_LONGEST_INTERFACE} characters")
    if network.forwards:
        raise _refusal(
            "injector:forwards", "only a user network has forwards; here the guest is reached by its address"
        )


def _subnets(asked: Mapping[str, Any]) -> tuple[Subnet, ...]:
    """A user network of which nothing is said is QEMU's own; without a subnet its guests would configure no card."""
    if asked["injector:kind"] == NetworkKind.USER.value and not asked.get("injector:subnets"):
        return (_QEMU_SUBNET,)
    return parse_subnets(asked.get("injector:subnets", []))


def _gateway_of_qemu(subnets: Sequence[Subnet]) -> None:
    """QEMU answers as the second address of its IPv4 range; another gateway would lead nowhere."""
    for index, subnet in enumerate(subnets):
        found = ip_network(subnet.cidr)
        if isinstance(found, IPv4Network) and subnet.gateway not in (None, str(found[2])):
            field = f"injector:subnets[{index}].gateway"
            raise _refusal(field, f"the gateway of a user network is its second address, {found[2]}")


def _one_subnet_a_family(subnets: Sequence[Subnet]) -> None:
    families = [":" in subnet.cidr for subnet in subnets]
    if len(set(families)) != len(families):
        raise _refusal("injector:subnets", "a user network has at most one IPv4 and one IPv6 subnet")


def _refusal(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid input for field/attribute {field}: {why}.", field=field)
