"""The commands on servers that exist: list, show, delete, the receipt, and what becomes of the running guest."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client import views
from injector.client.arguments import positive, seconds
from injector.client.command import ApiCommand, ApiLister, ApiShower
from injector.client.find import SERVER, find, find_id, name_images
from injector.client.progress import Remarks
from injector.client.session import Document
from injector.client.watch import Watch


class List(ApiLister):
    """List servers, the newest first."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--name", help="only servers of this name")
        parser.add_argument("--status", metavar="STATUS", help="only servers in this status, such as ACTIVE or ERROR")
        parser.add_argument("--limit", type=positive, metavar="N", help="at most N servers")
        parser.add_argument("--long", action="store_true", help="also host, key, creation time and forwards")

    def columns(self) -> tuple[str, ...]:
        return views.LONG_TITLES if self.args.long else views.TITLES

    def rows(self) -> Iterable[Mapping[str, Any]]:
        asked = {"name": self.args.name, "status": self.args.status}
        if self.args.limit:
            found = self.session.get(SERVER.listing, limit=self.args.limit, **asked).get("servers", [])
        else:
            found = self.session.collection(SERVER.listing, "servers", **asked)
        return [views.row(view) for view in name_images(self.session, found)]


class Show(ApiShower):
    """Show one server: its state, what its guest says, how it was delivered to."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")

    def fields(self) -> Mapping[str, Any]:
        (view,) = name_images(self.session, [find(self.session, SERVER, self.args.server)])
        return views.fields(view)


class Receipt(ApiShower):
    """Show what was delivered to a server: every item, where it was put, and whether it was read back."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")

    def fields(self) -> Mapping[str, Any]:
        identity = find_id(self.session, SERVER, self.args.server)
        document = self.session.get(f"{SERVER.path}/{identity}/injector-receipt")
        return views.receipt_fields(document.get("receipt", document))


class PowerCommand(ApiCommand):
    """Does one thing to each server named, and waits for it when asked to."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("servers", metavar="SERVER", nargs="+", help="name or id")
        parser.add_argument("--wait", action="store_true", help="return when it is done")
        parser.add_argument(
            "--timeout", type=seconds, default=120.0, metavar="SECONDS", help="of the wait (default: %(default)g)"
        )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        self.args = parsed_args
        return self.each(parsed_args.servers, self._one)

    def _one(self, name: str) -> None:
        view = find(self.session, SERVER, name)
        self.begin(view)
        if self.args.wait:
            self.end(view, Watch(self.session, Remarks(self.say), self.args.timeout))

    def begin(self, view: Document) -> None:
        raise NotImplementedError

    def end(self, view: Document, watch: Watch) -> None:
        raise NotImplementedError

    def act(self, view: Document, action: str, argument: Mapping[str, Any] | None = None) -> None:
        self.session.post(f"{SERVER.path}/{view['id']}/action", {action: argument})


class Delete(PowerCommand):
    """Delete servers, with everything that belongs to them."""

    def begin(self, view: Document) -> None:
        self.session.delete(f"{SERVER.path}/{view['id']}")

    def end(self, view: Document, watch: Watch) -> None:
        watch.gone(view)


class Stop(PowerCommand):
    """Stop servers: the guest is asked to power off, and made to when it does not."""

    def begin(self, view: Document) -> None:
        self.act(view, "os-stop")

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "SHUTOFF")


class Start(PowerCommand):
    """Start servers that are stopped."""

    def begin(self, view: Document) -> None:
        self.act(view, "os-start")

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "ACTIVE")


class Reboot(PowerCommand):
    """Reboot servers: by the guest itself, or with --hard by a power cycle."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument("--hard", action="store_true", help="power cycle instead of asking the guest")

    def begin(self, view: Document) -> None:
        self.act(view, "reboot", {"type": "HARD" if self.args.hard else "SOFT"})

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "ACTIVE")


class Pause(PowerCommand):
    """Pause servers: the guest stands still, and keeps its memory on the host."""

    def begin(self, view: Document) -> None:
        self.act(view, "pause")

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "PAUSED")


class Unpause(PowerCommand):
    """Let servers go on that are paused."""

    def begin(self, view: Document) -> None:
        self.act(view, "unpause")

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "ACTIVE")


class Suspend(PowerCommand):
    """Suspend servers: the guest's memory is saved to disk, and the host is rid of it until it is resumed."""

    def begin(self, view: Document) -> None:
        self.act(view, "suspend")

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "SUSPENDED")


class Resume(PowerCommand):
    """Let servers go on that are suspended, where they were."""

    def begin(self, view: Document) -> None:
        self.act(view, "resume")

    def end(self, view: Document, watch: Watch) -> None:
        watch.power(view, "ACTIVE")
