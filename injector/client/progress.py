"""How a wait looks: a live line that is replaced on a terminal, plain lines anywhere else, nothing under --quiet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from injector.client.cells import human_size
from injector.model.hostile import harmless, one_line


class Progress(Protocol):
    """What whoever waits tells the one who looks on."""

    def line(self, text: str) -> None:
        """Something is over: stays to be read."""
        ...

    def now(self, subject: str, text: str) -> None:
        """What ``subject`` is at now: replaces what was said of it before."""
        ...

    def sent(self, count: int, total: int) -> None:
        """So many bytes of so many have left."""
        ...


class Silent:
    """Nobody looks on."""

    def line(self, text: str) -> None: ...

    def now(self, subject: str, text: str) -> None: ...

    def sent(self, count: int, total: int) -> None: ...


class Remarks(Silent):
    """What must be said, and nothing of how it goes on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def line(self, text: str) -> None:
        self._say(_kept(text))


class Plain(Silent):
    """Lines only: for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def line(self, text: str) -> None:
        print(_kept(text), file=self._stream, flush=True)

    def sent(self, count: int, total: int) -> None:
        if count == total:
            self.line(f"sent {human_size(total)} in {time.monotonic() - self._started:.1f} s")


def _kept(text: str) -> str:
    """Harmless and on one line, its columns as they are."""
    return harmless(text, 1000).replace("\n", " ")


class Live(Silent):
    """A terminal: rich draws a spinner and a clock for each subject, or a bar for bytes, below the lines."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(file=stream)
        text = TextColumn("{task.description}", markup=False)
        self.bars = Bars(SpinnerColumn(), text, TimeElapsedColumn(), console=self._console, transient=True)
        self._tasks: dict[str, Any] = {}

    def line(self, text: str) -> None:
        self._console.print(_kept(text), markup=False, highlight=False)

    def now(self, subject: str, text: str) -> None:
        words = one_line(f"{subject}: {text}", 200)
        if subject in self._tasks:
            self.bars.update(self._tasks[subject], description=words)
        else:
            self._tasks[subject] = self.bars.add_task(words, total=None)


class LiveUpload(Silent):
    """A terminal, while a file is sent: a bar with size, speed and the time that is left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bars

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self.bars = Bars(*columns, console=Console(file=stream), transient=True)
        self._task = self.bars.add_task("")

    def sent(self, count: int, total: int) -> None:
        self.bars.update(self._task, completed=count, total=total)


@contextmanager
def shown(stream: TextIO, *, quiet: bool, upload: bool = False) -> Iterator[Progress]:
    """The progress that suits ``stream``; the terminal is as it was when this ends, however it ends."""
    if quiet:
        yield Silent()
    elif not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield Plain(stream)
    else:
        live = LiveUpload(stream) if upload else Live(stream)
        with live.bars:
            yield live
