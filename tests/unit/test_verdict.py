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
