"""One process of the house from its arguments to its end: started, told to the service manager, ended by SIGTERM."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Set
from functools import partial
from types import FrameType

from oslo_config import cfg
from oslo_service import systemd

from injector import __version__
from injector.cmd import logs
from injector.cmd.patience import Ended, Patience
from injector.cmd.wiring import House, Kind, configure
from injector.errors import InjectorError
from injector.rpc.bus import stays_inside
from injector.settings import Settings

LOG = logging.getLogger(__name__)

_M_ARENA_MAX = -8
_M_MMAP_THRESHOLD = -3
_RISEN = 0
_GRACE = 2.0
"""Seconds that a start has to notice that it is to end: it may be in a call that nothing interrupts."""


def run(program: str, kinds: Set[Kind], arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean end, 1 when it cannot start. A second signal ends it hard.

    Call it from the main thread. Everything is started in another one, so that a start that waits for a broker or a
    database is ended as well.
    """
    _thrifty_heap()
    bell = _Bell()
    conf = cfg.ConfigOpts()
    try:
        settings = configure(conf, arguments, __version__, kinds)
        logs.setup(conf)
    except InjectorError as error:
        return _refuse(program, error)
    start = _Start(settings, conf, kinds, bell)
    start.begin()
    if bell.heard() != _RISEN:
        LOG.info("%s ends before it has started", program)
        return start.give_up()
    try:
        start.check()
    except InjectorError as error:
        return _refuse(program, error)
    LOG.info("%s %s serves%s", program, __version__, start.where)
    # What start-up made stays: the collector need not look at it again, nor keep what start-up threw away.
    gc.collect()
    gc.freeze()
    systemd.notify_once()
    bell.heard()
    LOG.info("ending: what is in flight gets %.0f s", settings.shutdown_timeout)
    start.undo()
    LOG.info("ended")
    return 0


class _Bell:
    """Rung by SIGTERM, SIGINT and the start, heard by the main thread.

    Python runs a handler in the main thread only, while the kernel gives a signal to any: a main thread that waits on
    a lock would sleep on. The pipe is written where the signal arrives.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _nothing)

    def ring(self) -> None:
        os.write(self._writing, bytes([_RISEN]))

    def heard(self) -> int:
        """Wait for the next; after a signal, the kernel's own handling is back, so that another one ends at once."""
        word = os.read(self._reading, 1)[0]
        if word != _RISEN:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
        return word


def _nothing(_signal: int, _frame: FrameType | None) -> None:
    """What is done is done by the pipe."""


class _Start:
    """The house being opened and started, in a thread of its own."""

    def __init__(self, settings: Settings, conf: cfg.ConfigOpts, kinds: Set[Kind], bell: _Bell) -> None:
        self._failure: BaseException | None = None
        self._house: House | None = None
        self._ending = threading.Event()
        patience = Patience(None if stays_inside(conf) else self._ending)
        self._make = partial(House, settings, conf, kinds, patience)
        self._bell = bell
        self._thread = threading.Thread(target=self._run, name="start", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises what the start ended with."""
        if self._failure is not None:
            raise self._failure

    @property
    def where(self) -> str:
        """For people, to follow "serves"."""
        addresses = () if self._house is None else self._house.addresses
        return f" on {', '.join(addresses)}" if addresses else ""

    def undo(self) -> None:
        if self._house is not None:
            self._house.stop()

    def give_up(self) -> int:
        """Undo what has been started; within moments, whatever the start is waiting for."""
        self._ending.set()
        self._thread.join(_GRACE)
        if self._thread.is_alive():
            # As after a kill: what was taken up is finished or undone by the next start.
            logging.shutdown()
            os._exit(0)
        self.undo()
        return 0

    def _run(self) -> None:
        try:
            self._house = self._make()
            self._house.start()
        except Ended:
            pass
        except BaseException as error:
            self._failure = error
            self.undo()
        finally:
            self._bell.ring()


def _thrifty_heap() -> None:
    """Two heaps for all threads, and large buffers beside them.

    glibc would give each thread a heap of its own, which keeps what was freed; and it would move buffers of a drive's
    size into them after it has seen a few.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def _refuse(program: str, error: InjectorError) -> int:
    where = f" [{error.field}]" if error.field else ""
    why = f" ({error.detail})" if error.detail else ""
    print(f"{program} cannot start: {error.message}{where}{why}", file=sys.stderr)
    return 1
