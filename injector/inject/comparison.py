"""How two config drives of a guest differ: item by item, by digests and names, never by contents; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from injector.inject.plan import describe
from injector.inject.receipt import Thing, things
from injector.model.generation import Generation
from injector.model.ingredients import Ingredients
from injector.model.receipt import Outcome, Receipt, ReceiptItem

_ABSENT = frozenset({Outcome.REFUSED, Outcome.LEFT_OUT})
_ITEMS = frozenset({"hostname", "metadata"})


class Change(StrEnum):
    """What became of something from the one drive to the other."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """``what`` in words for people."""

    what: str
    change: Change


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, with what it was made from beside record and payload."""

    generation: Generation
    ingredients: Ingredients


def compare(one: Side, other: Side) -> tuple[Difference, ...]:
    """From ``one`` to ``other``; none when the drives are the same to the byte."""
    before, after = _lines(one.generation.receipt), _lines(other.generation.receipt)
    items = tuple(
        Difference(describe(thing.kind, thing.name), change)
        for thing in dict.fromkeys([*before, *after])
        if (change := _change(before.get(thing), after.get(thing)))
    )
    return items + _of_ingredients(one.ingredients, other.ingredients)


def _lines(receipt: Receipt) -> Mapping[Thing, ReceiptItem]:
    there = [item for item in receipt.items if item.outcome not in _ABSENT]
    return dict(zip(things((item.kind, item.name) for item in there), there, strict=True))


def _change(before: ReceiptItem | None, after: ReceiptItem | None) -> Change | None:
    if before is None:
        return Change.ADDED
    if after is None:
        return Change.REMOVED
    return None if (before.digest, before.mode) == (after.digest, after.mode) else Change.CHANGED


def _of_ingredients(one: Ingredients, other: Ingredients) -> tuple[Difference, ...]:
    """The names of the rest: dates, the instance id, vendor data and so on. Host name and metadata are items."""
    names = (field.name for field in dataclasses.fields(Ingredients) if field.name not in _ITEMS)
    return tuple(
        Difference(name.replace("_", " "), Change.CHANGED)
        for name in names
        if getattr(one, name) != getattr(other, name)
    )
