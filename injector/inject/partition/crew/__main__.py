"""The program that the daemon starts as its nursery: with nothing imported yet that may be missing on a host."""

from __future__ import annotations

import socket
import sys

from injector import wire
from injector.errors import InjectorError
from injector.inject.partition.crew.charter import READY, Charter, broken
from injector.inject.partition.crew.frames import send_note


def main(descriptor: str, charter: str) -> None:
    """A library that is missing is told to the daemon, which tells the operator."""
    daemon = socket.socket(fileno=int(descriptor))
    daemon.set_inheritable(False)
    try:
        from injector.inject.partition.crew.nursery import prepare

        nursery = prepare(wire.from_clear(charter.encode(), Charter), daemon)
    except (InjectorError, ImportError, OSError, AttributeError) as error:
        send_note(daemon, broken(error))
        return
    send_note(daemon, READY)
    nursery.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
