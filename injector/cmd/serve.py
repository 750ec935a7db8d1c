"""``injector serve``: api, dispatcher and compute in one process, until SIGTERM."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command

from injector.cmd.arguments import add_configuration, configuration


class Serve(Command):
    """Run the daemon: api, dispatcher and compute in one process."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_configuration(parser)
        return parser

    def take_action(self, parsed: Any) -> int:
        # Loaded here, not above: the client's other commands must not pay for the daemon's libraries.
        from injector.cmd.running import run
        from injector.cmd.wiring import ALL

        return run("injector", ALL, configuration(parsed))
