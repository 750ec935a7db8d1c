"""``injector-manage``: what an operator does by hand to the database and to the keys, with no service involved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from injector import __version__, conf, db
from injector.cmd import arguments, keys
from injector.errors import InjectorError
from injector.settings import Settings

_PURGED_AT_ONCE = 500
_DAY = 86400.0


def main(argv: Sequence[str] | None = None) -> int:
    """0 when it is done, 1 when it is not or only in part, 2 when it was not understood."""
    parsed = _parser().parse_args(argv)
    try:
        settings = conf.load(cfg.ConfigOpts(), arguments.configuration(parsed), __version__)
        done: int = parsed.run(settings, parsed)
    except InjectorError as error:
        where = f" [{error.field}]" if error.field else ""
        why = f" ({error.detail})" if error.detail else ""
        print(f"injector-manage: {error.message}{where}{why}", file=sys.stderr)
        return 1
    return done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="injector-manage", description="The database and the keys of injector.")
    parser.add_argument("--version", action="version", version=__version__)
    arguments.add_configuration(parser)
    subjects = parser.add_subparsers(metavar="SUBJECT", required=True)

    database = subjects.add_parser("db", help="the tables, and what is kept in them for nobody")
    actions = database.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser("sync", help="bring the tables to the version of this release")
    action.set_defaults(run=_sync)
    action = actions.add_parser("version", help="print the version of the tables, and this release's")
    action.set_defaults(run=_version)
    action = actions.add_parser("purge", help="remove the records of servers that were deleted long ago")
    action.add_argument("--older-than", type=_days, required=True, metavar="DAYS", help="deleted at least so long ago")
    action.set_defaults(run=_purge)

    secrets = subjects.add_parser("secrets", help="the keys of the installation, and what is sealed under them")
    actions = secrets.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser("new-key", help="make the file of a key that is to follow the present ones")
    action.add_argument("path", type=Path, metavar="PATH")
    action.set_defaults(run=_new_key)
    action = actions.add_parser("rotate", help="seal everything anew under the first key; may be interrupted")
    action.set_defaults(run=_rotate)
    action = actions.add_parser("status", help="print which keys are in use, and for how many records")
    action.set_defaults(run=_status)
    return parser


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError("a number of days is wanted, 0 or more")
    return days


def _sync(settings: Settings, _parsed: argparse.Namespace) -> int:
    db.sync(settings.database_connection)
    return _version(settings, _parsed)


def _version(settings: Settings, _parsed: argparse.Namespace) -> int:
    found, newest = db.version(settings.database_connection)
    print(f"tables: {found or 'none'}\nthis release: {newest}")
    return 0


def _purge(settings: Settings, parsed: argparse.Namespace) -> int:
    purged = 0
    with keys.opened(settings) as store:
        while at_once := store.purge(parsed.older_than * _DAY, _PURGED_AT_ONCE):
            purged += at_once
    print(f"removed: {purged}")
    return 0


def _new_key(settings: Settings, parsed: argparse.Namespace) -> int:
    return keys.make(settings, parsed.path)


def _rotate(settings: Settings, _parsed: argparse.Namespace) -> int:
    return keys.rotate(settings)


def _status(settings: Settings, _parsed: argparse.Namespace) -> int:
    return keys.status(settings)
