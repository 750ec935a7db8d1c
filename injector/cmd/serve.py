"""``injector serve``: api, dispatcher and compute in one process, until SIGTERM."""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import signal
import sys
import threading
from types import FrameType
from typing import Any

from cliff.command import Command

from injector import __version__
from injector.errors import InjectorError

LOG = logging.getLogger(__name__)

_M_ARENA_MAX = -8
_M_MMAP_THRESHOLD = -3


class Serve(Command):
    """Run the daemon: api, dispatcher and compute in one process."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--config-file", action="append", default=[], metavar="FILE", help="default: /etc/injector/injector.conf"
        )
        parser.add_argument(
            "--config-dir", action="append", default=[], metavar="DIR", help="default: /etc/injector/injector.conf.d/"
        )
        return parser

    def take_action(self, parsed: Any) -> int:
        arguments = [f"--config-file={path}" for path in parsed.config_file]
        arguments += [f"--config-dir={path}" for path in parsed.config_dir]
        return run(arguments)


def run(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean end, 1 when the daemon cannot start."""
    # Loaded here, not above: the client's other commands must not pay for the daemon's libraries.
    from oslo_config import cfg
    from oslo_service import systemd

    from injector.cmd import logs
    from injector.cmd.wiring import House, configure

    _thrifty_heap()
    ending = threading.Event()
    _end_on_signals(ending)
    conf = cfg.ConfigOpts()
    try:
        settings = configure(conf, arguments, __version__)
        logs.setup(conf)
        house = House(settings, conf)
    except InjectorError as error:
        return _refuse(error)
    try:
        house.start()
        LOG.info("injector %s serves on %s", __version__, ", ".join(house.addresses))
        # What start-up made stays: the collector need not look at it again, nor keep what start-up threw away.
        gc.collect()
        gc.freeze()
        systemd.notify_once()
        ending.wait()
        LOG.info("ending: builds in flight get %.0f s", settings.shutdown_timeout)
    except InjectorError as error:
        return _refuse(error)
    finally:
        house.stop()
    LOG.info("ended")
    return 0


def _thrifty_heap() -> None:
    """Two heaps for all threads, and large buffers beside them.

    glibc would give each thread a heap of its own, which keeps what was freed; and it would move buffers of a drive's
    size into them after it has seen a few.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def _refuse(error: InjectorError) -> int:
    where = f" [{error.field}]" if error.field else ""
    why = f" ({error.detail})" if error.detail else ""
    print(f"injector cannot start: {error.message}{where}{why}", file=sys.stderr)
    return 1


def _end_on_signals(ending: threading.Event) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
