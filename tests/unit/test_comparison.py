"""How two drives differ: by name and digest, each thing once, and no content in sight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from injector.inject.comparison import Change, Difference, Side, compare
from injector.model.generation import kept
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


def test_a_drive_is_the_same_as_itself() -> None:
    one = side(line(ItemKind.FILE, "/etc/motd", "x"))
    assert compare(one, one) == ()


def test_items_are_added_removed_and_changed() -> None:
    before = side(line(ItemKind.FILE, "/a", "x"), line(ItemKind.FILE, "/b", "x"), line(ItemKind.USER_DATA, "u", "x"))
    after = side(line(ItemKind.FILE, "/b", "y"), line(ItemKind.USER_DATA, "u", "x"), line(ItemKind.KEY, "k", "x"))
    assert compare(before, after) == (
        Difference("file '/a'", Change.REMOVED),
        Difference("file '/b'", Change.CHANGED),
        Difference("key 'k'", Change.ADDED),
    )


def test_what_was_left_out_is_not_there() -> None:
    before = side(line(ItemKind.KEY, "k", "x"))
    after = side(line(ItemKind.KEY, "k", "x", Outcome.LEFT_OUT))
    assert compare(before, after) == (Difference("key 'k'", Change.REMOVED),)
    assert compare(before, side(line(ItemKind.KEY, "k", "x", Outcome.WITNESSED))) == ()


def test_the_rest_is_named_and_not_shown() -> None:
    found = compare(side(), side(uuid="other", vendor_data=Secret(b"geheim"), metadata={"an": "item"}))
    assert [one.what for one in found] == ["uuid", "vendor data"]
    assert "geheim" not in repr(found)


def test_the_newest_are_kept_and_the_current_one_always() -> None:
    assert kept([1, 2, 3, 4], current=4, keep=2) == {3, 4}
    assert kept([1, 2, 3, 4], current=1, keep=2) == {1, 3, 4}
    assert kept([1], current=1, keep=5) == {1}
    assert kept([2], current=1, keep=1) == {2}
