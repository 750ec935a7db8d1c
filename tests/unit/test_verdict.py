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
    assert (judged.fault.code, judged.unforeseen) == (409, False)


def test_our_bugs_say_nothing_of_the_host() -> None:
    judged = judge(ValueError("/var/lib/secret"), NOON)
    assert judged.unforeseen
    assert "/var" not in judged.fault.message


def test_a_full_disk_is_the_hosts() -> None:
    assert judge(OSError(errno.ENOSPC, "full"), NOON).action is Action.ELSEWHERE


DISK, SYSTEM = "the host's disk cannot be used", "the host has no memory or files left"


@pytest.mark.parametrize(
    ("number", "words", "traced"),
    [
        (errno.ENOSPC, "the host's disk is full", False),
        (errno.EDQUOT, "the host's disk is full", False),
        (errno.EROFS, DISK, True),
        (errno.EIO, DISK, True),
        (errno.ESTALE, DISK, True),
        (errno.ENODEV, DISK, True),
        (errno.ENXIO, DISK, True),
        (errno.EACCES, DISK, True),
        (errno.EPERM, DISK, True),
        (errno.EMFILE, SYSTEM, True),
        (errno.ENFILE, SYSTEM, True),
        (errno.ENOMEM, SYSTEM, True),
    ],
)
def test_what_a_host_cannot_do_is_the_hosts(number: int, words: str, traced: bool) -> None:
    judged = judge(OSError(number, "/var/lib/secret"), NOON)
    assert (judged.action, judged.fault.code, judged.fault.message) == (Action.ELSEWHERE, 503, words)
    assert judged.unforeseen is traced


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EEXIST, errno.EINVAL, None])
def test_the_faults_of_host_and_of_ours_are_told_apart_by_their_codes(number: int | None) -> None:
    bug = judge(OSError("broken") if number is None else OSError(number, "broken"), NOON)
    assert (bug.action, bug.fault.code, bug.unforeseen) == (Action.GIVE_UP, 500, True)


def test_a_fault_without_a_field_is_its_message() -> None:
    assert judge(errors.ImageRejected("no image"), NOON).fault.message == "no image"
