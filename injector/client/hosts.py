"""`injector host ...`: what compute hosts are and have promised, and what the operator wants of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client.arguments import seconds
from injector.client.cells import Cell, pairs
from injector.client.command import ApiCommand, ApiLister, ApiShower
from injector.client.exits import Exit, Failure, Unreachable, UsageError
from injector.client.find import HOSTS, SERVER
from injector.client.session import Document, seg
from injector.client.watch import SLOW, Patience


class List(ApiLister):
    """List the compute hosts: whether each is heard of, takes guests, and how much of it is promised."""

    titles = ("Name", "Zone", "State", "Enabled", "Guests", "VCPUs", "RAM", "Disk", "Virtualisation", "Back ends")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        for host in self.session.collection(HOSTS, "hosts"):
            usage, room = host.get("usage") or {}, host.get("room") or {}
            shares = (Cell([usage.get(what), room.get(what)], _share) for what in ("vcpus", "ram", "disk"))
            virt = (host.get("virt") or {}).get("virt_type")
            back_ends = Cell(host.get("back_ends") or [], _brief_back_ends)
            what = (host.get("name"), host.get("availability_zone"), host.get("state"), host.get("enabled"))
            yield dict(zip(self.titles, (*what, usage.get("guests"), *shares, virt, back_ends), strict=True))


class Show(ApiShower):
    """Show a compute host; without a name, the only one there is."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("host", metavar="HOST", nargs="?", help="name of the host")

    def fields(self) -> Mapping[str, Any]:
        if self.args.host is not None:
            return _fields(self.session.get(f"{HOSTS}/{seg(self.args.host)}")["host"])
        known = self.session.collection(HOSTS, "hosts")
        if len(known) == 1:
            return _fields(known[0])
        names = ", ".join(str(host.get("name")) for host in known)
        raise Failure(f"say which host: {names}" if names else "no host has reported itself yet")


class HostCommand(ApiCommand):
    """Does one thing to each host named."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("hosts", metavar="HOST", nargs="+", help="name of the host")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        self.args = parsed_args
        return self.each(parsed_args.hosts, self.one)

    def one(self, name: str) -> None:
        raise NotImplementedError

    def act(self, name: str, action: str, argument: Mapping[str, Any] | None = None) -> Document:
        return self.session.post(f"{HOSTS}/{seg(name)}/action", {action: argument})


class Enable(HostCommand):
    """Let hosts be given guests again."""

    def one(self, name: str) -> None:
        self.act(name, "enable")


class Disable(HostCommand):
    """Give hosts no more guests; those they have stay and can be worked with."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        _reason(parser)

    def one(self, name: str) -> None:
        self.act(name, "disable", {"reason": self.args.reason})


class Drain(HostCommand):
    """Disable hosts and move away what is not allowed to start yet; guests that run stay, and are told."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        _reason(parser)
        parser.add_argument("--wait", action="store_true", help="return when nothing is being built there any more")
        parser.add_argument(
            "--timeout", type=seconds, default=900.0, metavar="SECONDS", help="of the wait (default: %(default)g)"
        )

    def one(self, name: str) -> None:
        left = self.act(name, "drain", {"reason": self.args.reason}).get("servers") or []
        if left:
            self.say(f"{name}: {_servers(left)} left: {', '.join(left)}")
        if left and self.args.wait:
            self._wait(name)

    def _wait(self, name: str) -> None:
        deadline, patience = time.monotonic() + self.args.timeout, Patience()
        while self._building(name, patience):
            if time.monotonic() >= deadline:
                raise Failure(f"{name}: there are still builds after {self.args.timeout:g} s", Exit.TIMED_OUT)
            time.sleep(SLOW)

    def _building(self, name: str, patience: Patience) -> bool:
        """Whether anything is being built there, as far as the API answers."""
        on_host: dict[str, Any] = {"host": name, "all_tenants": "1", "limit": 1}
        try:
            found = [self.session.get(SERVER.listing, status=status, **on_host) for status in ("BUILD", "REBUILD")]
        except Unreachable as error:
            patience.unanswered(error)
            return True
        patience.answered()
        return any(page.get("servers") for page in found)


class Evacuate(HostCommand):
    """Make the guests of hosts that are dead anew on other hosts. A guest that still runs there would run twice."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument(
            "--yes-it-is-dead", action="store_true", help="do not ask whether the host is off, or cut from everything"
        )

    def one(self, name: str) -> None:
        if not self.args.yes_it_is_dead:
            self._ask(name)
        moved = self.act(name, "evacuate").get("servers") or []
        self.say(f"{name}: {_servers(moved)} made anew elsewhere{': ' if moved else ''}{', '.join(moved)}")

    def _ask(self, name: str) -> None:
        """Failure for anything but the host's own name: a "yes" is typed too easily."""
        what = f"{name}: its guests lose their disks, and one that still runs there would run twice"
        if not self.app.stdin.isatty():
            raise UsageError(f"{what}; say --yes-it-is-dead when the host is off")
        print(f"{what}.\nIs it off? Type its name to go on: ", end="", file=self.app.stderr, flush=True)
        if self.app.stdin.readline().strip() != name:
            raise Failure(f"{name} is left as it is")


class Forget(HostCommand):
    """Remove hosts that are gone for good, and have no servers."""

    def one(self, name: str) -> None:
        self.session.delete(f"{HOSTS}/{seg(name)}")


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", help="shown with the host")


def _servers(ids: list[str]) -> str:
    return "1 server" if len(ids) == 1 else f"{len(ids)} servers"


def _share(pair: list[Any]) -> list[str]:
    used, room = pair
    return [] if used is None or room is None else [f"{used}/{room}"]


def _fields(host: Document) -> dict[str, Any]:
    shown = dict(host)
    shown["virt"] = Cell(host.get("virt"), _virt)
    shown["usage"] = pairs(host.get("usage"))
    shown["room"] = pairs(host.get("room"))
    shown["policy"] = pairs(host.get("policy"))
    shown["carriages"] = Cell(host.get("carriages") or [], _carriages)
    shown["back_ends"] = Cell(host.get("back_ends") or [], _back_ends)
    return shown


def _virt(virt: dict[str, Any] | None) -> list[str]:
    if not virt:
        return []
    proven = "KVM proven" if virt.get("proven") else "KVM not proven"
    return [f"{virt.get('virt_type')}, cpu mode {virt.get('cpu_mode')}, {proven}: {virt.get('reason')}"]


def _carriages(carriages: list[dict[str, Any]]) -> list[str]:
    return [
        f"{carriage.get('channel')}: {', '.join(sorted(carriage.get('kinds') or []))}"
        f"{', any file mode' if carriage.get('any_mode') else ''}"
        for carriage in carriages
    ]


def _back_ends(found: list[dict[str, Any]]) -> list[str]:
    """In the order in which they are tried; nothing where partition injection is off."""
    return [f"{one.get('name')}: {_availability(one)}" for one in found]


def _availability(one: dict[str, Any]) -> str:
    word, reason = "available" if one.get("available") else "not available", one.get("reason")
    return f"{word}: {reason}" if reason else word


def _brief_back_ends(found: list[dict[str, Any]]) -> list[str]:
    names = [str(one.get("name")) for one in found if one.get("available")]
    missing = [f"not {one.get('name')}" for one in found if not one.get("available")]
    return [", ".join([*names, *missing])]
