"""What a failed boot means: judged once, by who can act on the error."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from injector.errors import GuestError, HostError, InjectorError, RequestError, StaleError, Unanswered
from injector.model.instance import Fault


class Action(Enum):
    """What follows from a failure."""

    ELSEWHERE = "the next untried host"
    GIVE_UP = "ERROR with the reason"
    LET_GO = "undone quietly"
    LATER = "the same again, when it is rung for"


@dataclass(frozen=True, slots=True)
class Judgement:
    """``ours``: a bug, whose traceback belongs in the log and whose words do not belong in the fault."""

    action: Action
    fault: Fault
    ours: bool = False


def judge(error: BaseException, at: datetime) -> Judgement:
    """StaleError: let go; HostError: elsewhere; the caller's and the image's: give up; anything else is our bug.

    Unanswered is nobody's failure, whatever else it is.
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
        case _:
            return Judgement(Action.GIVE_UP, Fault(500, "an internal error; the host's log has it", at), ours=True)


def _fault(error: InjectorError, at: datetime) -> Fault:
    field = f" [{error.field}]" if error.field else ""
    return Fault(error.status, error.message + field, at)
