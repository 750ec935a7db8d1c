"""A guest's network in the words of each of its tools: reviewed as documents, and read again to the same addresses."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from injector.errors import ItemRefused
from injector.inject.interfaces import Interfaces
from injector.inject.partition.draft import Draft
from injector.inject.partition.network.put import documents_of, put_network
from injector.inject.partition.network.reading import Unreadable, addresses_told
from injector.inject.receipt import address_lines, address_list
from injector.model.facts import NetworkStack
from injector.model.network import Address, Ipv6Mode, Nic, Route
from injector.model.secret import Secret
from tests import builders as a
from tests import goldens
from tests.memory_files import MemoryDisk, MemoryFiles, a_guest

STACKS = tuple(NetworkStack)
V4 = a.a_subnet(routes=(Route("198.51.100.0/24", "10.0.2.9"),), dns=("10.0.2.3", "10.0.2.4"))
V6 = a.a_subnet(cidr="2001:db8::/64", gateway="2001:db8::1", dns=("2001:db8::3",), pool_first=None, pool_last=None)
DHCP4 = a.a_dhcp_subnet()


def asking(mode: Ipv6Mode | None) -> Address:
    return Address(a.a_dhcp_subnet(cidr="2001:db8:1::/64", ipv6_mode=mode))


def card(number: int, *addresses: Address, mtu: int | None = None) -> Nic:
    network = a.a_network(mtu=mtu, subnets=tuple(one.subnet for one in addresses))
    return a.a_nic(mac=f"52:54:00:00:00:0{number}", network=network, addresses=addresses)


MODES = (None, Ipv6Mode.SLAAC, Ipv6Mode.STATELESS, Ipv6Mode.STATEFUL)
STATIC4, STATIC6, DYNAMIC4 = Address(V4, "10.0.2.15"), Address(V6, "2001:db8::15"), Address(DHCP4)

GUESTS: dict[str, tuple[Nic, ...]] = {
    "static": (card(1, STATIC4, mtu=1400),),
    "both": (card(1, STATIC4, STATIC6),),
    "beside-dhcp": (card(1, STATIC4), card(2, DYNAMIC4, asking(None))),
    "mixed": (card(1, DYNAMIC4, asking(Ipv6Mode.SLAAC), STATIC4), card(2), card(3, STATIC6, DYNAMIC4)),
    "twice": (card(1, STATIC4, Address(V4, "10.0.2.16"), asking(Ipv6Mode.STATELESS)),),
}


@cache
def interfaces(template: Path | None) -> Interfaces:
    return Interfaces(template)


def rendered(nics: Iterable[Nic], template: Path | None = None) -> Secret | None:
    text = interfaces(template).render(tuple(nics))
    return None if text is None else Secret(text)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("guest", GUESTS)
def test_a_tool_is_told_in_its_own_words(guest: str, stack: NetworkStack) -> None:
    nics = GUESTS[guest]
    documents = documents_of([stack], nics, rendered(nics), udev=True)
    text = "".join(
        f"==> {one.path} {'' if one.mode is None else f'{one.mode:04o}'}\n{one.content.decode()}\n" for one in documents
    )

    goldens.agrees(f"partition/{guest}-{stack.value}.txt", text)


ADDRESSES = some.one_of(
    some.integers(2, 250).map(lambda host: Address(V4, f"10.0.2.{host}")),
    some.integers(2, 250).map(lambda host: Address(V6, f"2001:db8::{host:x}")),
    some.just(DYNAMIC4),
    some.sampled_from(MODES).map(asking),
)
CARDS = some.lists(some.lists(ADDRESSES, max_size=4, unique_by=lambda one: one.ip or one.subnet.cidr), max_size=4)


@settings(deadline=None)  # the first one loads the template's language
@given(CARDS, some.sampled_from(STACKS), some.booleans())
def test_what_is_written_is_read_again_as_the_same_addresses(
    lists: list[list[Address]], stack: NetworkStack, udev: bool
) -> None:
    nics = tuple(card(number, *addresses) for number, addresses in enumerate(lists))
    documents = documents_of([stack], nics, rendered(nics), udev=udev)

    told = addresses_told({one.path: one.content for one in documents}, nics)

    assert address_lines(told.get(stack, [])) == address_list(nics)


def test_a_template_of_the_operators_own_is_complemented(tmp_path: Path) -> None:
    """One that knows IPv4 alone and names no MAC: the rest is told after it, and the whole is as asked."""
    template = tmp_path / "template"
    template.write_text(
        "{% for one in interfaces %}auto {{ one.name }}\niface {{ one.name }} inet static\n"
        "  address {{ one.address }}\n  netmask {{ one.netmask }}\n{% endfor %}"
    )
    nics = GUESTS["both"]

    (document,) = documents_of([NetworkStack.IFUPDOWN], nics, rendered(nics, template), udev=False)

    assert document.content.startswith(b"auto eth0\niface eth0 inet static\n  address 10.0.2.15\n")
    assert b"inet6 static" in document.content
    assert document.content.count(b"auto eth0") == 1
    told = addresses_told({document.path: document.content}, nics)
    assert address_lines(told[NetworkStack.IFUPDOWN]) == address_list(nics)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/netplan/99-injector.yaml", b"network: []"),
        ("/etc/netplan/99-injector.yaml", b"\xff"),
        ("/etc/netplan/99-injector.yaml", b"&a [*a]"),
        ("/etc/systemd/network/a.link", b"[Link]\n"),
        ("/etc/NetworkManager/system-connections/a.nmconnection", b"nonsense"),
        ("/tmp/99-injector.yaml", b"network: {ethernets: {}}"),
    ],
)
def test_a_file_that_is_none_of_the_tools_is_unreadable(path: str, text: bytes) -> None:
    with pytest.raises(Unreadable):
        addresses_told({path: text}, ())


def draft_of(disk: MemoryDisk) -> Draft:
    return Draft(MemoryFiles(disk, writable=True, stamp=0))


def written(disk: MemoryDisk, *stacks: NetworkStack) -> dict[str, bytes]:
    nics = GUESTS["static"]
    return {one.path: one.content for one in put_network(draft_of(disk), stacks, nics, rendered(nics))}


def test_netplan_tells_the_others_itself() -> None:
    paths = written(a_guest(), NetworkStack.NETPLAN, NetworkStack.NETWORKD, NetworkStack.NETWORK_MANAGER)

    assert set(paths) == {"/etc/netplan/99-injector.yaml"}


def test_every_other_tool_that_is_on_is_told() -> None:
    paths = written(a_guest(), NetworkStack.NETWORKD, NetworkStack.NETWORK_MANAGER)

    assert {path.rpartition(".")[2] for path in paths} == {"network", "nmconnection", "conf"}


def test_a_guest_without_any_known_tool_is_refused() -> None:
    with pytest.raises(ItemRefused, match="no network tool that is known here"):
        written(a_guest())


@pytest.mark.parametrize("lib", ["/usr/lib", "/lib"])
def test_cards_get_their_names_where_udev_gives_names(lib: str) -> None:
    disk = a_guest()
    assert not any(path.endswith(".link") for path in written(disk, NetworkStack.IFUPDOWN))

    disk.file(f"{lib}/udev/rules.d/80-net-setup-link.rules")

    assert b"Name=eth0" in written(disk, NetworkStack.IFUPDOWN)["/etc/systemd/network/00-0-injector-0.link"]


def test_name_servers_are_written_where_no_program_of_the_guest_does() -> None:
    disk = a_guest()
    disk.file("/etc/resolv.conf", b"search example.org\nnameserver 192.0.2.1\n")
    new = written(disk, NetworkStack.IFUPDOWN)["/etc/resolv.conf"]
    assert new == b"nameserver 10.0.2.3\nnameserver 10.0.2.4\nsearch example.org\n"

    for stack, target in ((NetworkStack.IFUPDOWN, "../run/resolv.conf"), (NetworkStack.NETWORKD, "/etc/resolv.conf")):
        linked = a_guest()
        linked.link("/etc/resolv.conf", target)
        assert "/etc/resolv.conf" not in written(linked, stack)
    assert "/etc/resolv.conf" not in written(a_guest(), NetworkStack.NETWORK_MANAGER)


@pytest.mark.parametrize("text", [b"", b"[Match]\n", b"[Match]\nName=eth0\n[Network]\nAddress=192.0.2.1/24\n", b"\xff"])
def test_a_file_that_the_guest_has_changed_is_unreadable_and_no_error_of_ours(text: bytes) -> None:
    with pytest.raises(Unreadable):
        addresses_told({"/etc/systemd/network/10-injector-0.network": text}, (a.a_nic(),))
