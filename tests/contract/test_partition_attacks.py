"""Hostile guests at every back end: what they want is refused, or lands inside of them; this host is as it was.

``ext`` and ``mounted`` are asked through their doors, as the daemon asks; ``guestfs`` has all guests in one appliance,
because each costs seconds to start.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.channel import GuestDisk
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.door import Door
from injector.inject.partition.errand import Inject, Injected, Survey, Wanted
from injector.inject.partition.guestfs.appliance import Drive, Machine, appliance
from injector.inject.partition.guestfs.opener import GuestfsOpener
from injector.inject.partition.mounted.door import MountedDoor
from injector.model.facts import ImageFacts
from injector.settings import PartitionSettings
from injector.system.process import run
from tests import hostile_guests as hostile
from tests.fuzz.host import WATCHED, fingerprint
from tests.fuzz.layout import Layout
from tests.fuzz.overlay import merged, written
from tests.fuzz.steering import steering
from tests.hostile_guests import ATTACKS, Attack
from tests.system import leftovers

DEADLINE = 10.0
EMULATED = 120.0
"""An appliance does without KVM, and has many disks here."""
NEVER = ("/etc/authorized_keys", "/etc/injector-canary", "/dev/injector-canary", "/srv/.ssh")

Send = Callable[[Inject, GuestDisk], Injected]


@dataclass(frozen=True)
class Street:
    """A host with its guests: ``images`` are overlays, ``bases`` what lies below them, by the name of the attack."""

    images: Path
    bases: Path
    disks: Mapping[str, GuestDisk]

    def watched(self) -> dict[str, str]:
        """Everything that no guest may change: its own base too."""
        return fingerprint(*WATCHED, self.bases)

    def inside(self, name: str) -> Layout:
        disk = self.disks[name]
        assert disk.overlay is not None
        return Layout(merged(disk.base.read_bytes(), written(disk.overlay)))


def build(place: Path, names: Sequence[str]) -> Street:
    images, bases = place / "images", place / "bases"
    images.mkdir()
    bases.mkdir()
    disks = {}
    for number, name in enumerate(names):
        work = place / f"work-{number}"
        work.mkdir()
        base = hostile.make(name, work).rename(bases / f"{number}.raw")
        disks[name] = GuestDisk(images / f"{number}.qcow2", base, "raw")
        lay(disks[name])
    return Street(images, bases, disks)


def lay(disk: GuestDisk) -> None:
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk.base), "-F", "raw", str(disk.overlay)]
    run(words, purpose="make an overlay", limits=None, timeout=60)


@contextmanager
def _ext(street: Street, place: Path) -> Iterator[Send]:
    crew = Crew(PartitionSettings(workers=1, deadline=DEADLINE), images=street.images, bases=street.bases)
    try:
        yield crew.send
    finally:
        crew.close()


@contextmanager
def _mounted(street: Street, place: Path) -> Iterator[Send]:
    yield MountedDoor(PartitionSettings(deadline=DEADLINE), place / "mounted").send


@contextmanager
def _guestfs(street: Street, place: Path) -> Iterator[Send]:
    overlays = [disk.overlay for disk in street.disks.values() if disk.overlay is not None]
    drives = [Drive(overlay, "qcow2", writable=True) for overlay in overlays]
    names = [f"/dev/sd{first}{letter}" for first in ("", "a") for letter in "abcdefghijklmnopqrstuvwxyz"]
    with appliance(drives, Machine(emulated=True, directory=place)) as handle:

        def send(errand: Inject, disk: GuestDisk) -> Injected:
            assert disk.overlay is not None
            done = carry_out(errand, GuestfsOpener(handle, names[overlays.index(disk.overlay)]))
            assert isinstance(done, Injected)
            return done

        yield send


BACK_ENDS: Mapping[str, Callable[[Street, Path], AbstractContextManager[Send]]] = {
    "ext": _ext,
    "guestfs": _guestfs,
    **({"mounted": _mounted} if os.geteuid() == 0 else {}),
}
"""Only root can have the kernel mount a disk."""


@dataclass(frozen=True)
class House:
    """``patience``: seconds in which whatever is asked must be answered."""

    street: Street
    send: Send
    patience: float

    def inject(self, name: str, *wanted: Wanted) -> Injected:
        return self.send(Inject(hostile.ROOT, wanted, 1_700_000_000), self.street.disks[name])


FEW: tuple[str, ...] = (
    "ssh leads to the host's etc",
    "ssh leads far up",
    "41 links",
    "shadow leads to itself",
    "a FIFO",
    "a directory",
)
FEW += ("a character device", "a passwd of 512 MiB", "into the host's proc", "descriptors of the worker")


def faces(back_end: str, name: str) -> bool:
    """This host's kernel gets no file system that is not sound, and an appliance takes seconds for each."""
    return name in FEW or back_end == "ext" or (back_end == "mounted" and ATTACKS[name].sound)


PAIRS = [(back_end, name) for back_end in BACK_ENDS for name in ATTACKS if faces(back_end, name)]

# Of the few, those that an appliance faces by default: a link out, links without end, and what is no file.
ALWAYS = ("ssh leads to the host's etc", "41 links", "shadow leads to itself", "a FIFO", "descriptors of the worker")


def _case(back_end: str, name: str) -> Any:
    later = back_end == "guestfs" and name not in ALWAYS
    return pytest.param(back_end, name, marks=pytest.mark.matrix if later else ())


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp(f"street-{request.param}")
    street = build(place, [name for end, name in PAIRS if end == request.param])
    with BACK_ENDS[request.param](street, place) as send:
        yield House(street, send, EMULATED if request.param == "guestfs" else DEADLINE)


