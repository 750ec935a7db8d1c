"""The commands on config drives: refresh a server's, list and compare its generations, verify the current one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client.arguments import positive, seconds
from injector.client.cells import Cell
from injector.client.command import ApiLister, ApiShower
from injector.client.exits import Exit, Failure
from injector.client.find import SERVER, find, find_id
from injector.client.progress import Remarks
from injector.client.session import Document
from injector.client.watch import Watch
from injector.model.generation import IdPolicy


class Refresh(ApiShower):
    """Give a server another config drive, made from its record as it is now, or an earlier one again."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")
        policies = [policy.value for policy in IdPolicy]
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--policy", choices=policies, help="what it means to cloud-init (default: keep-id)")
        what.add_argument("--to", type=positive, metavar="N", help="go back to generation N instead")
        parser.add_argument(
            "--timeout", type=seconds, default=120.0, metavar="SECONDS", help="of the wait (default: %(default)g)"
        )

    def fields(self) -> Mapping[str, Any]:
        view = find(self.session, SERVER, self.args.server)
        policy = None if self.args.to else IdPolicy(self.args.policy or IdPolicy.KEEP)
        if policy is not None:
            self.say(f"{policy.value}: {policy.meaning}")
        begun = self._begin(view, {"to": self.args.to} if policy is None else {"policy": policy.value})
        if policy is None:
            self.say(f"generation {self.args.to}: {begun.get('meaning')}")
        self.say(str(begun.get("when")))
        after = Watch(self.session, Remarks(self.say), self.args.timeout).refreshed(view, int(begun["generation"]))
        return self._done(after, begun)

    def _begin(self, view: Document, wanted: Mapping[str, Any]) -> Document:
        answer = self.session.post(f"{SERVER.path}/{view['id']}/action", {"injector:refresh": dict(wanted)})
        begun: Document = answer["refresh"]
        return begun

    def _done(self, view: Document, begun: Document) -> Mapping[str, Any]:
        made = next(one for one in _generations(self.session, str(view["id"])) if one["current"])
        return {
            "id": view.get("id"),
            "generation": made["number"],
            "policy": begun.get("policy"),
            "guest_instance_id": made["uuid"],
            "drive_sha256": made["drive_digest"],
            "drive_in_guest": view.get("injector:drive_in_guest"),
            "meaning": begun.get("meaning"),
        }


class Generations(ApiLister):
    """List the config drives of a server that are kept, or compare two of them item by item."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")
        parser.add_argument("--compare", nargs=2, type=positive, metavar=("A", "B"), help="what B has otherwise than A")

    def columns(self) -> tuple[str, ...]:
        listed = ("Generation", "Current", "In guest", "Policy", "Made", "Guest instance id", "SHA-256")
        return ("What", "Change") if self.args.compare else listed

    def rows(self) -> Iterable[Mapping[str, Any]]:
        identity = find_id(self.session, SERVER, self.args.server)
        if not self.args.compare:
            return [_row(one) for one in _generations(self.session, identity)]
        pair = ",".join(map(str, self.args.compare))
        found = self.session.get(f"{SERVER.path}/{identity}/injector-generations", compare=pair)["differences"]
        if not found:
            self.say("the two are the same to the byte")
        return [{"What": one["what"], "Change": one["change"]} for one in found]


class Diff(ApiLister):
    """Show what a refresh now would change on a server's config drive."""

    titles = ("What", "Change")

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        identity = find_id(self.session, SERVER, self.args.server)
        found = self.session.get(f"{SERVER.path}/{identity}/injector-diff")["differences"]
        if not found:
            self.say("a refresh now would change nothing but the drive's date")
        return [{"What": one["what"], "Change": one["change"]} for one in found]


class Verify(ApiShower):
    """Compare the config drive of a server, as it lies on its host now, with its receipt."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")

    def fields(self) -> Mapping[str, Any]:
        view = find(self.session, SERVER, self.args.server)
        found = self.session.get(f"{SERVER.path}/{view['id']}/injector-verify")["verify"]
        if not found["intact"]:
            what = f"server {view.get('name')} ({view['id']}): the config drive is not what was delivered"
            self.ending = Failure(f"{what}; it is made again when the server is started or rebooted", Exit.NOT_INTACT)
        return {
            "id": view["id"],
            "generation": found["generation"],
            "verdict": "intact" if found["intact"] else "not intact",
            "differences": Cell(found["differences"], list),
            "made_again": found["made_again"],
        }


def _generations(session: Any, identity: str) -> list[Document]:
    found: list[Document] = session.get(f"{SERVER.path}/{identity}/injector-generations")["generations"]
    return found


def _row(one: Document) -> dict[str, Any]:
    return {
        "Generation": one["number"],
        "Current": one["current"],
        "In guest": one["inserted"],
        "Policy": one["policy"],
        "Made": one["made_at"],
        "Guest instance id": one["uuid"],
        "SHA-256": one["drive_digest"],
    }
