"""`injector boot`: a request from the flags of `nova boot`, and the wait for the server, or its guest, to be up."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from cliff.formatters.base import ListFormatter

from injector.client import payload, views
from injector.client.arguments import NicArgument, nic_argument, positive, seconds, yes_or_no
from injector.client.command import ApiShower, cell
from injector.client.exits import Failure, UsageError
from injector.client.find import FLAVOR, IMAGE, NETWORK, SERVER, find_id, get, name_images
from injector.client.progress import shown
from injector.client.session import Document, Session
from injector.client.watch import Goal, Watch

ROW = ("id", "name", "status", "guest", "admin_pass")
"""The columns when several servers are booted."""
GOALS = tuple(goal.value for goal in Goal)


class Boot(ApiShower):
    """Boot a server and give its guest an identity: key, files, metadata, user-data, network, password."""

    servers: list[Document]

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        what(parser.add_argument_group("what to boot"))
        inject(parser.add_argument_group("what to inject"))
        waiting(parser.add_argument_group("waiting"))

    def tidy(self, argv: list[str]) -> list[str]:
        return bare_wait(argv)

    def fields(self) -> Mapping[str, Any]:
        made = self.session.post(SERVER.path, body(self.session, self.args))["server"]
        try:
            self._see(made)
        except Failure as failure:  # the server is being built all the same: its id and password must not be lost
            self.ending = failure
        self.servers = name_images(self.session, self.servers)
        return views.fields(self.servers[0]) | {"admin_pass": made.get("adminPass")}

    def _see(self, made: Document) -> None:
        self.servers = [made]
        first = get(self.session, SERVER, str(made["id"]))
        for line in views.finding_lines(first.get("injector:findings") or []):
            self.say(f"warning: {line}")
        self.servers = [first] if self.args.max_count == 1 else self._all_of(first)
        if self.args.wait:
            self.servers = waited(self, self.servers)

    def _all_of(self, first: Document) -> list[Document]:
        """Every server of the request, in the order of their names."""
        reservation = first.get("OS-EXT-SRV-ATTR:reservation_id")
        known = self.session.collection(SERVER.listing, "servers", reservation_id=reservation)
        mine = [view for view in known if view.get("OS-EXT-SRV-ATTR:reservation_id") == reservation]
        return sorted(mine or [first], key=lambda view: int(view.get("OS-EXT-SRV-ATTR:launch_index") or 0))

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any, data: Any) -> int:
        """One server's fields, or a row for each of several; cliff's formatters can do either, but for ``shell``."""
        if len(self.servers) == 1 or not isinstance(self.formatter, ListFormatter):
            return super().produce_output(parsed_args, column_names, data)
        titles = parsed_args.columns or ROW
        unknown = [title for title in titles if title not in column_names]
        if unknown:
            raise UsageError(f"there is no column '{unknown[0]}'; there are: {', '.join(column_names)}")
        password = data[column_names.index("admin_pass")]
        views_of_all = (views.fields(view) | {"admin_pass": password} for view in self.servers)
        rows = [[cell(fields[title], parsed_args) for title in titles] for fields in views_of_all]
        self.formatter.emit_list(titles, rows, self.app.stdout, parsed_args)
        return 0


def bare_wait(argv: list[str]) -> list[str]:
    """``--wait NAME`` means ``--wait`` and a name: argparse would take the name for the optional value."""
    return [
        "--wait=running" if word == "--wait" and (argv[place + 1 : place + 2] or [""])[0] not in GOALS else word
        for place, word in enumerate(argv)
    ]


def what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("name", metavar="NAME", help="name of the server")
    group.add_argument("--image", required=True, metavar="IMAGE", help="name or id")
    group.add_argument("--flavor", required=True, metavar="FLAVOR", help="name or id")
    group.add_argument(
        "--nic",
        dest="nics",
        type=nic_argument,
        action="append",
        default=[],
        metavar="net-id=ID|net-name=NAME[,v4-fixed-ip=IP][,tag=TAG]",
        help="a card (repeat for more); 'none': no card; 'auto', the default: a card on the only network there is",
    )
    group.add_argument("--disk-tag", metavar="TAG", help="the role of the root disk, told to the guest")
    group.add_argument("--availability-zone", metavar="ZONE", help="where to boot")
    group.add_argument(
        "--client-token",
        metavar="TOKEN",
        help="a word of your own for this request (1 to 64 characters): asked again with it, nothing is booted twice",
    )
    group.add_argument("--min-count", type=positive, metavar="N", help="boot at least N of them or none (default: 1)")
    group.add_argument("--max-count", type=positive, metavar="N", help="boot up to N of them (default: --min-count)")


def inject(group: argparse._ArgumentGroup) -> None:
    payload.keys(group)
    payload.user_data(group)
    payload.files(group)
    payload.metadata(group)
    group.add_argument("--config-drive", type=yes_or_no, metavar="true|false", help="ask for a config drive")
    payload.admin_pass(group)
    payload.best_effort(group)
    group.add_argument("--hostname", metavar="HOSTNAME", help="the guest's host name (default: made from NAME)")


def waiting(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--wait",
        nargs="?",
        const=Goal.RUNNING.value,
        choices=GOALS,
        help="return when the server runs (the default of --wait), or when its guest says that it is done",
    )
    group.add_argument(
        "--timeout", type=seconds, default=900.0, metavar="SECONDS", help="of the wait (default: %(default)g)"
    )


def waited(command: ApiShower, servers: list[Document]) -> list[Document]:
    """The servers once they are where ``--wait`` wants them; of those that did not come there ``ending`` tells."""
    goal, app = Goal(command.args.wait), command.app
    with shown(app.stderr, quiet=app.options.verbose_level == 0) as progress:
        seen, failures = Watch(command.session, progress, command.args.timeout).boot(servers, goal)
    for failure in failures[1:]:
        app.complain(failure)
    command.ending = failures[0] if failures else None
    return seen


def body(session: Session, args: argparse.Namespace) -> dict[str, Any]:
    """The create request; names are looked up, files read and everything checked before anything is asked for."""
    args.min_count = args.min_count or 1
    args.max_count = args.max_count or args.min_count
    if args.min_count > args.max_count:
        raise UsageError(f"--min-count {args.min_count} is more than --max-count {args.max_count}")
    payload.check(args)
    server: dict[str, Any] = {
        "name": args.name,
        "min_count": args.min_count,
        "max_count": args.max_count,
        "personality": payload.personality(args.files),
        "user_data": args.user_data.base64() if args.user_data else None,
        "metadata": dict(args.meta),
        "key_name": next(iter(args.key_names), None),
        "injector:keys": args.key_names[1:],
        "config_drive": args.config_drive,
        "adminPass": payload.password(args),
        "availability_zone": args.availability_zone,
        "hostname": args.hostname,
        "injector:best_effort": args.best_effort,
        "injector:client_token": args.client_token,
    }
    said = {key: value for key, value in server.items() if value not in (None, [], {})}
    networks = _networks(session, args.nics)
    image, flavor = find_id(session, IMAGE, args.image), find_id(session, FLAVOR, args.flavor)
    root = _root_disk(image, args.disk_tag)
    return {"server": said | {"imageRef": image, "flavorRef": flavor, "networks": networks, **root}}


def _networks(session: Session, nics: list[NicArgument]) -> str | list[dict[str, str]]:
    """``auto`` when nothing is said, as `nova boot` does."""
    whole = [nic.whole for nic in nics if nic.whole]
    if whole and len(nics) > 1:
        raise UsageError(f"--nic {whole[0]} stands alone: it speaks for all cards")
    if whole or not nics:
        return whole[0] if whole else "auto"
    ids = {name: find_id(session, NETWORK, name) for name in dict.fromkeys(nic.network for nic in nics) if name}
    return [_card(ids[nic.network or ""], nic) for nic in nics]


def _card(network_id: str, nic: NicArgument) -> dict[str, str]:
    said = {"uuid": network_id, "fixed_ip": nic.fixed_ip, "tag": nic.tag}
    return {key: value for key, value in said.items() if value is not None}


def _root_disk(image_id: str, tag: str | None) -> dict[str, Any]:
    """The image as a block device: the only place of a request that has a tag for it."""
    if tag is None:
        return {}
    device = {"uuid": image_id, "boot_index": 0, "source_type": "image", "destination_type": "local", "tag": tag}
    return {"block_device_mapping_v2": [device]}
