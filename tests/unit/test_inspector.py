"""Looking into images: once a digest, quickly for a drive, by all means for a partition, and never at a boot's cost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from injector.errors import BusUnavailable, CannotServe, ChannelBroken, GuestUnreadable, InternalError
from injector.inject.channel import GuestDisk
from injector.inject.partition.errand import Survey, Surveyed
from injector.model.facts import Agent, ImageFacts, NetworkStack, Partition, Root
from injector.model.host import BackEnd
from injector.virt import inspector
from injector.virt.inspector import Inspector
from tests import builders as a

IMAGE = a.an_image(sha256="a" * 64)
OTHER = a.an_image(sha256="b" * 64)
FOUND = a.some_image_facts()
NOT_FOUND = ImageFacts("gpt", back_end="ext", doubt="the root may be in partition 2 (LVM2_member), which needs guestfs")
BASE = Path("/nowhere/base")

Answer = ImageFacts | Exception | Callable[[], ImageFacts]


class Door:
    """A back end that says what it is told to; remembers what it was sent."""

    def __init__(self, name: str, answer: Answer) -> None:
        self.name = name
        self.answer = answer
        self.sent: list[GuestDisk] = []

    def check(self) -> BackEnd:
        return BackEnd(self.name, True)

    def send(self, errand: Any, disk: GuestDisk) -> Any:
        assert errand == Survey()
        self.sent.append(disk)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Surveyed(self.answer if isinstance(self.answer, ImageFacts) else self.answer())

    def close(self) -> None:
        """Nothing is kept."""


class Listener:
    """The dispatcher's ear."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ImageFacts]] = []
        self.deaf = False

    def __call__(self, sha256: str, facts: ImageFacts) -> None:
        if self.deaf:
            raise BusUnavailable("nobody there")
        self.heard.append((sha256, facts))


@pytest.fixture
def told() -> Listener:
    return Listener()


def quick(who: Inspector) -> ImageFacts:
    return who.facts(IMAGE, BASE, thorough=False)


def thorough(who: Inspector) -> ImageFacts:
    return who.facts(IMAGE, BASE, thorough=True)


def test_an_image_is_looked_into_once_and_told_once(tmp_path: Path, told: Listener) -> None:
    door = Door("ext", FOUND)
    who = Inspector(tmp_path / "facts", [door], told)
    assert quick(who) == thorough(who) == who.known(IMAGE) == FOUND
    assert who.facts(replace(IMAGE, id="another record"), BASE, thorough=True) == FOUND
    assert door.sent == [GuestDisk(None, BASE, "qcow2")]
    assert told.heard == [("a" * 64, FOUND)]
    assert (who.known(OTHER), who.known(a.an_image(sha256=None))) == (None, None)


def test_it_is_remembered_over_a_restart_and_told_again(tmp_path: Path, told: Listener) -> None:
    quick(Inspector(tmp_path / "facts", [Door("ext", FOUND)], told))
    door = Door("ext", AssertionError("it is known"))
    again = Inspector(tmp_path / "facts", [door], told)
    assert again.known(IMAGE) == quick(again) == FOUND
    assert len(told.heard) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b'{"rules": 0}', b"\xff\xfe", "older", "gone"])
def test_what_cannot_be_read_is_looked_for_again(
    tmp_path: Path, told: Listener, damage: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(Inspector(tmp_path / "facts", [Door("ext", FOUND)], told))
    (path,) = (tmp_path / "facts").iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == ("a" * 64 + ".json", 0o600)
    if damage == "older":
        monkeypatch.setattr(inspector, "RULES", inspector.RULES + 1)
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else b"")
    door = Door("ext", FOUND)
    assert quick(Inspector(tmp_path / "facts", [door], told)) == FOUND
    assert len(door.sent) == 1


def test_what_nobody_wanted_for_long_is_forgotten_at_the_start(tmp_path: Path, told: Listener) -> None:
    quick(Inspector(tmp_path / "facts", [Door("ext", FOUND)], told))
    (path,) = (tmp_path / "facts").iterdir()
    old = time.time() - 100 * 86400
    os.utime(path, (old, old))
    assert Inspector(tmp_path / "facts", [], told).known(IMAGE) is None
    assert not path.exists()


def test_a_drive_does_not_wait_for_slow_back_ends_and_a_partition_asks_on(tmp_path: Path, told: Listener) -> None:
    ext, guestfs = Door("ext", NOT_FOUND), Door("guestfs", replace(FOUND, back_end="guestfs"))
    who = Inspector(tmp_path / "facts", [ext, guestfs], told)
    assert quick(who) == quick(who) == NOT_FOUND
    assert (len(ext.sent), len(guestfs.sent)) == (1, 0)
    assert thorough(who) == thorough(who) == quick(who) == replace(FOUND, back_end="guestfs")
    assert (len(ext.sent), len(guestfs.sent)) == (1, 1)
    assert [facts.root is None for _, facts in told.heard] == [True, False]


def test_the_first_that_finds_the_root_ends_the_search(tmp_path: Path, told: Listener) -> None:
    doors = [
        Door("guestfs", CannotServe("no driver")),
        Door("ext", FOUND),
        Door("mounted", AssertionError("not asked")),
    ]
    assert thorough(Inspector(tmp_path / "facts", doors, told)) == FOUND


