"""What there is when all is over, against what was acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.faults.traffic import SETTLED, Guest
from tests.rig import Rig
from tests.system import leftovers

Explains = Callable[[dict[str, Any], Guest], bool]
"""Whether the fault makes the ERROR of a server (first) unavoidable."""

_LAST_WORD = "injector-guest:"
_POWER = {"ACTIVE": "running", "SHUTOFF": "shut off", "PAUSED": "paused"}


@dataclass(frozen=True)
class Count:
    """A sentence for each thing that is not as it should be; ``errors``: what ended in ERROR as the fault has it.

    ``unheard``: guests that run, but have not yet said what they found; nothing is known against them.
    """

    lost: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()


def count(rig: Rig, guests: Sequence[Guest], explains: Explains) -> Count:
    """How it is now. What is not at rest yet is stuck if it stays so."""
    servers = {server["id"]: server for server in rig.servers()}
    _adopt(guests, servers.values())
    found = _Found(rig)
    lost: list[str] = []
    stuck: list[str] = []
    errors: list[str] = []
    unheard: list[str] = []
    for guest in guests:
        lost += [f"{guest.story.name}: {trouble}" for trouble in guest.troubles]
        server = servers.pop(guest.id or "", None)
        if server is None:
            if guest.wanted and "gone" not in guest.wanted:
                lost.append(f"{guest.story.name}: gone, wanted {sorted(guest.wanted)}")
            continue
        words = f"{guest.story.name} ({guest.id} on {server['OS-EXT-SRV-ATTR:host']})"
        if not _at_rest(server):
            stuck.append(f"{words}: {server['status']}, {server['OS-EXT-STS:task_state']}")
        elif server["status"] == "ERROR":
            (errors if explains(server, guest) else lost).append(f"{words}: ERROR: {server['injector:fault']}")
        else:
            lost += [f"{words}: {wrong}" for wrong in found.wrongs(server, guest)]
            unheard += [words] if server["status"] == "ACTIVE" and not found.has_spoken(server) else []
    lost += [f"nobody asked for {server['id']} ({server['name']}), or twice" for server in servers.values()]
    return Count(tuple(lost), tuple(stuck), tuple(errors), tuple(unheard))


def _adopt(guests: Sequence[Guest], servers: Any) -> None:
    """A boot without a token whose answer was lost was heard if there is a server of that name."""
    by_name = {server["name"]: server["id"] for server in servers}
    for guest in guests:
        if guest.id is None and guest.story.name in by_name:
            guest.id = by_name[guest.story.name]
            guest.wanted = {"ACTIVE"}


def _at_rest(server: dict[str, Any]) -> bool:
    return server["status"] in SETTLED and server["OS-EXT-STS:task_state"] is None


class _Found:
    """What the hosts have."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._domains = {
            host: {one.uuid: one.state for one in leftovers.defined(own.seat)} for host, own in rig.libvirts.items()
        }

    def wrongs(self, server: dict[str, Any], guest: Guest) -> Iterator[str]:
        status, host = server["status"], server["OS-EXT-SRV-ATTR:host"]
        if status not in guest.wanted:
            yield f"{status}, wanted {sorted(guest.wanted)}"
        if server["name"] != guest.story.name or server["metadata"] != {"story": guest.story.name}:
            yield f"not as it was asked for: {server['name']} {server['metadata']}"
        channel = {"config_drive": "drive", "partition": "partition"}.get(server["injector:plan"]["channel"])
        if channel != guest.story.channel:
            yield f"was served by {channel}, not by {guest.story.channel}"
        holders = {name: domains[server["id"]] for name, domains in self._domains.items() if server["id"] in domains}
        if holders != {host: _POWER[status]}:
            yield f"{status} on {host}, but libvirt has {holders}"
        said = self._said(server)
        if self.has_spoken(server) and not any(digest in said for digest in guest.digests()):
            yield f"the guest has not found its file, but said: {said[-600:]!r}"

    def has_spoken(self, server: dict[str, Any]) -> bool:
        """Whether the guest has come to its last word since it was made."""
        return _LAST_WORD in self._said(server)

    def _said(self, server: dict[str, Any]) -> str:
        state = self._rig.computes[server["OS-EXT-SRV-ATTR:host"]].state
        console = state / "instances" / server["id"] / "console.log"
        return console.read_text(errors="replace") if console.exists() else ""


def left(rig: Rig) -> tuple[str, ...]:
    """What is still there when every server is deleted."""
    found = rig.leftovers()
    words = [
        *(f"domain {_name(xml)}" for xml in found.domains),
        *(f"directory {name}" for name in found.directories),
        *(f"saved memory {name}" for name in found.saved),
        *(f"QEMU {pid}: {_command(pid)[:200]}" for pid in found.emulators),
        *(f"{table} of {instance}" for table, instance in found.claims),
        *(f"process, mount or loop device: {one[:200]}" for one in rig.left_by_injection() if _is_ours(one, rig)),
        *_rows(rig.database),
    ]
    for host in rig.hosts():
        taken = {name: value for name, value in host["usage"].items() if value}
        words += [f"{host['name']} has promised {taken}"] if taken else []
    return tuple(sorted(words))


def _is_ours(words: str, rig: Rig) -> bool:
    """Not the machine's own mounts, nor the disk of a host."""
    disks = [f" {one.state} " for one in rig.computes.values()]
    return f"{rig.directory}/" in words and not any(disk in words for disk in disks)


def _rows(url: str) -> Iterator[str]:
    """Payloads and drives of instances that are gone."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        for table in ("payloads", "generations"):
            ids = connection.execute(sa.text(f"SELECT instance_id FROM {table}")).scalars()
            for instance, number in Counter(ids).items():
                yield f"{number} {table} of {instance}"


def _name(xml: str) -> str:
    return xml.partition("<name>")[2].partition("</name>")[0]


def _command(pid: str) -> str:
    file = Path(f"/proc/{pid}/cmdline")
    return file.read_bytes().replace(b"\0", b" ").decode(errors="replace") if leftovers.alive(int(pid)) else "ended"
