"""A back end as a program of its own: ``python -m injector.inject.partition.worker guestfs|mounted``.

The order comes as JSON on the standard input, secrets inside; the answer goes to the standard output, and nothing else
does. Whoever it reads for may be hostile: nothing is kept from one guest to the next, for this process ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, assert_never

from injector import wire
from injector.errors import ChannelBroken, InjectorError
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.errand import Answer, Failure, Inject, Injected, Looked, Survey, Surveyed
from injector.inject.partition.order import Order
from injector.inject.partition.survey import survey

Result = Injected | Looked | Surveyed
BackEnd = Callable[[Order, Callable[[], None]], Result]


def main() -> NoReturn:
    """Exit status 0 whenever there is an answer, also when the answer is a failure."""
    stdout = _Stdout()
    order = wire.from_clear(sys.stdin.buffer.read(), Order)
    _end_with(order.daemon)
    alarm = threading.Timer(order.patience, stdout.say, [_TOO_SLOW])
    alarm.daemon = True
    alarm.start()
    stdout.say(_answer(order, BACK_ENDS[sys.argv[1]], alarm.cancel))


def _answer(order: Order, back_end: BackEnd, ready: Callable[[], None]) -> Answer:
    try:
        result = back_end(order, ready)
    except InjectorError as error:
        return _failure(error)
    match result:
        case Injected():
            return Answer(injected=result)
        case Looked():
            return Answer(looked=result)
        case Surveyed():
            return Answer(surveyed=result)
        case _:
            assert_never(result)


def _failure(error: InjectorError) -> Answer:
    return Answer(failure=Failure(type(error).__name__, error.message, error.detail))


_TOO_SLOW = _failure(ChannelBroken("the back end was not ready in time on this host"))


def by_guestfs(order: Order, ready: Callable[[], None]) -> Result:
    """In an appliance of its own: no guest is in one machine with another's."""
    from injector.inject.partition.guestfs import appliance, inspection
    from injector.inject.partition.guestfs.opener import GuestfsOpener

    errand = order.errand
    drive = appliance.Drive(
        Path(order.overlay or order.base),
        "qcow2" if order.overlay else order.base_format,
        writable=isinstance(errand, Inject),
    )
    machine = appliance.Machine(order.emulated, Path(order.cache) if order.cache else None, Path(order.directory))
    with appliance.appliance((drive,), machine) as handle:
        ready()
        if isinstance(errand, Survey):
            return Surveyed(inspection.survey(handle))
        return carry_out(errand, GuestfsOpener(handle))


def by_mount(order: Order, ready: Callable[[], None]) -> Result:
    """In this host's kernel, in a mount namespace of its own."""
    from injector.inject.partition.mounted.export import exported
    from injector.inject.partition.mounted.opener import MountedOpener

    errand = order.errand
    with exported(order) as export:
        ready()
        if isinstance(errand, Survey):
            with export.bytes() as disk:
                return Surveyed(survey(disk, MountedOpener(export)))
        return carry_out(errand, MountedOpener(export))


BACK_ENDS: dict[str, BackEnd] = {"guestfs": by_guestfs, "mounted": by_mount}


class _Stdout:
    """The real one: whatever a library prints from now on goes to the complaints."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._turn = threading.Lock()

    def say(self, answer: Answer) -> NoReturn:
        """The one answer, and the end; whoever comes second has come too late."""
        self._turn.acquire()
        with os.fdopen(self._descriptor, "wb") as file:
            file.write(wire.to_clear(answer))
        os._exit(0)


def _end_with(daemon: int) -> None:
    """Without the daemon nobody waits for the answer: this program ends, and what it started.

    Not by PR_SET_PDEATHSIG, which would end this process alone: the QEMU of libguestfs is in its group.
    """
    descriptor = os.pidfd_open(daemon)
    if os.getppid() != daemon:
        os._exit(1)

    def watch() -> None:
        select.select([descriptor], [], [])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
