"""What a worker can do that a hostile file system has taken over: nothing but read and write its own guest's disk."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from injector.errors import ChannelBroken, GuestUnreadable, InjectorError
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.errand import Inject, Look, Looked
from injector.model.facts import Root
from injector.settings import PartitionSettings
from injector.system.process import run
from tests.captive_trade import CALLS
from tests.fuzz.host import WATCHED, fingerprint, left_over, processes
from tests.fuzz.overlay import written
from tests.hostile_guests import file

MIB = 1024 * 1024
ROOT = Root(0, 0, MIB, "ext4", "the test")
DEADLINE = 2.0
ANSWERED = DEADLINE + 3


@dataclass(frozen=True)
class Prison:
    crew: Crew
    disk: GuestDisk

    def look(self, deed: str) -> Looked:
        return self.crew.send(Look(ROOT, (deed,), 0), self.disk)

    def inject(self, deed: str) -> None:
        self.crew.send(Inject(ROOT, (file(deed),), 0), self.disk)

    def is_released(self) -> bool:
        """Whether QEMU's lock is gone, so that the guest may start."""
        assert self.disk.overlay is not None
        words = ["qemu-img", "check", "-q", str(self.disk.overlay)]
        return run(words, purpose="lock a disk", limits=None, timeout=30, accept=(0, 1, 3)).returncode == 0

    def clusters(self) -> dict[int, bytes]:
        assert self.disk.overlay is not None
        return written(self.disk.overlay)


@pytest.fixture(scope="module")
def crew_and_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Crew, Path, Path]]:
    place = tmp_path_factory.mktemp("prison")
    images, bases = place / "images", place / "bases"
    images.mkdir()
    bases.mkdir()
    base = bases / "base.raw"
    base.write_bytes(b"base" * (MIB // 4))
    settings = PartitionSettings(workers=1, deadline=DEADLINE, memory_limit=128 * MIB)
    before = processes(os.getpid())
    crew = Crew(settings, images=images, bases=bases, trade="tests.captive_trade")
    yield crew, images, base
    crew.close()
    assert left_over(before) == set()


@pytest.fixture
def prison(crew_and_disk: tuple[Crew, Path, Path]) -> Iterator[Prison]:
    crew, images, base = crew_and_disk
    overlay = images / "overlay.qcow2"
    overlay.unlink(missing_ok=True)
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(overlay)]
    run(words, purpose="make an overlay", limits=None, timeout=60)
    beside = images / "another guest's"
    beside.write_bytes(b"another's")
    before = fingerprint(*WATCHED, base, beside)
    yield Prison(crew, GuestDisk(overlay, base, "raw"))
    assert fingerprint(*WATCHED, base, beside) == before


only_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls are those of x86-64")


@only_x86
@pytest.mark.parametrize("name", CALLS)
def test_a_system_call_is_its_last(prison: Prison, name: str) -> None:
    with pytest.raises(GuestUnreadable, match="what it may not"):
        prison.look(f"call:{name}")
    assert prison.is_released()


def test_its_own_disk_is_all_it_writes(prison: Prison) -> None:
    prison.inject("write:4096")
    assert list(prison.clusters()) == [0]
    assert prison.clusters()[0][4096:8192] == b"captive!" * 512


@pytest.mark.parametrize("place", ["0", "-512", str(1 << 40), str((1 << 63) - 4096)])
def test_nothing_is_written_beyond_the_disks_end(prison: Prison, place: str) -> None:
    with pytest.raises(InjectorError):
        prison.inject(f"write:{place}")
    assert prison.clusters() == {}


def test_who_was_sent_to_look_writes_nothing(prison: Prison) -> None:
    with pytest.raises(ChannelBroken):
        prison.look("write:4096")
    assert prison.clusters() == {}
    assert prison.is_released()


@pytest.mark.parametrize(
    "what", ["garbage", "too much", "half", "drips", "deep", "an answer to something else", "nothing at all", "many"]
)
def test_whatever_it_says_the_daemon_is_answered_in_time(prison: Prison, what: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with pytest.raises(GuestUnreadable):
        prison.look(f"send:{what}")
    assert time.monotonic() - started < ANSWERED
    assert prison.is_released()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 1024 * MIB


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        ("wait:60", "longer than is allowed"),
        ("spin", "than is allowed"),
        ("flood", "than is allowed"),
        ("hoard", "more memory than is allowed"),
        ("crash", "broke the process that did it .signal 11"),
        ("leave:0", "broke the process that did it"),
        ("leave:7", "exit status 7"),
    ],
)
def test_however_it_ends_its_disk_is_released(prison: Prison, deed: str, why: str) -> None:
    started = time.monotonic()
    with pytest.raises(GuestUnreadable, match=why):
        prison.look(deed)
    assert time.monotonic() - started < ANSWERED
    assert prison.is_released()


def test_the_next_guest_is_served_as_if_nothing_had_been(prison: Prison) -> None:
    for deed in ("crash", "call:fork", "leave:1"):
        with pytest.raises(GuestUnreadable):
            prison.look(deed)
        assert prison.look("wait:0").files[0].path == "wait"
