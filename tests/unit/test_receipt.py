"""Receipts: what was asked, item by item, against what was read back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from injector.errors import ChannelBroken
from injector.inject.channel import Delivery
from injector.inject.receipt import (
    Seen,
    Thing,
    address_lines,
    address_list,
    contents_asked,
    differences,
    left_out,
    prove,
    read_back,
    tag_list,
    things,
)
from injector.model.payload import Item, ItemKind
from injector.model.plan import LeftOut
from injector.model.receipt import Outcome, ReceiptItem
from injector.model.secret import Secret
from tests import builders as a

MOTD = Thing(ItemKind.FILE, "/etc/motd")
KEY = Thing(ItemKind.KEY, "laptop")


def keyed(content: bytes) -> str:
    return f"hmac-sha256:{content.hex()}"


def matches(content: bytes, digest: str | None) -> bool:
    return keyed(content) == digest


def seen(content: bytes = b"hello", where: str = "openstack/content/0000", mode: int | None = None) -> Seen:
    return Seen(Secret(content), where, mode)


def a_line(item: Thing = MOTD, content: bytes = b"hello", outcome: Outcome = Outcome.READ_BACK) -> ReceiptItem:
    return ReceiptItem(item.kind, item.name, len(content), outcome, digest=keyed(content))


def asking(*items: Item, instance: dict[str, Any] | None = None, **payload: Any) -> Delivery:
    return a.a_delivery(
        plan=a.a_plan(items=items), instance=a.an_instance(**(instance or {})), payload=a.a_payload(**payload)
    )


def test_things_of_one_kind_and_name_take_turns() -> None:
    named = [(ItemKind.FILE, "/a"), (ItemKind.FILE, "/b"), (ItemKind.FILE, "/a"), (ItemKind.KEY, "/a")]
    named.append((ItemKind.FILE, "/a"))
    assert [(thing.kind, thing.name, thing.turn) for thing in things(named)] == [
        (ItemKind.FILE, "/a", 0),
        (ItemKind.FILE, "/b", 0),
        (ItemKind.FILE, "/a", 1),
        (ItemKind.KEY, "/a", 0),
        (ItemKind.FILE, "/a", 2),
    ]
    assert Thing(ItemKind.KEY, "k").turn == 0


CONTENTS = [
    pytest.param(
        asking(a.an_item(ItemKind.KEY, "laptop"), instance={"key": a.a_key()}), a.PUBLIC_KEY.encode(), id="key"
    ),
    pytest.param(
        asking(a.an_item(ItemKind.METADATA), instance={"asked_metadata": {"b": "2", "a": "1"}}),
        b'{"a": "1", "b": "2"}',
        id="metadata",
    ),
    pytest.param(asking(a.an_item(ItemKind.USER_DATA), user_data=Secret("#!")), b"#!", id="user-data"),
    pytest.param(asking(a.an_item(ItemKind.PASSWORD), admin_password=Secret("pw")), b"pw", id="password"),
    pytest.param(asking(a.an_item(ItemKind.NETWORK)), b"52:54:00:00:00:01 10.0.2.15/24", id="network"),
    pytest.param(asking(a.an_item(ItemKind.DEVICES), instance={"disk_tag": "root"}), b"disk  root", id="devices"),
    pytest.param(asking(a.an_item(ItemKind.HOSTNAME), instance={"hostname": "web"}), b"web", id="hostname"),
    pytest.param(asking(a.an_item(), files=(a.a_file(),)), b"hello", id="file"),
]


@pytest.mark.parametrize(("delivery", "content"), CONTENTS)
def test_what_was_asked_comes_from_the_request(delivery: Delivery, content: bytes) -> None:
    assert [found.reveal() for found in contents_asked(delivery).values()] == [content]


MISSING = [
    pytest.param(asking(a.an_item(ItemKind.KEY, "laptop")), "key 'laptop'", id="no key"),
    pytest.param(
        asking(a.an_item(ItemKind.KEY, "laptop"), instance={"key": a.a_key(name="other")}),
        "key 'laptop'",
        id="other key",
    ),
    pytest.param(
        asking(a.an_item(ItemKind.METADATA), instance={"metadata": {"a": "1"}}), "metadata", id="metadata of others"
    ),
    pytest.param(asking(a.an_item(ItemKind.USER_DATA)), "user-data", id="no user-data"),
    pytest.param(asking(a.an_item(ItemKind.USER_DATA), user_data=Secret("")), "user-data", id="empty user-data"),
    pytest.param(asking(a.an_item(ItemKind.PASSWORD)), "the password", id="no password"),
    pytest.param(asking(a.an_item(ItemKind.PASSWORD), admin_password=Secret("")), "password", id="empty password"),
    pytest.param(asking(a.an_item(ItemKind.NETWORK), instance={"nics": ()}), "network", id="no cards"),
    pytest.param(asking(a.an_item(ItemKind.DEVICES, "devices")), "devices", id="no roles of devices"),
    pytest.param(asking(a.an_item()), "file '/etc/motd'", id="no file"),
    pytest.param(asking(a.an_item(mode=0o600), files=(a.a_file(),)), "file '/etc/motd'", id="another mode"),
    pytest.param(asking(a.an_item(owner="ada"), files=(a.a_file(),)), "file '/etc/motd'", id="another owner"),
    pytest.param(asking(a.an_item(), files=(a.a_file("/etc/issue"),)), "file '/etc/motd'", id="another path"),
]


@pytest.mark.parametrize(("delivery", "named"), MISSING)
def test_a_record_that_does_not_hold_what_was_asked_is_no_delivery(delivery: Delivery, named: str) -> None:
    with pytest.raises(ChannelBroken, match=named):
        contents_asked(delivery)


def test_a_path_that_is_given_twice_is_two_files() -> None:
    files = (a.a_file(content=b"1"), a.a_file("/x", b"x"), a.a_file(content=b"2"))
    delivery = asking(a.an_item(), a.an_item(name="/x"), a.an_item(), files=files)
    assert {(thing.name, thing.turn): content.reveal() for thing, content in contents_asked(delivery).items()} == {
        ("/etc/motd", 0): b"1",
        ("/x", 0): b"x",
        ("/etc/motd", 1): b"2",
    }


def test_addresses_are_the_static_ones_a_sorted_line_each() -> None:
    static, dhcp = a.a_subnet(), a.a_dhcp_subnet()
    both = (a.an_address(static, "10.0.2.16"), a.an_address(dhcp, "192.0.2.7"), a.an_address(static))
    nics = (a.a_nic(mac="52:54:00:00:00:02", addresses=both), a.a_nic())
    assert address_list(nics) == b"52:54:00:00:00:01 10.0.2.15/24\n52:54:00:00:00:02 10.0.2.16/24"
    assert address_lines([("b", "2/8"), ("a", "1/8")]) == b"a 1/8\nb 2/8"


def test_tags_are_a_sorted_line_each() -> None:
    tagged = (a.a_nic(mac="52:54:00:00:00:02", tag="storage"), a.a_nic(), a.a_nic(mac="52:54:00:00:00:01", tag="lan"))
    lines = b"nic 52:54:00:00:00:01 lan\nnic 52:54:00:00:00:02 storage"
    assert tag_list(a.an_instance(nics=tagged)) == lines
    assert tag_list(a.an_instance(nics=tagged, disk_tag="root")) == b"disk  root\n" + lines
    assert tag_list(a.an_instance()) == b""


def test_the_proof_names_everything_that_is_not_as_asked() -> None:
    asked = {MOTD: Secret("hello"), KEY: Secret("ssh"), replace(MOTD, turn=1): Secret("again")}
    right = {MOTD: seen(), KEY: seen(b"ssh"), replace(MOTD, turn=1): seen(b"again")}
    prove(asked, right)
    prove(asked, right | {Thing(ItemKind.HOSTNAME, "web"): seen()})
    with pytest.raises(ChannelBroken, match=r"file '/etc/motd', key 'laptop'$"):
        prove(asked, {MOTD: seen(b"hullo"), replace(MOTD, turn=1): seen(b"again")})


def test_a_line_says_what_was_read_back_and_hides_what_is_secret() -> None:
    password = Thing(ItemKind.PASSWORD, "password")
    user_data = Thing(ItemKind.USER_DATA, "user_data")
    found = {MOTD: seen(mode=0o660), KEY: seen(b"ssh", "k"), password: seen(b"pw", "p"), user_data: seen(b"#!", "u")}
    assert read_back([MOTD, KEY, password, user_data], found, keyed) == (
        ReceiptItem(
            ItemKind.FILE, "/etc/motd", 5, Outcome.READ_BACK, keyed(b"hello"), "openstack/content/0000", mode=0o660
        ),
        ReceiptItem(
            ItemKind.KEY, "laptop", 3, Outcome.READ_BACK, "sha256:" + hashlib.sha256(b"ssh").hexdigest(), where="k"
        ),
        ReceiptItem(ItemKind.PASSWORD, "password", 0, Outcome.READ_BACK, keyed(b"pw"), where="p"),
        ReceiptItem(ItemKind.USER_DATA, "user_data", 2, Outcome.READ_BACK, keyed(b"#!"), where="u"),
    )


def test_what_was_left_out_is_said_with_its_reason() -> None:
    lost = LeftOut(a.an_item(ItemKind.HOSTNAME, "web", size=3), "no agent")
    assert left_out([lost]) == (ReceiptItem(ItemKind.HOSTNAME, "web", 3, Outcome.LEFT_OUT, reason="no agent"),)


@pytest.mark.parametrize("outcome", [Outcome.WRITTEN, Outcome.READ_BACK, Outcome.WITNESSED])
def test_what_lies_on_the_channel_is_compared(outcome: Outcome) -> None:
    line = a_line(outcome=outcome)
    assert differences([line], {MOTD: seen()}, matches) == ()
    assert differences([line], {}, matches) == ("file '/etc/motd': gone",)
    assert differences([line], {MOTD: seen(b"hullo")}, matches) == ("file '/etc/motd': another content",)


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.LEFT_OUT])
def test_what_never_came_onto_the_channel_is_not_missed(outcome: Outcome) -> None:
    lines = [a_line(content=b"never", outcome=outcome), a_line()]
    assert differences(lines, {MOTD: seen()}, matches) == ()
    assert differences(lines[:1], {}, matches) == ()
