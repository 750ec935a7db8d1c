"""What a guest's agent shows to have becomes witnessed, and nothing else; whatever it answers does no harm."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.inject.plan import ROOT_PASSWORD, canonical
from injector.inject.receipt import address_list
from injector.model.instance import Instance
from injector.model.payload import ItemKind
from injector.model.receipt import Outcome, ReceiptItem
from injector.virt.libvirt.guest import Agent
from injector.virt.libvirt.testimony import META_JS, witnessed
from tests import builders as a

META = {"role": "web", "tier": "1"}
KEY = a.PUBLIC_KEY + "\n"
FILE, USER_DATA = b"hello\x00\xff", b"#!/bin/sh\n"


def keyed(content: bytes) -> str:
    return "hmac-sha256:" + hashlib.sha256(b"key" + content).hexdigest()


def line(kind: ItemKind, name: str, content: bytes, outcome: Outcome = Outcome.READ_BACK) -> ReceiptItem:
    secret = kind in (ItemKind.FILE, ItemKind.USER_DATA, ItemKind.PASSWORD)
    digest = keyed(content) if secret else "sha256:" + hashlib.sha256(content).hexdigest()
    return ReceiptItem(kind, name, len(content), outcome, digest)


def delivered(*more: ReceiptItem) -> Instance:
    nics = (a.a_nic(),)
    items = (
        line(ItemKind.KEY, "laptop", KEY.encode()),
        line(ItemKind.FILE, "etc/motd", FILE),
        line(ItemKind.USER_DATA, "user_data", USER_DATA),
        line(ItemKind.METADATA, "metadata", canonical(META)),
        line(ItemKind.NETWORK, "network", address_list(nics)),
        line(ItemKind.HOSTNAME, "hostname", b"web.novalocal"),
        line(ItemKind.PASSWORD, "password", b"secret"),
    )
    return a.an_instance(nics=nics, receipt=a.a_receipt(items=(*items, *more)))


class Guest:
    """An honest one: files by path, and what its agent says of itself."""

    def __init__(self, **files: bytes) -> None:
        self.shadow = b"root:$6$salt$hash:20000:0:99999:7:::\n"
        data = {"ds": {"meta_data": {"meta": META, "local-hostname": "web.novalocal"}}}
        self.files = {
            "/etc/motd": FILE,
            "/var/lib/cloud/instance/user-data.txt": USER_DATA,
            "/run/cloud-init/instance-data.json": json.dumps(data).encode(),
            "/home/debian/.ssh/authorized_keys": b"# mine\n" + KEY.encode(),
        } | {path.replace("__", "/"): content for path, content in files.items()}
        self.name: Any = "web"
        self.cards: Any = [
            {
                "name": "eth0",
                "hardware-address": "52:54:00:00:00:01",
                "ip-addresses": [
                    {"ip-address": "fe80::1", "ip-address-type": "ipv6", "prefix": 64},
                    {"ip-address": "10.0.2.15", "ip-address-type": "ipv4", "prefix": 24},
                ],
            },
            {"name": "lo"},
        ]
        self.read: list[str] = []
        self._output = b""

    def agent(self, command: str, timeout: int, **arguments: Any) -> Any:
        match command:
            case "guest-get-host-name":
                return {"host-name": self.name}
            case "guest-network-get-interfaces":
                return self.cards
            case "guest-exec":
                self._output, status = self._run(arguments["path"], arguments["arg"])
                return {"pid": 1 + status}
        ended = {"exited": True, "exitcode": arguments["pid"] - 1}
        return ended | {"out-data": base64.b64encode(self._output).decode()}

    def _run(self, program: str, arguments: list[str]) -> tuple[bytes, int]:
        if arguments == ["shadow", "root"]:
            return self.shadow, 0
        if program == "getent":
            return (
                b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:1::/:/bin/false\ndebian:x:1000:1000::/home/debian:/b\n",
                0,
            )
        path = arguments[-1]
        self.read.append(path)
        if path not in self.files:
            return b"", 1
        return (self.files[path][: int(arguments[1])] if program == "head" else self.files[path]), 0


def shown(guest: Any, instance: Instance | None = None) -> tuple[int, ...]:
    return witnessed(Agent(guest), instance or delivered(), lambda content, digest: keyed(content) == digest)


def test_an_honest_guest_shows_all_but_its_password() -> None:
    assert shown(Guest()) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("shadow", "witnessed"),
    [
        (b"root:$6$salt$hash:20000:0:99999:7:::\n", True),
        (b"root:$6$salt$other:20000:0:99999:7:::\n", False),
        (b"toor:$6$salt$hash:::::::\n", False),
        (b"root\n", False),
        (b"", False),
    ],
)
def test_the_hash_that_root_has_is_a_witness_of_its_password(shadow: bytes, witnessed: bool) -> None:
    guest = Guest()
    guest.shadow = shadow
    hashed = line(ItemKind.PASSWORD, ROOT_PASSWORD, b"$6$salt$hash")
    assert (7 in shown(guest, delivered(hashed))) == witnessed
    assert 6 not in shown(guest, delivered(hashed)), "the password in clear is nowhere to be seen"


@pytest.mark.parametrize(
    ("path", "content", "lost"),
    [
        ("/etc/motd", b"other", 1),
        ("/etc/motd", FILE + b"more", 1),
        ("/var/lib/cloud/instance/user-data.txt", b"", 2),
        ("/run/cloud-init/instance-data.json", b'{"ds": {"meta_data": {"meta": {"role": "db"}}}}', 3),
        ("/home/debian/.ssh/authorized_keys", b'command="no" ' + KEY.encode(), 0),
    ],
)
def test_what_the_guest_has_otherwise_is_not_witnessed(path: str, content: bytes, lost: int) -> None:
    guest = Guest()
    guest.files[path] = content
    assert lost not in shown(guest)
    assert 4 in shown(guest)


def test_a_name_that_is_not_the_one_it_was_told_is_no_witness() -> None:
    guest = Guest()
    guest.name = "db"
    assert 5 not in shown(guest)
    guest.name = "web.novalocal"
    assert 5 in shown(guest)


def test_all_addresses_must_be_there_and_more_may() -> None:
    guest = Guest()
    guest.cards[0]["ip-addresses"][1]["prefix"] = 16
    assert 4 not in shown(guest)
    guest.cards = [{"hardware-address": "52:54:00:00:00:02", "ip-addresses": guest.cards[0]["ip-addresses"]}]
    assert 4 not in shown(guest)


def test_of_two_files_under_one_path_the_one_that_is_there_is_witnessed() -> None:
    instance = delivered(line(ItemKind.FILE, "etc/motd", b"the second"))
    guest = Guest()
    guest.files["/etc/motd"] = b"the second"
    found = shown(guest, instance)
    assert 1 not in found
    assert 7 in found


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.LEFT_OUT, Outcome.WITNESSED])
def test_only_what_was_delivered_and_not_seen_yet_is_looked_for(outcome: Outcome) -> None:
    instance = delivered()
    assert instance.receipt is not None
    items = tuple(replace(item, outcome=outcome) for item in instance.receipt.items)
    guest = Guest()
    assert shown(guest, replace(instance, receipt=replace(instance.receipt, items=items))) == ()
    assert guest.read == []


def test_a_file_too_large_to_be_shown_is_not_asked_for() -> None:
    guest = Guest()
    large = ReceiptItem(ItemKind.FILE, "/large", 1024**2, Outcome.READ_BACK, keyed(b""))
    assert 7 not in shown(guest, delivered(large))
    assert "/large" not in guest.read


def test_without_a_receipt_there_is_nothing_to_witness() -> None:
    assert shown(Guest(), a.an_instance()) == ()


def test_the_receipt_takes_what_was_witnessed_and_nothing_else() -> None:
    receipt = a.a_receipt(
        items=(
            line(ItemKind.KEY, "a", b"a"),
            line(ItemKind.KEY, "b", b"b"),
            line(ItemKind.KEY, "c", b"c", Outcome.LEFT_OUT),
        )
    )
    after = receipt.witnessed((0, 2, 99))
    assert [item.outcome for item in after.items] == [Outcome.WITNESSED, Outcome.READ_BACK, Outcome.LEFT_OUT]
    assert after.drive_digest == receipt.drive_digest


class Hostile:
    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers

    def agent(self, command: str, timeout: int, **arguments: Any) -> Any:
        return self._answers.pop() if self._answers else None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.just(base64.b64encode(b'{"ds": {"meta_data": []}}').decode()),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["pid", "exitcode", "out-data", "host-name", "ip-addresses", "ip-address", "prefix"]), inner
        )
    ),
    max_leaves=6,
)
ENDINGS = st.fixed_dictionaries({"exited": st.just(True), "exitcode": st.just(0), "out-data": VALUES})


@settings(deadline=None)
@given(st.lists(VALUES | ENDINGS | st.just({"pid": 1}), max_size=20))
def test_whatever_the_agent_answers_witnesses_nothing_it_does_not_hold(answers: list[Any]) -> None:
    assert shown(Hostile(answers)) == ()


@pytest.mark.parametrize(("held", "seen"), [(b'{"tier": "1", "role": "web"}', True), (b'{"role": "web"}', False)])
def test_metadata_injected_into_the_partition_are_looked_for_in_their_file(held: bytes, seen: bool) -> None:
    instance = delivered()
    assert instance.receipt is not None
    there = replace(instance.receipt.items[3], where=META_JS)
    injected = replace(instance, receipt=replace(instance.receipt, items=(there,)))
    guest = Guest()
    guest.files[META_JS] = held
    assert (shown(guest, injected) == (0,)) is seen
