"""The crew's processes: whoever of them ends when, the errand has one answer or one reason, and nothing is left."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from injector.errors import (
    ChannelBroken,
    GuestUnreadable,
    InjectorError,
    NoSpace,
)
from injector.inject.channel import GuestDisk
from tests import crews
from tests.api_house import eventually
from tests.crews import Place, alive, can_be_locked, everybody, inject, look, said, soon

SEED = 20_260_301


def watches() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "crew-idle" and one.is_alive()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    tmp_path.chmod(0o755)
    return Place.below(tmp_path)


def test_a_disk_is_read_and_written_through_its_overlay(place: Place) -> None:
    disk = place.disk(content=b"from the base")
    before = crews.digest(disk.base)
    with place.crew() as crew:
        assert said(crew, disk, "read:13") == [b"from the base"]
        crew.send(inject(b"from the daemon"), disk)
        assert can_be_locked(disk)
        assert said(crew, disk, "read:15") == [b"from the daemon"]
        assert said(crew, replace(disk, overlay=None), "read:13") == [b"from the base"]
    assert crews.digest(disk.base) == before
    assert crews.quietly("qemu-img", "check", str(disk.overlay)).startswith("No errors")


def test_who_only_looks_cannot_write(place: Place) -> None:
    disk = place.disk()
    before = [crews.digest(path) for path in (disk.base, disk.overlay) if path]
    with place.crew() as crew:
        for one in (disk, replace(disk, overlay=None)):
            with pytest.raises(ChannelBroken, match="read or write"):
                crew.send(look("write:mine"), one)
    assert [crews.digest(path) for path in (disk.base, disk.overlay) if path] == before


def test_what_a_format_is_is_what_was_declared(place: Place) -> None:
    """A guest that writes a header of qcow2 into its raw disk, naming a file of the host, gets its own bytes back."""
    disk = place.disk()
    crews.quietly(
        "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", place.bases / "q", "1M"
    )
    disk.base.chmod(0o644)
    with disk.base.open("r+b") as file:
        file.write((place.bases / "q").read_bytes())
    with place.crew() as crew:
        assert said(crew, disk, "read:4") == [b"QFI\xfb"]


def test_processor_time_has_its_own_end(place: Place) -> None:
    """Of a worker whose deadline is far away; it is the guest's fault, and no other host's matter."""
    disk = place.disk()
    with place.crew(deadline=30.0) as crew:
        crew._charter = replace(crew._charter, cpu_seconds=1)
        with pytest.raises(GuestUnreadable, match="more processor time than is allowed"):
            crew.send(look("spin:20"), disk)


def test_an_overlay_that_another_has_open_is_refused(place: Place) -> None:
    disk = place.disk()
    with place.crew() as crew:
        crew.send(look("read:1"), disk)
        holder = threading.Thread(target=lambda: crew.send(inject(b"x" * 4096, 2000), disk))
        holder.start()
        try:
            assert soon(lambda: disk.overlay and crews.is_locked(disk.overlay))
            with pytest.raises(ChannelBroken, match="cannot open the guest's disk") as caught:
                crew.send(inject(b"y"), disk)
            assert "lock" in (caught.value.detail or "")
        finally:
            holder.join()
        assert can_be_locked(disk)


def test_what_is_not_there_or_out_of_reach_is_this_hosts_fault(place: Place, tmp_path: Path) -> None:
    disk = place.disk()
    elsewhere = tmp_path / "elsewhere.raw"
    elsewhere.write_bytes(bytes(crews.MIB))
    with place.crew() as crew:
        for wrong in (replace(disk, overlay=place.images / "nothing"), GuestDisk(None, elsewhere, "raw")):
            with pytest.raises(ChannelBroken, match="cannot open the guest's disk"):
                crew.send(look("read:1"), wrong)
        assert said(crew, disk, "read:4") == [b"base"]


def test_a_full_disk_of_the_host_is_no_space(place: Place, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    crews.quietly("mount", "-t", "tmpfs", "-o", "size=1M,mode=755", "none", place.images)
    try:
        disk = place.disk()
        with place.crew() as crew, pytest.raises(NoSpace, match="the disk is full"):
            crew.send(inject(b"x" * 65536, 64), disk)
        assert len(everybody()) == 0
    finally:
        crews.quietly("umount", place.images)


def test_eight_guests_at_once(place: Place) -> None:
    disks = [place.disk(f"guest{number}", f"base {number}".encode()) for number in range(8)]
    before = [crews.digest(disk.base) for disk in disks]
    with place.crew(workers=3) as crew, ThreadPoolExecutor(8) as threads:

        def errands(number: int) -> list[bytes]:
            disk = disks[number]
            heard = said(crew, disk, "read:6")
            crew.send(inject(f"ours {number}".encode()), disk)
            assert can_be_locked(disk)
            return heard + said(crew, disk, "read:6")

        for _ in range(2):
            for number, heard in enumerate(threads.map(errands, range(8))):
                assert heard[1] == f"ours {number}".encode()
        assert len(crews.nurseries()) == 1
        assert soon(lambda: len(everybody()) == 1 + 2 * 3), "spare workers, and no others"
    assert everybody() == set()
    assert [crews.digest(disk.base) for disk in disks] == before


def test_nothing_is_left_after_close(place: Place) -> None:
    disk = place.disk()
    descriptors = crews.open_descriptors()
    with place.crew(workers=2) as crew:
        crew.send(look("read:1"), disk)
        ours = everybody()
        assert len(ours) >= 1
    assert alive(ours) == set()
    assert everybody() == set()
    assert crews.open_descriptors() == descriptors
    with pytest.raises(ChannelBroken, match="being shut down"):
        crew.send(look("read:1"), disk)
    crew.close()


def test_close_ends_errands_under_way(place: Place) -> None:
    disks = [place.disk(f"guest{number}") for number in range(4)]
    with place.crew() as crew, ThreadPoolExecutor(4) as threads:
        crew.send(look("read:1"), disks[0])
        waiting = [threads.submit(crew.send, look("sleep:60"), disk) for disk in disks]
        time.sleep(0.3)
        started = time.monotonic()
        crew.close()
        for one in waiting:
            assert isinstance(one.exception(5), ChannelBroken)
        assert time.monotonic() - started < 5
        assert everybody() == set()
        assert all(map(can_be_locked, disks))


def test_a_dead_nursery_is_replaced_once(place: Place) -> None:
    disk = place.disk()
    with place.crew() as crew:
        crew.send(look("read:1"), disk)
        first = crews.nurseries()
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: not crews.nurseries())  # one that dies with a question in its hands is a failure
        assert said(crew, disk, "read:4") == [b"base"]
        assert len(crews.nurseries()) == 1
        assert crews.nurseries() != first


@pytest.mark.parametrize("whom", ["worker", "disk", "nursery"])
def test_killed_at_any_moment_nothing_is_left(place: Place, whom: str) -> None:
    """Seeded moments of an injection of some 60 ms: it is done, or this host is at fault; the lock is free at once."""
    moments = random.Random(f"{SEED} {whom}")
    disk = place.disk()
    before = crews.digest(disk.base)
    outcomes = set()
    with place.crew() as crew:
        for _ in range(12):
            crew.send(look("read:1"), disk)
            nursery = crews.nurseries()[0]
            failure: list[BaseException | None] = [None]

            def injection(failure: list[BaseException | None] = failure) -> None:
                try:
                    crew.send(inject(b"z" * 4096, 60), disk)
                except InjectorError as error:
                    failure[0] = error

            thread = threading.Thread(target=injection)
            thread.start()
            time.sleep(moments.uniform(0, 0.06))
            for victim in [nursery] if whom == "nursery" else crews.children(nursery, whom):
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            thread.join(15)
            assert not thread.is_alive()
            assert can_be_locked(disk)
            outcomes.add(type(failure[0]))
    assert outcomes <= {type(None), ChannelBroken}
    assert ChannelBroken in outcomes
    assert everybody() == set()
    assert crews.digest(disk.base) == before


DAEMON = """
import sys, threading
from pathlib import Path
from injector.inject.channel import GuestDisk
from tests.crews import Place, inject
place = Place(Path(sys.argv[1]), Path(sys.argv[2]))
disk = GuestDisk(Path(sys.argv[3]), Path(sys.argv[4]), "raw")
with place.crew(workers=2) as crew:
    print("ready", flush=True)
    for round in range(1000):
        crew.send(inject(b"z" * 4096, 60), disk)
        print("done", flush=True)
