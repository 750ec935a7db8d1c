"""Plans, findings, receipts and their items: names, sizes and outcomes, never contents."""

from __future__ import annotations

from injector.api.views.viewpoint import Document
from injector.model.finding import Finding
from injector.model.payload import Item
from injector.model.plan import Plan
from injector.model.receipt import Receipt


def show_plan(plan: Plan) -> Document:
    return {
        "channel": plan.channel.value,
        "reason": plan.reason,
        "items": [_item(item) for item in plan.items],
        "left_out": [{"item": _item(left.item), "reason": left.reason} for left in plan.left_out],
        "drive_bus": plan.drive_bus,
        "medium_changes_live": plan.medium_changes_live,
        "drive_format": plan.drive_format,
        "filesystem": plan.filesystem,
        "partition": plan.partition,
        "back_ends": list(plan.back_ends),
    }


def show_finding(finding: Finding) -> Document:
    return {"check": finding.check.value, "field": finding.field, "message": finding.message}


def receipt_items(receipt: Receipt) -> list[Document]:
    return [
        {
            "kind": item.kind.value,
            "name": item.name,
            "size": item.size,
            "outcome": item.outcome.value,
            "digest": item.digest,
            "where": item.where,
            "mode": _octal(item.mode),
            "reason": item.reason,
        }
        for item in receipt.items
    ]


def _item(item: Item) -> Document:
    return {
        "kind": item.kind.value,
        "name": item.name,
        "size": item.size,
        "required": item.required,
        "mode": _octal(item.mode),
        "owner": item.owner,
    }


def _octal(mode: int | None) -> str | None:
    """``0644``: a number that nobody reads in tens."""
    return None if mode is None else f"{mode:04o}"
