"""A worker that was taken over: what it does and says has a reason, comes to an end, and is not believed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from injector.errors import (
    CannotServe,
    ChannelBroken,
    GuestUnreadable,
    InjectorError,
    InternalError,
    ItemRefused,
    NoSpace,
)
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.errand import Survey
from tests import crews
from tests.crews import Place, can_be_locked, look, said

BROKE = "reading its file system broke the process that did it"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Crew, GuestDisk]]:
    """One crew for all that leaves it whole."""
    place = Place.below(tmp_path_factory.mktemp("street"))
    with place.crew(memory_limit=64 * crews.MIB, deadline=3.0) as crew:
        yield crew, place.disk()


MISDEEDS: list[tuple[str, type[InjectorError], str]] = [
    ("end:0", GuestUnreadable, rf"{BROKE} \(exit status 0\)"),
    ("end:7", GuestUnreadable, rf"{BROKE} \(exit status 7\)"),
    ("crash:", GuestUnreadable, rf"{BROKE} \(signal 11\)"),
    ("recurse:", InternalError, "a worker of partition injection failed"),
    ("take-memory:200000000", GuestUnreadable, "more memory than is allowed"),
    ("sleep:60", GuestUnreadable, "longer than is allowed"),
    ("drip:0.05", GuestUnreadable, "longer than is allowed"),
    ("say:rubbish", GuestUnreadable, BROKE),
    ("say:", GuestUnreadable, BROKE),
    ("say:\xff\xfe", GuestUnreadable, BROKE),
    ('say:{"injected": 1}', GuestUnreadable, BROKE),
    ("say-deep:1000000", GuestUnreadable, BROKE),
    ("say-much:4294967295", GuestUnreadable, BROKE),
    ("say-much:90000000", GuestUnreadable, BROKE),
    ("hang-up:", GuestUnreadable, BROKE),
    ("raise:CannotServe:why", CannotServe, "^why$"),
    ("raise:ItemRefused:why", ItemRefused, "^why$"),
    ("raise:NoSpace:why", NoSpace, "^why$"),
    ("raise:ChannelBroken:why", ChannelBroken, "^why$"),
    ("raise:GuestUnreadable:a\n\x1b[31mb", GuestUnreadable, "^[^\n\x1b]+$"),
    # A worker does not decide what becomes of a request.
    ("raise:OverQuota:why", InternalError, "a worker of partition injection failed"),
    ("raise:KeyError:why", InternalError, "a worker of partition injection failed"),
]


@pytest.mark.parametrize(("misdeed", "kind", "reason"), MISDEEDS, ids=[one[0][:20] for one in MISDEEDS])
def test_a_misdeed_has_its_reason_and_leaves_nothing(
    street: tuple[Crew, GuestDisk], misdeed: str, kind: type[InjectorError], reason: str
) -> None:
    crew, disk = street
    crew.send(look("read:1"), disk)
    descriptors, started = crews.open_descriptors(), time.monotonic()
    with pytest.raises(kind, match=re.compile(reason, re.DOTALL)) as caught:
        crew.send(look(misdeed), disk)
    assert type(caught.value) is kind
    assert "\x1b" not in (caught.value.detail or "")
    assert time.monotonic() - started < 6
    assert can_be_locked(disk)
    assert crews.open_descriptors() == descriptors
    assert len(crews.nurseries()) == 1, "the nursery has no part in it"
    assert said(crew, disk, "read:4") == [b"base"]


def test_the_first_answer_counts(street: tuple[Crew, GuestDisk]) -> None:
    crew, disk = street
    assert [file.path for file in crew.send(look("say-twice:"), disk).files] == ["first"]
    assert crew.send(look("say-and-write:"), disk).files == ()


def test_an_answer_to_another_question_is_none(street: tuple[Crew, GuestDisk]) -> None:
    crew, disk = street
    with pytest.raises(GuestUnreadable, match=BROKE):
        crew.send(Survey(), disk)
