"""A server's view as rows and fields for people: what the API says, under short names, nothing concluded here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from injector.client.cells import Cell, human_size, pairs, size
from injector.client.session import Document

TITLES = ("ID", "Name", "Status", "Guest", "Networks", "Image", "Flavor")
LONG_TITLES = (*TITLES, "Host", "Key", "Created", "Forwards")


def row(view: Document) -> dict[str, Any]:
    """One line of ``injector list``."""
    return {
        "ID": view.get("id"),
        "Name": view.get("name"),
        "Status": _status(view),
        "Guest": _guest(view).get("state"),
        "Networks": Cell(view.get("addresses") or {}, _addresses),
        "Image": _image(view),
        "Flavor": _flavor(view),
        "Host": view.get("OS-EXT-SRV-ATTR:host"),
        "Key": view.get("key_name"),
        "Created": view.get("created"),
        "Forwards": Cell(view.get("injector:forwards") or [], _forwards),
    }


def fields(view: Document) -> dict[str, Any]:
    """What ``injector show`` and ``injector boot`` print of one server."""
    guest = _guest(view)
    return {
        "id": view.get("id"),
        "name": view.get("name"),
        "hostname": view.get("OS-EXT-SRV-ATTR:hostname"),
        "status": _status(view),
        "fault": (view.get("fault") or {}).get("message") or view.get("injector:fault"),
        "guest": guest.get("state"),
        "guest_detail": guest.get("detail"),
        "guest_witness": guest.get("witness"),
        "plan": Cell(view.get("injector:plan"), plan_lines),
        "findings": Cell(view.get("injector:findings") or [], finding_lines),
        "config_drive": bool(view.get("config_drive")),
        "drive_generation": view.get("injector:generation"),
        "drive_in_guest": view.get("injector:drive_in_guest"),
        "image": _image(view),
        "image_id": (view.get("image") or {}).get("id"),
        "flavor": _flavor(view),
        "key_name": view.get("key_name"),
        "addresses": Cell(view.get("addresses") or {}, _addresses),
        "forwards": Cell(view.get("injector:forwards") or [], _forwards),
        "metadata": pairs(view.get("metadata")),
        "host": view.get("OS-EXT-SRV-ATTR:host"),
        "availability_zone": view.get("OS-EXT-AZ:availability_zone"),
        "reservation_id": view.get("OS-EXT-SRV-ATTR:reservation_id"),
        "created": view.get("created"),
        "launched": view.get("OS-SRV-USG:launched_at"),
        "phases": Cell(view.get("injector:marks") or [], _marks),
        "request_id": view.get("injector:request_id"),
    }


def _status(view: Document) -> str:
    """The status, and the task under way, if there is one that the status does not name by itself."""
    task = view.get("OS-EXT-STS:task_state")
    status = str(view.get("status"))
    told = not task or (status in ("BUILD", "REBOOT", "HARD_REBOOT") and task != "deleting")
    return status if told else f"{status} ({task})"


def _guest(view: Document) -> dict[str, Any]:
    return view.get("injector:guest") or {}


def _image(view: Document) -> str | None:
    image = view.get("image") or {}
    return image.get("name") or image.get("id")


def _flavor(view: Document) -> str | None:
    flavor = view.get("flavor") or {}
    return flavor.get("original_name") or flavor.get("id")


def _addresses(networks: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [
        f"{name}={', '.join(str(address.get('addr')) for address in addresses) or 'by DHCP'}"
        for name, addresses in networks.items()
    ]


def _forwards(forwards: list[dict[str, Any]]) -> list[str]:
    return [f"127.0.0.1:{forward.get('host_port')} -> {forward.get('guest_port')}" for forward in forwards]


def plan_lines(plan: dict[str, Any] | None) -> list[str]:
    if not plan:
        return []
    drive = f" (a {plan['drive_bus']} drive)" if plan.get("drive_bus") else ""
    lines = [f"{plan.get('channel')}{drive}: {plan.get('reason')}", *_target(plan)]
    for left in plan.get("left_out") or []:
        item = left.get("item") or {}
        lines.append(f"left out: {item.get('kind')} {item.get('name')}: {left.get('reason')}")
    return lines


def _target(plan: dict[str, Any]) -> list[str]:
    """Of partition injection: the file system, as far as the image was looked into, and who is to edit it."""
    back_ends = ", then ".join(plan.get("back_ends") or [])
    if not back_ends:
        return []
    if not plan.get("filesystem"):
        return [f"into a root that is yet to be found, by {back_ends}"]
    number = plan.get("partition")
    place = "" if number is None else f" on partition {number}" if number else " on the whole disk"
    return [f"into {plan['filesystem']}{place}, by {back_ends}"]


def finding_lines(findings: list[dict[str, Any]]) -> list[str]:
    """What the lint found doubtful: the field, why, and the check's name to look up or switch off."""
    return [f"{one.get('field')}: {one.get('message')} [{one.get('check')}]" for one in findings]


def _marks(marks: list[dict[str, Any]]) -> list[str]:
    return [f"{elapsed(marks[0], mark):6.2f} s {mark.get('step')}" for mark in marks]


def elapsed(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    """Seconds between two things that have an ``at``."""
    return (datetime.fromisoformat(later["at"]) - datetime.fromisoformat(earlier["at"])).total_seconds()


def receipt_fields(receipt: Document) -> dict[str, Any]:
    """What ``injector receipt`` prints: the channel, the drive, and a line for every item."""
    return {
        "channel": receipt.get("channel"),
        "reason": receipt.get("reason"),
        "drive_format": receipt.get("drive_format"),
        "drive_size": size(receipt.get("drive_size")),
        "drive_sha256": receipt.get("drive_digest"),
        "filesystem": receipt.get("filesystem"),
        "back_end": receipt.get("back_end"),
        "passed_over": Cell(receipt.get("passed_over") or [], _passed_over),
        "items": Cell(receipt.get("items") or [], lambda items: [_item(item) for item in items]),
    }


def _passed_over(back_ends: list[dict[str, Any]]) -> list[str]:
    return [f"{one.get('back_end')}: {one.get('reason')}" for one in back_ends]


def _item(item: dict[str, Any]) -> str:
    parts = [f"{item.get('kind')} {item.get('name')}: {item.get('outcome')}", human_size(item.get("size") or 0)]
    if item.get("mode") is not None:
        parts.append(f"mode {item['mode']}")
    parts += [str(item[key]) for key in ("where", "digest", "reason") if item.get(key)]
    return ", ".join(parts)