"""


def test_the_daemon_killed_at_any_moment_leaves_nothing(place: Place) -> None:
    moments = random.Random(f"{SEED} daemon")
    disk = place.disk()
    project = str(Path(__file__).parents[2])
    for _ in range(6):
        words = [sys.executable, "-c", DAEMON, *map(str, (place.images, place.bases, disk.overlay, disk.base))]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, cwd=project, env={**os.environ, "PYTHONPATH": project}
        ) as daemon:
            assert daemon.stdout is not None
            assert daemon.stdout.readline() == b"ready\n"
            assert daemon.stdout.readline() == b"done\n"
            family = _family(daemon.pid)
            time.sleep(moments.uniform(0, 0.1))
            family |= _family(daemon.pid)
            daemon.kill()
        assert len(family) > 2
        assert _gone(family)
        assert can_be_locked(disk)


def _gone(family: set[int]) -> bool:
    return soon(lambda: alive(family) == set())


def _family(pid: int) -> set[int]:
    ours = {pid}
    while more := {one.pid for one in crews._processes() if one.parent in ours} - ours:
        ours |= more
    return ours


def test_a_descriptor_table_that_is_full(place: Place) -> None:
    """It is said, no descriptor is lost, and the workers that could not be taken on are put down by themselves."""
    disk = place.disk()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with place.crew(workers=2) as crew:
        crew.send(look("read:1"), disk)
        assert soon(lambda: len(everybody()) == 5)
        descriptors = crews.open_descriptors()
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        filled = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 4, limits[1]))
        try:
            while True:
                try:
                    filled.append(os.dup(0))
                except OSError:
                    break
            for spare in (0, 2, 2):
                for descriptor in filled[:spare]:
                    os.close(descriptor)
                del filled[:spare]
                with pytest.raises(ChannelBroken):
                    crew.send(look("read:1"), disk)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for descriptor in filled:
                os.close(descriptor)
        assert crews.open_descriptors() == descriptors
        assert said(crew, disk, "read:4") == [b"base"]
        assert soon(lambda: len(everybody()) == 5), "nobody who was lost on the way lives on"


def test_a_nursery_that_has_nothing_to_do_is_let_go_and_comes_back(place: Place) -> None:
    disk = place.disk()
    with place.crew(idle=0.5) as crew:
        assert everybody() == set(), "none before the first errand"
        crew.send(look("read:1"), disk)
        first = crews.nurseries()
        crew.send(look("sleep:1.2"), disk)
        assert crews.nurseries() == first, "an errand under way is no idleness"
        assert soon(lambda: everybody() == set())
        # The watch goes after the nursery it has let go: a moment may lie between the two.
        assert soon(lambda: not watches())
        assert said(crew, disk, "read:4") == [b"base"]
        assert crews.nurseries() != first
    assert soon(lambda: not watches())


def test_nobody_else_can_connect_to_a_disk(place: Place) -> None:
    disk = place.disk()
    before = crews.abstract_sockets()
    with place.crew() as crew, ThreadPoolExecutor(1) as thread:
        crew.send(look("read:1"), disk)
        errand = thread.submit(crew.send, look("sleep:1"), disk)
        assert soon(lambda: not errand.done() and crews.abstract_sockets() - before)
        refused = 0
        for name in crews.abstract_sockets() - before:
            with socket.socket(socket.AF_UNIX) as stranger:
                try:
                    stranger.connect("\0" + name[1:])
                except ConnectionRefusedError:
                    refused += 1
        assert refused
        assert errand.exception() is None


MISSING = {
    "a program": (
        'import runpy, injector.system.process as p; p.PATH = "/nowhere"',
        r"qemu-storage-daemon, needed to open guests' disks, is not installed",
    ),
    "a module": ("import runpy, sys; sys.modules['nbd'] = None", "the Python module nbd is not installed"),
    "libseccomp": (
        "import runpy, ctypes; C = ctypes.CDLL\n"
        "def load(name, *words, **more):\n"
        "    return C('libnowhere.so' if name == 'libseccomp.so.2' else name, *words, **more)\n"
        "ctypes.CDLL = load",
        "libseccomp is not installed on this host",
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_said(place: Place, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The interpreter of the nursery is one that does not find it."""
    spoil, reason = MISSING[what]
    script = f"{spoil}\nimport sys\nsys.argv = sys.argv[4:]\n"
    program = place.images.parent / "python"
    runs = "runpy.run_module('injector.inject.partition.crew', run_name='__main__', alter_sys=True)"
    spoiled = place.images.parent / "spoiled.py"
    spoiled.write_text(f"{script}{runs}\n")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -s {spoiled} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with place.crew() as crew:
        found = crew.check()
    assert not found.available
    assert re.search(reason, found.reason or ""), found.reason


def test_a_trade_that_is_not_there_is_said(place: Place) -> None:
    with place.crew("tests.nowhere") as crew:
        assert "tests.nowhere is not installed" in (crew.check().reason or "")
    with place.crew() as crew:
        crew._images = Path("/nowhere")
        assert crew.check().reason == "No such file or directory"
