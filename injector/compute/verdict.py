"""What a failed boot means: judged once, by who can act on the error."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from injector.errors import GuestError, HostError, InjectorError, RequestError, StaleError, Unanswered
from injector.model.instance import Fault

# A dying or lost disk, one mounted read-only, a state directory that is somebody else's: no guest can be made there.
_OF_THE_DISK = frozenset({errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EACCES, errno.EPERM})
_OF_THE_SYSTEM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Action(Enum):
    """What follows from a failure."""

    ELSEWHERE = "the next untried host"
    GIVE_UP = "ERROR with the reason"
    LET_GO = "undone quietly"
    LATER = "the same again, when it is rung for"


@dataclass(frozen=True, slots=True)
class Judgement:
    """``unforeseen``: no error of the house, so its traceback belongs in the log, and its words not in the fault."""

    action: Action
    fault: Fault
    unforeseen: bool = False


def judge(error: BaseException, at: datetime) -> Judgement:
    """StaleError: let go; HostError: elsewhere; the caller's and the image's: give up; anything else is our bug.

    Unanswered is nobody's failure, whatever else it is; and what the system says of a disk that fails is a HostError.
    """
    match error:
        case Unanswered():
            return Judgement(Action.LATER, _fault(error, at))
        case StaleError():
            return Judgement(Action.LET_GO, _fault(error, at))
        case HostError():
            return Judgement(Action.ELSEWHERE, _fault(error, at))
        case RequestError() | GuestError():
            return Judgement(Action.GIVE_UP, _fault(error, at))
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Judgement(Action.ELSEWHERE, Fault(503, "the host's disk is full", at))
        case OSError() if error.errno in _OF_THE_DISK:
            return Judgement(Action.ELSEWHERE, Fault(503, "the host's disk cannot be used", at), unforeseen=True)
        case OSError() if error.errno in _OF_THE_SYSTEM:
            return Judgement(Action.ELSEWHERE, Fault(503, "the host has no memory or files left", at), unforeseen=True)
        case _:
            return Judgement(
                Action.GIVE_UP, Fault(500, "an internal error; the host's log has it", at), unforeseen=True
            )


def _fault(error: InjectorError, at: datetime) -> Fault:
    field = f" [{error.field}]" if error.field else ""
    return Fault(error.status, error.message + field, at)
