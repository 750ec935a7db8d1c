"""`injector console-log`: what a guest wrote on its serial console, and with --follow what it goes on to write."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

from injector.client.arguments import positive
from injector.client.command import ApiCommand
from injector.client.exits import Refused, Unreachable
from injector.client.find import SERVER, find_id
from injector.client.watch import Patience
from injector.model.hostile import harmless

INTERVAL = 1.0
"""Seconds between two looks at a console that is followed."""


class ConsoleLog(ApiCommand):
    """Print the console of a server's guest."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="name or id")
        parser.add_argument("--length", type=positive, metavar="N", help="only the last N lines")
        parser.add_argument("--follow", action="store_true", help="go on printing what is new, until Ctrl-C")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        identity = find_id(self.session, SERVER, parsed_args.server)
        if parsed_args.follow:
            self._follow(identity, parsed_args.length)  # until Ctrl-C, or the server is gone
            return 0
        text = self._output(identity, parsed_args.length)
        _write(self.app.stdout, text if text.endswith("\n") or not text else f"{text}\n")
        return 0

    def _follow(self, identity: str, length: int | None) -> None:
        tail, windows = Tail(), self._windows(identity)
        so_far = tail.add(next(windows)).text.splitlines(keepends=True)
        _write(self.app.stdout, "".join(so_far if length is None else so_far[-length:]))
        for window in windows:
            news = tail.add(window)
            if news.gap:
                self.say("\n-- the log was cut or begun anew: something may be missing here --")
            _write(self.app.stdout, news.text)

    def _windows(self, identity: str) -> Iterator[str]:
        """The whole log, again and again; nothing while the server is built or the daemon is away for a moment."""
        patience = Patience()
        while True:
            try:
                yield self._output(identity, None)
                patience.answered()
            except Unreachable as error:
                patience.unanswered(error)
            except Refused as refused:
                if refused.status != 409:
                    raise
            time.sleep(INTERVAL)

    def _output(self, identity: str, length: int | None) -> str:
        answer = self.session.post(f"{SERVER.path}/{identity}/action", {"os-getConsoleOutput": {"length": length}})
        output = str(answer.get("output") or "")
        return harmless(output, max(1, len(output)))


def _write(stream: TextIO, text: str) -> None:
    if text:
        stream.write(text)
        stream.flush()


@dataclass(frozen=True, slots=True)
class News:
    """``text`` was not seen before; ``gap``: nothing of what was seen stands before it."""

    text: str
    gap: bool = False


@dataclass(slots=True)
class Tail:
    """What of a console was printed, to tell what is new in the next look at it.

    Each look is a window on the end of a log that grows, slides once it is full (100 KiB), and starts again when the
    guest does. Whole lines are compared: the end of a window can fall into an escape sequence or a character, which
    the stripping then renders otherwise than the next time. An unfinished line (a prompt) is shown when it stands
    for two looks.
    """

    lines: list[str] = field(default_factory=list)
    unfinished: str = ""
    shown: str = ""

    def add(self, window: str) -> News:
        """What ``window`` holds beyond all that was added before."""
        *lines, rest = window.split("\n")
        fresh, gap = _beyond(self.lines, lines)
        text = self._close(fresh) + self._open(rest, moved=bool(fresh))
        self.lines = lines or self.lines
        return News(text, gap)

    def _close(self, fresh: list[str]) -> str:
        """The lines that are whole by now; the first of them was perhaps shown in part."""
        if not fresh:
            return ""
        text = "".join(f"{line}\n" for line in fresh)
        text = text.removeprefix(self.shown) if text.startswith(self.shown) else f"\n{text}"
        self.shown = self.unfinished = ""
        return text

    def _open(self, rest: str, *, moved: bool) -> str:
        """The unfinished line, once it has stood still."""
        stands = rest == self.unfinished and not moved and rest.startswith(self.shown)
        self.unfinished = rest
        if not stands:
            return ""
        text, self.shown = rest.removeprefix(self.shown), rest
        return text


def _beyond(seen: list[str], window: list[str]) -> tuple[list[str], bool]:
    """The lines of ``window`` after those that end ``seen``; and whether none of them were found there.

    The first line of a window that slid may be a part of one, so the overlap may also begin at the second.
    """
    if window[: len(seen)] == seen:
        return window[len(seen) :], False
    for start in (0, 1):
        for length in range(min(len(seen), len(window) - start), 0, -1):
            same = window[start] == seen[-length] and window[start : start + length] == seen[-length:]
            if same and (start == 0 or _cut(seen[:-length][-1:], window[0], length)):
                return window[start + length :], False
    return window, bool(window)


def _cut(before: list[str], first: str, length: int) -> bool:
    """Whether ``first`` is the rest of the line ``before`` an overlap so long; a long overlap is proof by itself."""
    return length >= 5 or any(line.endswith(first) for line in before)
