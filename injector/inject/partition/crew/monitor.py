"""A block layer as the daemon steers it: qemu-storage-daemon's monitor, and the graph of one guest's disk."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from injector.errors import ChannelBroken
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.charter import EXPORT
from injector.inject.partition.crew.frames import Deadline
from injector.model.hostile import harmless

_LONGEST = 1 << 20

Command = tuple[str, Mapping[str, Any]]


def graph(disk: GuestDisk, *, writable: bool) -> list[Command]:
    """The commands that export a guest's disk.

    Formats are those declared, and the overlay's base is the one named here: neither content nor header of a file
    that a guest or a stranger wrote decides what else is opened.
    """
    base: dict[str, Any] = {"node-name": "base", "driver": disk.base_format, **_closed_to_writing()}
    base["file"] = {"driver": "file", "filename": str(disk.base), **_closed_to_writing()}
    if disk.base_format != "raw":
        base["backing"] = None
    commands: list[Command] = [("blockdev-add", base)]
    if disk.overlay is not None:
        access = {"read-only": False} if writable else _closed_to_writing()
        file = {"driver": "file", "filename": str(disk.overlay), **access}
        commands.append(
            ("blockdev-add", {"node-name": EXPORT, "driver": "qcow2", "backing": "base", "file": file, **access})
        )
    node = "base" if disk.overlay is None else EXPORT
    export = {"id": "export", "type": "nbd", "node-name": node, "name": EXPORT, "writable": writable}
    return [*commands, ("block-export-add", export)]


def _closed_to_writing() -> dict[str, Any]:
    return {"read-only": True, "auto-read-only": False}


class Monitor:
    """One connection; what goes wrong is ChannelBroken with the block layer's own words as detail."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = bytearray()
        self._greeted = False

    def run(self, commands: Iterable[Command]) -> list[Any]:
        """All commands at once, one answer each, in order; the first failure is raised."""
        batch = list(commands)
        if not self._greeted:
            batch.insert(0, ("qmp_capabilities", {}))
        text = "".join(json.dumps({"execute": name, "arguments": dict(words)}) + "\n" for name, words in batch)
        try:
            self._connection.settimeout(self._deadline.left())
            self._connection.sendall(text.encode())
            return [self._answer() for _ in batch][0 if self._greeted else 1 :]
        except TimeoutError as error:
            raise ChannelBroken("this host did not open the guest's disk in time") from error
        except (OSError, ValueError, RecursionError) as error:
            raise ChannelBroken("this host cannot open the guest's disk", detail=harmless(str(error))) from error
        finally:
            self._greeted = True

    def quit(self) -> None:
        """Have it write and release everything and end; whether it did is seen by its end."""
        self.run([("quit", {})])

    def _answer(self) -> Any:
        """It reads tables that strangers wrote, so it is not believed to keep to its protocol."""
        while True:
            message = json.loads(self._line())
            if not isinstance(message, dict):
                raise ValueError("an answer that is none")
            if "error" in message:
                raise ValueError(str(message["error"]))
            if "return" in message:
                return message["return"]

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._connection.settimeout(self._deadline.left())
            chunk = self._connection.recv(64 * 1024)
            if not chunk or len(self._buffer) > _LONGEST:
                raise ConnectionError("the block layer ended")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line
