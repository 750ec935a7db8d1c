"""The flags that say what to inject, for every command that makes a guest."""

from __future__ import annotations

import argparse
from typing import Any, Protocol

from injector.client.arguments import FileArgument, Source, file_argument, key_value, only_one_reads_stdin
from injector.client.exits import Failure

_STDIN = Source("-")

BEST_EFFORT = ("key", "metadata", "user_data", "network", "password", "hostname", "devices")


class Group(Protocol):
    """Of argparse: a titled group, or one of flags that exclude each other."""

    def add_argument(self, *names: str, **how: Any) -> argparse.Action: ...


def keys(group: Group) -> None:
    group.add_argument(
        "--key-name",
        dest="key_names",
        action="append",
        default=[],
        metavar="KEY",
        help="key pair that may log in (repeat for more)",
    )


def user_data(group: Group) -> None:
    group.add_argument("--user-data", type=Source, metavar="FILE", help="file with user-data ('-': standard input)")


def files(group: Group, more: str = "") -> None:
    group.add_argument(
        "--file",
        dest="files",
        type=file_argument,
        action="append",
        default=[],
        metavar="DST=SRC[,mode=MODE][,owner=OWNER][,best-effort]",
        help="put the local file SRC ('-': standard input) at DST in the guest, whatever its bytes (repeat for more); "
        f"best-effort: boot even if it cannot be delivered{more}",
    )


def metadata(group: Group, more: str = "") -> None:
    group.add_argument(
        "--meta",
        type=key_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"metadata{more} (repeat for more)",
    )


def admin_pass(group: Group) -> None:
    group.add_argument(
        "--admin-pass",
        metavar="PASSWORD",
        help="the administrator's password (else one is generated); '-' reads a line of standard input: "
        "an argument is seen by every user of this host",
    )


def best_effort(group: Group) -> None:
    group.add_argument(
        "--best-effort",
        choices=BEST_EFFORT,
        action="append",
        default=[],
        metavar="KIND",
        help=f"boot even if this cannot be delivered: {', '.join(BEST_EFFORT)} (repeat for more)",
    )


def check(args: argparse.Namespace) -> None:
    """Raises UsageError when several of the sources are standard input."""
    sources = [file.source for file in args.files]
    sources += [args.user_data] if args.user_data else []
    sources += [_STDIN] if args.admin_pass == _STDIN.text else []
    only_one_reads_stdin(sources)


def password(args: argparse.Namespace) -> str | None:
    """The one that was given; raises Failure when standard input is no line of text."""
    given: str | None = args.admin_pass
    if given != _STDIN.text:
        return given
    lines = _STDIN.read().decode(errors="replace").splitlines()
    if len(lines) != 1 or not lines[0] or "\N{REPLACEMENT CHARACTER}" in lines[0]:
        raise Failure("--admin-pass -: want one line of text on standard input")
    return lines[0]


def personality(given: list[FileArgument]) -> list[dict[str, Any]]:
    """The files as a request has them; raises Failure when one cannot be read."""
    return [{"path": file.path, "contents": file.source.base64(), **dict(file.extras)} for file in given]
