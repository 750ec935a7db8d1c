"""The arguments that say where the configuration is; loaded by the client's command too, so no more than that."""

from __future__ import annotations

import argparse


def add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-file", action="append", default=[], metavar="FILE", help="default: /etc/injector/injector.conf"
    )
    parser.add_argument(
        "--config-dir", action="append", default=[], metavar="DIR", help="default: /etc/injector/injector.conf.d/"
    )


def configuration(parsed: argparse.Namespace) -> list[str]:
    """As oslo.config takes them."""
    arguments = [f"--config-file={path}" for path in parsed.config_file]
    return arguments + [f"--config-dir={path}" for path in parsed.config_dir]
