"""How two config drives of a guest differ: by items or by files, in digests and names, never in contents; pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from injector.inject.plan import describe
from injector.inject.receipt import SECRET_KINDS, Thing, things
from injector.model.generation import Change, Difference, Generation
from injector.model.hostile import one_line
from injector.model.ingredients import Ingredients
from injector.model.receipt import Outcome, Receipt, ReceiptItem

_ABSENT = frozenset({Outcome.REFUSED, Outcome.LEFT_OUT})
_ITEMS = frozenset({"hostname", "metadata"})
_PLACE = 400


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, with what it was made from beside record and payload."""

    generation: Generation
    ingredients: Ingredients


SameSecret = Callable[[str | None, str | None], bool]
"""Whether two digests that differ are of one secret, under two keys."""


def compare(one: Side, other: Side, same: SameSecret) -> tuple[Difference, ...]:
    """From ``one`` to ``other``; none when the drives are the same to the byte."""
    before, after = _lines(one.generation.receipt), _lines(other.generation.receipt)
    items = tuple(
        Difference(describe(thing.kind, thing.name), change)
        for thing in dict.fromkeys([*before, *after])
        if (change := _change(before.get(thing), after.get(thing), same))
    )
    return items + _of_ingredients(one.ingredients, other.ingredients)


def _lines(receipt: Receipt) -> Mapping[Thing, ReceiptItem]:
    there = [item for item in receipt.items if item.outcome not in _ABSENT]
    return dict(zip(things((item.kind, item.name) for item in there), there, strict=True))


def _change(before: ReceiptItem | None, after: ReceiptItem | None, same: SameSecret) -> Change | None:
    if before is None:
        return Change.ADDED
    if after is None:
        return Change.REMOVED
    alike = before.digest == after.digest or (before.kind in SECRET_KINDS and same(before.digest, after.digest))
    return None if alike and before.mode == after.mode else Change.CHANGED


def _of_ingredients(one: Ingredients, other: Ingredients) -> tuple[Difference, ...]:
    """The names of the rest: dates, the instance id, vendor data and so on. Host name and metadata are items."""
    names = (field.name for field in dataclasses.fields(Ingredients) if field.name not in _ITEMS)
    return tuple(
        Difference(name.replace("_", " "), Change.CHANGED)
        for name in names
        if getattr(one, name) != getattr(other, name)
    )


# The other versions say the same, as far as they know it.
_SHOWN = ("openstack/latest/", "openstack/content/", "ec2/latest/")


def compare_trees(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[Difference, ...]:
    """File by file, documents by the JSON pointers of what differs in them; of all versions only the newest."""
    paths = [path for path in dict.fromkeys([*before, *after]) if path.startswith(_SHOWN)]
    return tuple(found for path in paths for found in _of_file(path, before.get(path), after.get(path)))


def _of_file(path: str, before: bytes | None, after: bytes | None) -> Iterator[Difference]:
    if before is None or after is None:
        yield Difference(path, Change.ADDED if before is None else Change.REMOVED)
    elif before != after and path.endswith(".json"):
        yield from _of_value(f"{path}#", json.loads(before), json.loads(after))
    elif before != after:
        yield Difference(path, Change.CHANGED)


def _of_value(place: str, before: Any, after: Any) -> Iterator[Difference]:
    if before == after:
        return
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield Difference(one_line(place, _PLACE), Change.CHANGED)
        return
    for key in dict.fromkeys([*before, *after]):
        below = f"{place}/{key.replace('~', '~0').replace('/', '~1')}"
        if key in before and key in after:
            yield from _of_value(below, before[key], after[key])
        else:
            yield Difference(one_line(below, _PLACE), Change.ADDED if key in after else Change.REMOVED)
