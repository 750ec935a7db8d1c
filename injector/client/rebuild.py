"""`injector rebuild`: a guest made anew from an image; what the command does not name is delivered as it was."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from injector.client import payload, views
from injector.client.boot import bare_wait, waited, waiting
from injector.client.command import ApiShower
from injector.client.exits import Failure
from injector.client.find import IMAGE, SERVER, find, find_id, name_images
from injector.client.session import Document


class Rebuild(ApiShower):
    """Make a server's guest anew: its disk is lost, its id, addresses and identity stay."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")
        parser.add_argument("--image", metavar="IMAGE", help="name or id (default: the one it has)")
        parser.add_argument("--name", metavar="NAME", help="another name; the guest keeps its host name")
        _instead(parser.add_argument_group("what to inject instead of what it was given so far"))
        waiting(parser.add_argument_group("waiting"))

    def tidy(self, argv: list[str]) -> list[str]:
        return bare_wait(argv)

    def fields(self) -> Mapping[str, Any]:
        payload.check(self.args)
        view = find(self.session, SERVER, self.args.server)
        begun = self.session.post(f"{SERVER.path}/{view['id']}/action", {"rebuild": self._body(view)})["server"]
        for line in views.finding_lines(begun.get("injector:findings") or []):
            self.say(f"warning: {line}")
        servers = [begun]
        try:
            servers = waited(self, servers) if self.args.wait else servers
        except Failure as failure:  # it is made anew all the same: its password must not be lost
            self.ending = failure
        (view,) = name_images(self.session, servers)
        return views.fields(view) | {"admin_pass": begun.get("adminPass")}

    def _body(self, view: Document) -> dict[str, Any]:
        image = find_id(self.session, IMAGE, self.args.image) if self.args.image else view["image"]["id"]
        return {"imageRef": image, **_body(self.args)}


def _instead(group: argparse._ArgumentGroup) -> None:
    keys, user_data, files, metadata = (group.add_mutually_exclusive_group() for _ in range(4))
    payload.keys(keys)
    keys.add_argument("--no-key", action="store_true", help="no key pair at all")
    payload.user_data(user_data)
    user_data.add_argument("--no-user-data", action="store_true", help="no user-data")
    payload.files(files, "; in place of every file that it was given")
    files.add_argument("--no-files", action="store_true", help="no files")
    payload.metadata(metadata, ", in place of all it has")
    metadata.add_argument("--no-meta", action="store_true", help="no metadata")
    payload.admin_pass(group)
    payload.best_effort(group)


def _body(args: argparse.Namespace) -> dict[str, Any]:
    """What was said, and no more: the rest stays as it was."""
    said: dict[str, Any] = {}
    if args.name:
        said["name"] = args.name
    if args.key_names or args.no_key:
        said |= {"key_name": next(iter(args.key_names), None), "injector:keys": args.key_names[1:]}
    if args.user_data or args.no_user_data:
        said["user_data"] = args.user_data.base64() if args.user_data else None
    if args.files or args.no_files:
        said["personality"] = payload.personality(args.files)
    if args.meta or args.no_meta:
        said["metadata"] = dict(args.meta)
    if args.admin_pass:
        said["adminPass"] = payload.password(args)
    if args.best_effort:
        said["injector:best_effort"] = args.best_effort
    return said
