"""A failure is judged once, by who can act on it."""

from __future__ import annotations

import errno

import pytest

from injector import errors
from injector.compute.verdict import Action, judge
from tests.builders import NOON


@pytest.mark.parametrize("kind", [kind for kind in errors.BY_NAME.values() if kind is not errors.InjectorError])
def test_every_class_has_its_action(kind: type[errors.InjectorError]) -> None:
    action = judge(kind("why", detail="/secret/path"), NOON).action
    if issubclass(kind, errors.StaleError):
        assert action is Action.LET_GO
    elif issubclass(kind, errors.Unanswered):
        assert action is Action.LATER
    elif issubclass(kind, errors.HostError):
        assert action is Action.ELSEWHERE
    else:
        assert action is Action.GIVE_UP


def test_the_fault_is_for_the_owner() -> None:
    judged = judge(errors.ImageRejected("it has a backing file", field="image", detail="/secret/path"), NOON)
    assert judged.fault.message == "it has a backing file [image]"
    assert (judged.fault.code, judged.ours) == (409, False)


def test_our_bugs_say_nothing_of_the_host() -> None:
    judged = judge(ValueError("/var/lib/secret"), NOON)
    assert judged.ours
    assert "/var" not in judged.fault.message


def test_a_full_disk_is_the_hosts() -> None:
    assert judge(OSError(errno.ENOSPC, "full"), NOON).action is Action.ELSEWHERE


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_the_faults_of_host_and_of_ours_are_told_apart_by_their_codes(number: int) -> None:
    full = judge(OSError(number, "full"), NOON)
    assert (full.action, full.fault.code, full.ours) == (Action.ELSEWHERE, 503, False)
    bug = judge(OSError(errno.EIO, "broken"), NOON)
    assert (bug.action, bug.fault.code, bug.ours) == (Action.GIVE_UP, 500, True)


def test_a_fault_without_a_field_is_its_message() -> None:
    assert judge(errors.ImageRejected("no image"), NOON).fault.message == "no image"
