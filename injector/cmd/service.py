"""``injector-api``, ``injector-dispatcher`` and ``injector-compute``: one station in a process of its own."""

from __future__ import annotations

import argparse

from injector import __version__
from injector.cmd.arguments import add_configuration, configuration
from injector.cmd.running import run
from injector.cmd.wiring import Kind


def api() -> int:
    return _main(Kind.API, "Take requests over REST and RPC, and keep images.")


def dispatcher() -> int:
    return _main(Kind.DISPATCHER, "Keep the record of instances, and choose their hosts.")


def compute() -> int:
    return _main(Kind.COMPUTE, "Build guests on this host.")


def _main(kind: Kind, does: str) -> int:
    program = f"injector-{kind.value}"
    parser = argparse.ArgumentParser(prog=program, description=does)
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    add_configuration(parser)
    return run(program, frozenset({kind}), configuration(parser.parse_args()))