@pytest.mark.parametrize(("house", "name"), [_case(*pair) for pair in PAIRS], indirect=["house"], scope="module")
def test_an_attack_stays_in_its_guest(house: House, name: str) -> None:
    attack = ATTACKS[name]
    before = house.street.watched()
    started = time.monotonic()

    refusal = _refusal(house, name, attack)

    assert time.monotonic() - started < house.patience
    assert house.street.watched() == before
    assert [path for path in NEVER if os.path.lexists(path)] == []
    assert (refusal is not None) == (attack.refused is not None) or attack.either
    if refusal is None:
        _require_landed(house.street, name, attack)
    else:
        assert (attack.refused or "") in refusal
        assert [*steering(refusal), *refusal.splitlines()[1:]] == []
        assert _changed(house.street, name) == set(), "a refusal changes no file"


def _refusal(house: House, name: str, attack: Attack) -> str | None:
    try:
        house.inject(name, attack.wanted)
    except (ItemRefused, GuestUnreadable) as error:
        return error.message
    return None


def _require_landed(street: Street, name: str, attack: Attack) -> None:
    inside = street.inside(name)
    assert attack.lands
    for path, content in attack.lands.items():
        number = inside.number_of(path)
        assert number is not None, f"there is no {path}"
        assert inside.content(number) == content


def _changed(street: Street, name: str) -> set[str]:
    """Names that came, went, or hold something else than in the base; times of a mount do not count."""
    before, after = Layout(street.disks[name].base.read_bytes()).tree(), street.inside(name).tree()
    return {path for path in before.keys() | after.keys() if before.get(path, b"-") != after.get(path, b"-")}


SELINUX = {
    "etc/selinux/config": b"SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    "etc/selinux/targeted/contexts/files/file_contexts": b"/a(a+)+$\tsystem_u:object_r:x_t:s0\n",
}
SLOW = 2.0
ENDS_WITHIN = 60.0
"""A killed worker unmounts before it is gone: on a busy disk that takes its time."""


@pytest.fixture
def alone(tmp_path: Path) -> Callable[[Mapping[str, bytes]], GuestDisk]:
    """A guest of its own, with these files."""

    def build_one(files: Mapping[str, bytes]) -> GuestDisk:
        base = hostile.format_tree(hostile.grow(tmp_path / "tree", files=files), tmp_path / "base.raw")
        disk = GuestDisk(tmp_path / "overlay", base, "raw")
        lay(disk)
        return disk

    return build_one


@contextmanager
def door(name: str, disk: GuestDisk, deadline: float) -> Iterator[Door]:
    assert disk.overlay is not None
    settings = PartitionSettings(workers=1, deadline=deadline)
    if name == "mounted":
        yield MountedDoor(settings, disk.base.parent / "mounted")
        return
    crew = Crew(settings, images=disk.overlay.parent, bases=disk.base.parent)
    try:
        yield crew
    finally:
        crew.close()


DOORS = [name for name in BACK_ENDS if name != "guestfs"]


@pytest.mark.parametrize("back_end", DOORS)
def test_patterns_that_never_end_are_ended(back_end: str, alone: Callable[[Mapping[str, bytes]], GuestDisk]) -> None:
    """The guest's policy is full of expressions, and its owner also chooses the path that they are tried on."""
    disk = alone(SELINUX)
    errand = Inject(hostile.ROOT, (hostile.file("/" + "a" * 60 + "!"),), 0)
    with door(back_end, disk, SLOW) as asked:
        started = time.monotonic()
        with pytest.raises(GuestUnreadable):
            asked.send(errand, disk)
        assert time.monotonic() - started < SLOW + ENDS_WITHIN


def test_who_serves_a_disk_does_not_see_what_is_mounted_of_it(
    alone: Callable[[Mapping[str, bytes]], GuestDisk],
) -> None:
    """Killed, it would unmount that, and wait for ever for an answer of its own."""
    disk = alone(SELINUX)
    errand = Inject(hostile.ROOT, (hostile.file("/" + "a" * 60 + "!"),), 0)
    see: set[str] = set()
    serve: set[str] = set()
    with door("mounted", disk, SLOW) as asked, ThreadPoolExecutor(1) as thread:
        sent = thread.submit(asked.send, errand, disk)
        while not sent.done():
            for pid in leftovers.descendants(os.getpid()):
                with suppress(OSError):
                    name = Path(f"/proc/{pid}/comm").read_text().strip()
                    lines = Path(f"/proc/{pid}/mounts").read_text().splitlines()
                    of_the_guest = [line for line in lines if f" {disk.base.parent}/mounted/" in line]
                    if any(" ext4 " in line for line in of_the_guest):
                        see.add(name)
                    elif of_the_guest:
                        serve.add(name)
            time.sleep(0.05)
        with pytest.raises(GuestUnreadable):
            sent.result()
    assert see
    assert "qemu-storage-da" in serve - see


@pytest.mark.parametrize("back_end", DOORS)
def test_what_an_image_calls_itself_is_made_harmless(
    back_end: str, alone: Callable[[Mapping[str, bytes]], GuestDisk]
) -> None:
    evil = hostile.ESCAPES.encode() * 20
    words = b"ID=" + evil + b'\nVERSION_ID="' + evil + b'"\n'
    disk = alone({"etc/os-release": words, "etc/fstab": b"/dev/vda1 / " + evil + b" defaults 0 1\n"})
    with door(back_end, disk, DEADLINE) as asked:
        facts = asked.send(Survey(), disk).facts
    assert isinstance(facts, ImageFacts)
    assert steering(facts) == []
    assert facts.os is not None
    assert "evil" in facts.os
    assert len(facts.os) <= 100
