"""Records and payloads of any kind, for property-based tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as some

from injector.model.ingredients import Bus, Device
from injector.model.instance import Instance
from injector.model.keypair import KeyPair
from injector.model.payload import Payload
from injector.model.secret import Secret
from tests import builders as a

_V6 = a.a_subnet(cidr="2001:db8::/64", gateway="2001:db8::1", dns=("2001:db8::3",))
_BOTH = a.a_network(mtu=1400, subnets=(a.a_subnet(), _V6))
_DHCP = a.a_network(subnets=(a.a_dhcp_subnet(),))

CARDS = (
    (),
    (a.a_nic(),),
    (
        a.a_nic(
            network=_BOTH, addresses=(a.an_address(_BOTH.subnets[0], "10.0.2.15"), a.an_address(_V6, "2001:db8::15"))
        ),
    ),
    (a.a_nic(), a.a_nic(mac="52:54:00:00:00:02", network=_DHCP)),
)
"""No card, static IPv4, both families, and one static beside one by DHCP."""

TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=40)
NAME = some.text(some.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
PAYLOADS = some.builds(
    Payload,
    random_seed=some.binary(min_size=1, max_size=64).map(Secret),
    user_data=some.none() | some.binary(max_size=2000).map(Secret),
    files=some.lists(some.builds(a.a_file, NAME, some.binary(max_size=200)), max_size=30).map(tuple),
    admin_password=some.none() | TEXT.map(Secret),
)
KEYS = some.lists(some.builds(a.a_key, name=NAME, public_key=NAME), max_size=4, unique_by=lambda key: key.name)

_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | TEXT,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
VENDOR_DATA = some.dictionaries(TEXT, _JSON, max_size=4)
"""What an operator or a service may say: any JSON object."""

_TAGS = some.tuples(NAME) | some.tuples(NAME, NAME)
_ADDRESS = some.from_regex(r"0000:0[0-9]:1[0-9a-f]\.[0-7]", fullmatch=True)
ANY_DEVICES = some.lists(
    some.builds(Device, some.just("nic"), some.just(Bus.PCI), _ADDRESS, _TAGS, mac=NAME)
    | some.builds(Device, some.just("disk"), some.sampled_from(Bus), _ADDRESS, _TAGS, serial=NAME, path=NAME),
    max_size=5,
).map(tuple)
"""Devices that were given roles."""


def _record(keys: list[KeyPair], **values: Any) -> Instance:
    return a.an_instance(key=keys[0] if keys else None, more_keys=tuple(keys[1:]), **values)


INSTANCES = some.builds(
    _record,
    name=NAME,
    hostname=NAME,
    keys=KEYS,
    asked_metadata=some.dictionaries(NAME, TEXT, max_size=128),
    nics=some.sampled_from(CARDS),
)
