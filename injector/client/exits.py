"""How the command ends: its exit codes, and the failures that lead to them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The codes of ``doc/user/exit-codes.rst``; scripts depend on them, so none ever changes its meaning."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    BOOT_FAILED = 4
    TIMED_OUT = 5
    GUEST_ERROR = 6
    GUEST_DEGRADED = 7
    NOT_INTACT = 8
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Failure(Exception):
    """Ends the command with one line on stderr; ``request_id`` leads the operator to the log lines of the daemon."""

    def __init__(self, message: str, code: Exit = Exit.REFUSED, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id

    def line(self) -> str:
        suffix = f" (request {self.request_id})" if self.request_id else ""
        return f"error: {self.message}{suffix}"


class UsageError(Failure):
    """The command line makes no sense; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


class Refused(Failure):
    """The server said no: ``status`` is its 4xx."""

    def __init__(self, message: str, status: int, request_id: str | None = None) -> None:
        super().__init__(message, Exit.REFUSED, request_id)
        self.status = status


class Unreachable(Failure):
    """No answer, an answer that is none, or a 5xx: the request may be right and the server is not."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__(message, Exit.UNREACHABLE, request_id)


def worst(failures: list[Failure]) -> Exit:
    """The code of a command that did several things: that of the first failure, so that the order of names decides."""
    return failures[0].code if failures else Exit.OK
