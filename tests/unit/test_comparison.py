"""How two drives differ: by name and digest, each thing once, and no content in sight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from injector.inject.comparison import Side, compare, compare_trees
from injector.model.generation import Change, Difference, kept
from injector.model.payload import ItemKind
from injector.model.receipt import Outcome, ReceiptItem
from injector.model.secret import Secret
from tests import builders as a


def line(kind: ItemKind, name: str, digest: str, outcome: Outcome = Outcome.READ_BACK) -> ReceiptItem:
    return ReceiptItem(kind, name, 3, outcome, digest)


def side(*items: ReceiptItem, **ingredients: Any) -> Side:
    made = a.a_delivery().ingredients
    assert made is not None
    return Side(a.a_generation(receipt=a.a_receipt(items=items)), replace(made, **ingredients))


def never(_one: str | None, _other: str | None) -> bool:
    return False


def test_a_drive_is_the_same_as_itself() -> None:
    one = side(line(ItemKind.FILE, "/etc/motd", "x"))
    assert compare(one, one, never) == ()


def test_items_are_added_removed_and_changed() -> None:
    before = side(line(ItemKind.FILE, "/a", "x"), line(ItemKind.FILE, "/b", "x"), line(ItemKind.USER_DATA, "u", "x"))
    after = side(line(ItemKind.FILE, "/b", "y"), line(ItemKind.USER_DATA, "u", "x"), line(ItemKind.KEY, "k", "x"))
    assert compare(before, after, never) == (
        Difference("file '/a'", Change.REMOVED),
        Difference("file '/b'", Change.CHANGED),
        Difference("key 'k'", Change.ADDED),
    )


def test_a_secret_with_digests_under_two_keys_is_the_same_when_they_are_of_one_content() -> None:
    before = side(line(ItemKind.FILE, "/a", "old:x"), line(ItemKind.FILE, "/b", "old:x"), line(ItemKind.KEY, "k", "1"))
    after = side(line(ItemKind.FILE, "/a", "new:x"), line(ItemKind.FILE, "/b", "new:y"), line(ItemKind.KEY, "k", "2"))
    asked: list[tuple[str | None, str | None]] = []

    def same(one: str | None, other: str | None) -> bool:
        asked.append((one, other))
        return str(one)[-1] == str(other)[-1]

    changed = [one.what for one in compare(before, after, same)]
    assert changed == ["file '/b'", "key 'k'"]
    assert ("1", "2") not in asked, "a public key has no secret digest"


def test_what_was_left_out_is_not_there() -> None:
    before = side(line(ItemKind.KEY, "k", "x"))
    after = side(line(ItemKind.KEY, "k", "x", Outcome.LEFT_OUT))
    assert compare(before, after, never) == (Difference("key 'k'", Change.REMOVED),)
    assert compare(before, side(line(ItemKind.KEY, "k", "x", Outcome.WITNESSED)), never) == ()


def test_the_rest_is_named_and_not_shown() -> None:
    found = compare(side(), side(uuid="other", vendor_data=Secret(b"geheim"), metadata={"an": "item"}), never)
    assert [one.what for one in found] == ["uuid", "vendor data"]
    assert "geheim" not in repr(found)


def test_the_newest_are_kept_and_the_current_one_always() -> None:
    assert kept([1, 2, 3, 4], current=4, keep=2) == {3, 4}
    assert kept([1, 2, 3, 4], current=1, keep=2) == {1, 3, 4}
    assert kept([1], current=1, keep=5) == {1}
    assert kept([2], current=1, keep=1) == {2}


def test_trees_differ_by_files_and_by_what_is_in_documents() -> None:
    document = "openstack/latest/meta_data.json"
    before = {
        document: b'{"meta": {"a/b": "1", "gone": "x"}, "n": 1}',
        "openstack/content/0000": b"x",
        "ec2/latest/x": b"",
    }
    after = {document: b'{"meta": {"a/b": "geheim"}, "n": 1, "new": []}', "openstack/content/0000": b"y"}
    assert compare_trees(before, after) == (
        Difference(f"{document}#/meta/a~1b", Change.CHANGED),
        Difference(f"{document}#/meta/gone", Change.REMOVED),
        Difference(f"{document}#/new", Change.ADDED),
        Difference("openstack/content/0000", Change.CHANGED),
        Difference("ec2/latest/x", Change.REMOVED),
    )
    assert compare_trees(after, after) == ()


def test_of_versions_that_say_the_same_the_newest_speaks() -> None:
    names = ("2018-08-27", "latest")
    before = {f"openstack/{name}/user_data": b"1" for name in names}
    after = {f"openstack/{name}/user_data": b"2" for name in names}
    assert compare_trees(before, after) == (Difference("openstack/latest/user_data", Change.CHANGED),)


def test_a_name_in_a_document_cannot_steer_a_terminal() -> None:
    (found,) = compare_trees({"ec2/latest/a.json": b"{}"}, {"ec2/latest/a.json": b'{"\\u001b[2J": 1}'})
    assert "\x1b" not in found.what
