"""What was found in an image, as rows for people; machines get the values as the API says them."""

from __future__ import annotations

from typing import Any

from injector.client.cells import Cell, human_size


def fields(found: dict[str, Any] | None) -> dict[str, Any]:
    """What ``injector image show`` adds to the record; all but the first are empty before anybody has looked."""
    known = found or {}
    return {
        "looked_into": found is not None,
        "partition_table": known.get("table"),
        "partitions": Cell(known.get("partitions") or [], lambda some: [_partition(one) for one in some]),
        "root": Cell(known.get("root"), _root),
        "os": known.get("os"),
        "os_version": known.get("os_version"),
        "init": known.get("init"),
        "network_tools": Cell(known.get("network") or [], lambda some: [", ".join(some)]),
        "agent": known.get("agent"),
        "agent_seen": known.get("agent_seen"),
        "selinux": known.get("selinux"),
        "back_end": known.get("back_end"),
        "doubt": known.get("doubt"),
    }


def _partition(one: dict[str, Any]) -> str:
    """``1: ext4, 2.0 GiB at 1.0 MiB, label root``; a file system without a table is number 0."""
    place = f"{human_size(one.get('size') or 0)} at {human_size(one.get('start') or 0)}"
    named = [f"{key} {one[key]}" for key in ("label", "name", "type") if one.get(key)]
    words = [one.get("filesystem") or "nothing recognised", place, *named]
    return f"{one.get('number') or 'the whole disk'}: {', '.join(words)}"


def _root(root: dict[str, Any] | None) -> list[str]:
    return [] if not root else [f"{root.get('filesystem')}, {root.get('found_by')}"]