def test_doubts_add_up_when_nobody_finds_it(tmp_path: Path, told: Listener) -> None:
    mounted = replace(NOT_FOUND, agent=Agent.UNKNOWN, doubt="no system is recognised in partition 1 (xfs)")
    doors = [Door("ext", NOT_FOUND), Door("guestfs", GuestUnreadable("two systems")), Door("mounted", mounted)]
    found = thorough(Inspector(tmp_path / "facts", doors, told))
    assert (found.root, found.doubt) == (None, f"{NOT_FOUND.doubt}; {mounted.doubt}; guestfs: two systems")


@pytest.mark.parametrize(
    "error",
    [ChannelBroken("the worker died"), GuestUnreadable("the table is damaged"), CannotServe("no"), InternalError("?")],
)
def test_a_look_that_fails_costs_a_drive_nothing_but_a_doubt(tmp_path: Path, told: Listener, error: Exception) -> None:
    door = Door("ext", error)
    who = Inspector(tmp_path / "facts", [door], told)
    found = quick(who)
    assert (found.root, found.agent) == (None, Agent.UNKNOWN)
    assert str(error) in (found.doubt or "")


def test_a_damaged_image_is_not_looked_into_again_and_its_damage_is_told(tmp_path: Path, told: Listener) -> None:
    door = Door("ext", GuestUnreadable("the table is damaged"))
    who = Inspector(tmp_path / "facts", [door], told)
    assert quick(who) == quick(who) == thorough(who) == ImageFacts("none", doubt="ext: the table is damaged")
    assert len(door.sent) == 1
    assert [facts.doubt for _, facts in told.heard] == ["ext: the table is damaged"]


def test_a_hosts_trouble_is_no_fact_and_ends_the_boot_that_needs_to_know(
    tmp_path: Path, told: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door("ext", ChannelBroken("the worker died"))
    who = Inspector(tmp_path / "facts", [door], told)
    assert quick(who) == quick(who)
    assert (len(door.sent), told.heard) == (1, [])  # drives do not wait for it again and again
    with pytest.raises(ChannelBroken):
        thorough(who)
    door.answer = FOUND
    monkeypatch.setattr(inspector, "_BREATH", 0.0)
    assert quick(who) == FOUND


def test_a_hosts_trouble_with_one_does_not_matter_when_another_finds_it(tmp_path: Path, told: Listener) -> None:
    doors = [Door("ext", ChannelBroken("the worker died")), Door("guestfs", replace(FOUND, back_end="guestfs"))]
    assert thorough(Inspector(tmp_path / "facts", doors, told)).root == FOUND.root


def test_a_dispatcher_that_does_not_answer_is_told_with_the_next_boot(tmp_path: Path, told: Listener) -> None:
    told.deaf = True
    who = Inspector(tmp_path / "facts", [Door("ext", FOUND)], told)
    assert quick(who) == FOUND
    told.deaf = False
    assert quick(who) == quick(who) == FOUND
    assert len(told.heard) == 1


def test_boots_of_one_image_at_once_wait_for_one_look(tmp_path: Path, told: Listener) -> None:
    started, go = threading.Event(), threading.Event()

    def slowly() -> ImageFacts:
        started.set()
        assert go.wait(10)
        return FOUND

    door = Door("ext", slowly)
    who = Inspector(tmp_path / "facts", [door], told)
    with ThreadPoolExecutor(8) as pool:
        boots = [pool.submit(quick if number % 2 else thorough, who) for number in range(8)]
        assert started.wait(10)
        assert who.known(IMAGE) is None  # a preview does not wait
        go.set()
        assert {boot.result(10) for boot in boots} == {FOUND}
    assert len(door.sent) == 1


def test_a_directory_that_cannot_be_written_costs_no_boot(tmp_path: Path, told: Listener) -> None:
    door = Door("ext", FOUND)
    who = Inspector(tmp_path / "facts", [door], told)
    (tmp_path / "facts").rmdir()
    assert quick(who) == quick(who) == FOUND
    assert len(door.sent) == 1


HUGE = Partition(1, 2**62, 2**62, "83")


@pytest.mark.parametrize(
    "facts",
    [
        replace(FOUND, partitions=(HUGE,) * 129),
        replace(FOUND, partitions=(replace(HUGE, start=2**80),)),
        replace(FOUND, partitions=(replace(HUGE, start=-1),)),
        replace(FOUND, root=Root(1, 0, 0, "ext4", "x")),
        replace(FOUND, root=Root(-1, 0, 1, "ext4", "x")),
        replace(FOUND, root=Root(1, 0, 1, "btrfs", "x", volume="btrfsvol:/dev/sda1/\x1b[2J")),
    ],
)
def test_a_workers_word_is_not_believed_when_it_cannot_be(tmp_path: Path, told: Listener, facts: ImageFacts) -> None:
    found = quick(Inspector(tmp_path / "facts", [Door("ext", facts)], told))
    assert (found.root, found.partitions) == (None, ())
    assert found.doubt


def test_a_workers_word_is_harmless_to_print(tmp_path: Path, told: Listener) -> None:
    evil = "\x1b[31m\n" + "x" * 5000
    partition = replace(FOUND.partitions[0], name=evil, label=evil, uuid=evil, type=evil, filesystem=evil)
    said = ImageFacts(evil, (partition,), Root(1, 0, 1, evil, evil), evil, evil, agent_seen=evil, selinux=evil)
    said = replace(said, back_end=evil, doubt=evil, network=(NetworkStack.NETPLAN,) * 1000)
    found = quick(Inspector(tmp_path / "facts", [Door("ext", said)], told))
    assert "\x1b" not in repr(found)
    assert "\\n" not in repr(found)
    assert len(repr(found)) < 4000
    assert (found.back_end, found.network) == ("ext", (NetworkStack.NETPLAN,))
