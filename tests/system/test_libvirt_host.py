"""The door to libvirt against a real libvirtd: hung, gone and back again; KVM proven; owners, firmware, console."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from injector.errors import HypervisorDown, HypervisorRefused
from injector.images.cache import BaseCache
from injector.model.guest import GuestState
from injector.model.host import InjectionPolicy, Verdict
from injector.model.instance import State, Step
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from injector.settings import LibvirtSettings
from injector.virt.driver import Asks, Order
from injector.virt.libvirt import kvm
from injector.virt.libvirt.domain import domain_xml
from injector.virt.libvirt.driver import LibvirtDriver
from injector.virt.libvirt.ears import Ears
from injector.virt.libvirt.host import Host
from tests import builders as a
from tests.hypervisors import GUESTS, STATE_ROOT, Stage, on_qemu
from tests.reach import a_seat_for_anybody
from tests.system.test_trouble import fill, small_disk
from tests.unit.test_domain_xml import BLUEPRINTS

LIBVIRTD = Path("/var/run/libvirt/libvirt-sock")
PROJECT = Path(__file__).parent.parent.parent
NVRAM = Path("/var/lib/libvirt/qemu/nvram")
QUICK = 4.0


class Proxy:
    """A socket in front of libvirtd's, which can stop answering, or hang up, as libvirtd would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frozen = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.path}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(LIBVIRTD))
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                while self.frozen.is_set():
                    time.sleep(0.02)
                sink.sendall(content)

    def hang_up(self) -> None:
        # Whoever is hung up upon may be back before this is over: his new connection stays.
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for one in pair:
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.frozen.clear()
        # First, and by a shutdown, which ends an accept that is under way.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A state directory that QEMU's user can pass through."""
    STATE_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE_ROOT, prefix="host") as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


@pytest.fixture
def proxy(directory: Path) -> Iterator[Proxy]:
    proxy = Proxy(directory / "sock")
    yield proxy
    proxy.close()


@pytest.fixture
def host(directory: Path) -> Iterator[Host]:
    host = Host("qemu:///system", 10.0, str(directory))
    yield host
    host.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with on_qemu(tmp_path, InjectionPolicy()) as stage:
        yield stage
        for instance_id in stage.driver.local():
            stage.driver.destroy(instance_id)


# a libvirtd that does not do its part


def test_without_libvirtd_it_says_so_at_once(directory: Path) -> None:
    host = Host(f"qemu+unix:///system?socket={directory}/none", QUICK, str(directory))
    with pytest.raises(HypervisorDown) as down:
        host.inventory()
    assert "cannot be reached" in down.value.message
    assert str(directory) not in down.value.message


def test_a_libvirtd_that_accepts_and_says_nothing_is_given_up(proxy: Proxy, directory: Path) -> None:
    proxy.frozen.set()
    host = Host(proxy.uri, 1.0, str(directory))
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(HypervisorDown, match="has not answered"):
            host.inventory()
        assert time.monotonic() - began < 2.0
    waiting = [thread for thread in threading.enumerate() if thread.name == "libvirt-open"]
    assert len(waiting) == 1, "one thread waits for a silent libvirtd, however often it is asked"
    proxy.frozen.clear()
    assert host.inventory().kind == "QEMU"
    host.close()


def test_a_libvirtd_that_hangs_in_the_middle_is_given_up_and_found_again(proxy: Proxy, directory: Path) -> None:
    host = Host(proxy.uri, QUICK, str(directory))
    assert host.inventory().kind == "QEMU"
    proxy.frozen.set()
    began = time.monotonic()
    with pytest.raises(HypervisorDown):
        host.ours()
    assert time.monotonic() - began < 2 * QUICK
    proxy.frozen.clear()
    assert host.ours() == {}
    host.close()


def test_after_a_restart_of_libvirtd_the_next_call_works(proxy: Proxy, directory: Path) -> None:
    host = Host(proxy.uri, QUICK, str(directory))
    assert host.inventory().kind == "QEMU"
    proxy.hang_up()
    time.sleep(0.2)
    assert host.inventory().kind == "QEMU"
    host.close()


def test_many_threads_share_one_connection(proxy: Proxy, directory: Path) -> None:
    host = Host(proxy.uri, QUICK, str(directory))
    threads = [threading.Thread(target=host.inventory) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(proxy._pairs) == 1
    host.close()


# listening


class Hearing:
    """Somebody who listens through a proxy: what was heard, and how often something may have been missed."""

    def __init__(self, host: Host) -> None:
        self.heard: list[tuple[str, State | None]] = []
        self.missed = 0
        self.ears = Ears(host, lambda domain_id, state: self.heard.append((domain_id, state)), self._miss)
        self.ears.open()

    def _miss(self) -> None:
        self.missed += 1


@pytest.fixture
def hearing(proxy: Proxy, directory: Path) -> Iterator[Hearing]:
    host = Host(proxy.uri, QUICK, str(directory))
    hearing = Hearing(host)
    yield hearing
    hearing.ears.close()
    host.close()


def something_happens(host: Host, directory: Path) -> str:
    """A domain is defined, and undefined again."""
    blueprint = BLUEPRINTS["plain"]
    instance = replace(blueprint.instance, id=str(uuid.uuid4()))
    host.define(domain_xml(replace(blueprint, instance=instance, home=str(directory)))).undefine()
    return instance.id


def hears(hearing: Hearing, host: Host, directory: Path) -> bool:
    happened = (something_happens(host, directory), None)
    wait_until(lambda: happened in hearing.heard)
    return hearing.heard.count(happened) == 1


def test_who_listens_hears_again_after_a_restart_of_libvirtd(
    hearing: Hearing, proxy: Proxy, host: Host, directory: Path
) -> None:
    """Without anybody asking it anything, however often."""

    def missed(times: int) -> bool:
        return hearing.missed == times

    assert hears(hearing, host, directory)
    for times in (1, 2, 3):
        proxy.hang_up()
        wait_until(partial(missed, times))
        assert hears(hearing, host, directory)
    assert hearing.missed == 3


def test_who_listens_hears_again_when_libvirtd_was_away_for_a_while(
    hearing: Hearing, proxy: Proxy, host: Host, directory: Path
) -> None:
    proxy.close()
    proxy.path.unlink()
    something_happens(host, directory)
    time.sleep(1.5)
    assert (hearing.heard, hearing.missed) == ([], 0)
    back = Proxy(proxy.path)
    wait_until(lambda: hearing.missed == 1)
    assert hears(hearing, host, directory)
    back.close()


def test_who_listens_hears_again_after_a_libvirtd_that_hung(
    hearing: Hearing, proxy: Proxy, host: Host, directory: Path
) -> None:
    """Nobody asks it anything, and nobody hangs up: it is missed because it does not answer."""
    proxy.frozen.set()
    wait_until(lambda: len(proxy._pairs) > 1, 6 * QUICK)
    proxy.frozen.clear()
    wait_until(lambda: hearing.missed == 1, 6 * QUICK)
    assert hears(hearing, host, directory)


def test_who_listens_before_libvirtd_is_there_hears_when_it_is(host: Host, directory: Path) -> None:
    waiting = Host(f"qemu+unix:///system?socket={directory}/sock", QUICK, str(directory))
    hearing = Hearing(waiting)
    late = Proxy(directory / "sock")
    wait_until(lambda: hearing.missed == 1)
    assert hears(hearing, host, directory)
    hearing.ears.close()
    waiting.close()
    late.close()


def test_a_closed_host_leaves_no_connection_behind(proxy: Proxy, directory: Path) -> None:
    """One whose events were heard has those who hear them in its hands, and would stay open."""
    host = Host(proxy.uri, QUICK, str(directory))
    hearing = Hearing(host)
    near = proxy._pairs[0][0]
    hearing.ears.close()
    host.close()
    wait_until(lambda: ended(near))


def ended(near: socket.socket) -> bool:
    """Whether the far side has hung up; the proxy's own thread may have taken its last word."""
    near.setblocking(False)
    try:
        return near.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def test_every_local_guest_is_heard_after_a_restart_of_libvirtd(stage: Stage, proxy: Proxy) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    heard: list[str] = []
    own = Host(proxy.uri, QUICK, str(stage.settings.instances_dir))
    asks = Asks(stage.ports, stage.records, stage.records.keep_facts)
    cache = BaseCache(stage.settings.base_dir, stage.shelf)
    driver = LibvirtDriver(own, stage.settings, a.a_vault(), cache, None, asks)
    driver.listen(heard.append)
    proxy.hang_up()
    wait_until(lambda: heard == [instance.id])
    stage.driver.reboot(instance, hard=True)
    wait_until(lambda: len(heard) > 1)
    driver.close()
    own.close()


# a disk that is full


WRITE = b"#!/bin/sh\ndd if=/dev/urandom of=/dev/vda bs=1M seek=4 count=10 && sync && echo written\n"


def test_a_guest_whose_disk_is_full_is_paused_and_goes_on_when_there_is_room(stage: Stage) -> None:
    place = stage.settings.instances_dir
    heard: list[str] = []
    stage.driver.listen(heard.append)
    with small_disk(place, 64):
        instance = stage.instance(items=(a.an_item(ItemKind.USER_DATA, "user_data"),))
        ballast: list[Path] = []

        def enter(step: Step) -> None:
            if step is Step.START:
                ballast.append(fill(place, 2 * 1024**2))

        stage.driver.spawn(Order(instance, a.a_payload(user_data=Secret(WRITE))), enter)
        wait_until(lambda: instance.id in heard, 60.0)
        assert stage.driver.state(instance.id) is State.PAUSED
        ballast.pop().unlink()
        stage.driver.unpause(instance)
        stage.last_word(instance)
        assert b"written" in stage.driver.console(instance.id, 100_000)
        assert stage.driver.state(instance.id) is State.ACTIVE
        stage.driver.destroy(instance.id)


# what libvirt itself says to our domains


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_libvirt_defines_it(host: Host, directory: Path, name: str) -> None:
    """With QEMU's own capabilities as judge. Emulated ones only: KVM may be missing."""
    blueprint = BLUEPRINTS[name]
    instance = replace(blueprint.instance, id=f"d0a1e57a-0000-4000-8000-{list(BLUEPRINTS).index(name):012}")
    verdict = blueprint.verdict if blueprint.verdict.virt_type == "qemu" else Verdict("qemu", "maximum", "", False)
    domain = host.define(domain_xml(replace(blueprint, instance=instance, verdict=verdict, home=str(directory))))
    try:
        assert host.ours().keys() == {instance.id}
        assert domain.xml().findtext("uuid") == instance.id
    finally:
        domain.undefine()


def test_a_refusal_keeps_paths_for_the_operator(host: Host, directory: Path) -> None:
    blueprint = replace(BLUEPRINTS["plain"], home=str(directory))
    domain = host.define(domain_xml(blueprint))
    try:
        with pytest.raises(HypervisorRefused) as refused:
            domain.start()
        assert "/var/lib/injector" not in refused.value.message
        assert "/var/lib/injector" in (refused.value.detail or "")
    finally:
        domain.undefine()


# KVM


def traces(host: Host, directory: Path) -> tuple[list[str], int]:
    emulators = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _mentions(path, str(directory))]
    return sorted(path.name for path in directory.iterdir()), len(emulators)


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


def test_kvm_is_believed_only_when_a_guest_ran(host: Host, directory: Path) -> None:
    """On a machine whose KVM is missing or broken the verdict is emulation, and says why; on a good one it is KVM."""
    verdict = kvm.decide(host, LibvirtSettings(), directory)
    assert (verdict.virt_type, verdict.proven) in {("kvm", True), ("qemu", False)}
    assert verdict.proven or verdict.reason.startswith("KVM does not work here: with cpu_mode host-model ")
    assert traces(host, directory) == ([], 0)


@pytest.mark.parametrize("cpu_mode", ["maximum", "none", "host-model"])
def test_the_probe_says_yes_where_guests_run(host: Host, directory: Path, cpu_mode: str) -> None:
    """Emulation runs everywhere: a probe that fails here would never believe any KVM."""
    emulated = Verdict("qemu", cpu_mode, "", proven=False)
    assert kvm.obstacle(host, emulated, LibvirtSettings(kvm_probe_timeout=10.0), directory) is None
    assert traces(host, directory) == ([], 0)


def test_a_right_answer_too_late_is_a_no(host: Host, directory: Path) -> None:
    emulated = Verdict("qemu", "maximum", "", proven=False)
    why = kvm.obstacle(host, emulated, LibvirtSettings(kvm_probe_timeout=0.0), directory)
    assert why == "with cpu_mode maximum a boot sector had not run within 0 s"
    assert traces(host, directory) == ([], 0)


def test_what_a_killed_daemon_left_of_its_probe_is_removed(host: Host, directory: Path) -> None:
    emulated = Verdict("qemu", "maximum", "", proven=False)
    settings = LibvirtSettings(kvm_probe_timeout=10.0)
    probe = kvm._probe(host, emulated, settings, directory)
    probe.__enter__()
    assert kvm.obstacle(host, emulated, settings, directory) is None
    assert traces(host, directory) == ([], 0)


# what is left on the host


def owner(path: Path) -> tuple[int, int, int]:
    info = path.stat()
    return info.st_uid, info.st_gid, info.st_mode & 0o7777


def test_owners_and_modes_with_two_guests_on_one_base(stage: Stage) -> None:
    first, second = stage.instance(), stage.instance()
    stage.spawn(first)
    stage.spawn(second)
    (base,) = (path for path in stage.settings.base_dir.iterdir() if path.name.endswith(".qcow2"))
    drives = [stage.workspace(one).config_drive for one in (first, second)]
    group = stage.settings.instances_dir.stat().st_gid
    expected = (os.geteuid(), group, 0o440)

    def seen() -> set[tuple[int, int, int]]:
        return {owner(path) for path in (base, *(drive for drive in drives if drive.exists()))}

    assert seen() == {expected}
    assert owner(stage.workspace(first).path)[1:] == (group, 0o750)
    assert owner(stage.workspace(first).disk)[2] == 0o600
    stage.driver.destroy(first.id)
    assert seen() == {expected}
    stage.last_word(second)
    stage.driver.stop(second)
    assert seen() == {expected}
    assert owner(stage.workspace(second).disk)[::2] == (os.geteuid(), 0o600)
    stage.driver.start(second)
    assert seen() == {expected}
    stage.driver.destroy(second.id)
    assert owner(base) == expected


def test_the_variables_of_uefi_go_with_the_guest(stage: Stage) -> None:
    before = set(NVRAM.iterdir())
    instance = stage.instance({"hw_firmware_type": "uefi"})
    stage.spawn(instance)
    assert len(set(NVRAM.iterdir()) - before) == 1
    stage.driver.destroy(instance.id)
    assert set(NVRAM.iterdir()) == before


@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("bus", ["scsi", "virtio"])
def test_every_machine_shows_its_drive(stage: Stage, machine: str, bus: str) -> None:
    instance = stage.instance({"hw_machine_type": machine, "hw_cdrom_bus": bus})
    stage.spawn(instance)
    stage.last_word(instance)
    device = {"scsi": b"/dev/sr0", "virtio": b"/dev/vdb"}[bus]
    assert b"tiny-guest: drive=" + device in stage.driver.console(instance.id, 100_000)


def test_a_guest_that_ignores_the_power_button_is_pulled_the_plug(stage: Stage) -> None:
    """Right after its start nothing in it listens, and it is not given the time to."""
    object.__setattr__(stage.settings.libvirt, "shutdown_timeout", 0.3)
    instance = stage.instance()
    stage.spawn(instance)
    began = time.monotonic()
    stage.driver.stop(instance)
    assert stage.driver.state(instance.id) is State.STOPPED
    assert time.monotonic() - began < 10


def test_the_console_is_ours_to_read_and_goes_with_the_guest(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    stage.last_word(instance)
    console = stage.workspace(instance).console
    assert owner(console) == (os.geteuid(), console.stat().st_gid, 0o600)
    assert b"tiny-guest: uuid=" + instance.id.encode() in stage.driver.console(instance.id, 100_000)


def test_a_console_that_only_root_may_read_is_read_through_libvirt(host: Host, directory: Path) -> None:
    """What virtlogd begins anew after 2 MiB belongs to root."""
    place = directory / "place"
    place.mkdir()
    content = bytes(range(256)) * 1000
    (place / "console.log").write_bytes(content)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, place)
        assert host.read_last(place / "console.log", 700) == content[-700:]
        assert host.read_last(place / "console.log", 10**7) == content
        with pytest.raises(HypervisorRefused):
            host.read_last(place / "nothing", 10)
    with pytest.raises(HypervisorRefused):
        host.read_last(place / "console.log", 10)


def test_an_agent_that_hangs_costs_seconds_and_the_console_is_heard(stage: Stage) -> None:
    """A program in the guest opens the agent's door, and never says a word."""
    hung = b"#!/bin/sh\nfor port in /dev/vport*; do sleep 1000 <>$port & done\n"
    instance = stage.instance(items=(a.an_item(ItemKind.USER_DATA, "user_data"),))
    stage.spawn(instance, a.a_payload(user_data=Secret(hung)))
    assert stage.last_word(instance).witness == "console"
    wait_until(lambda: agent_channel(stage, instance.id) == "connected")
    began = time.monotonic()
    verdict = stage.driver.witness(instance)
    assert time.monotonic() - began < 5
    assert verdict is not None
    assert verdict.state is GuestState.DONE


def agent_channel(stage: Stage, instance_id: str) -> str | None:
    """Whether somebody in the guest has opened the agent's door, as libvirt sees it."""
    host = Host("qemu:///system", 10.0, str(stage.settings.instances_dir))
    domain = host.domain(instance_id)
    assert domain is not None
    target = domain.xml().find("devices/channel/target")
    host.close()
    return None if target is None else target.get("state")


def wait_until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


# a daemon with no rights but libvirt's group


NOBODY = 64711
"""A user and a group that do not exist: no right comes from anywhere else."""


def test_a_daemon_that_may_only_use_libvirt_boots_and_keeps_its_files(directory: Path, host: Host) -> None:
    """State prepared as the operator does it: the user's own, ``instances`` and ``base`` setgid of QEMU's group."""
    state, group = directory / "state", host.qemu_group()
    assert group is not None
    for path, owner_group, mode in (
        (state, NOBODY, 0o711),
        *((state / n, group, 0o2711) for n in ("instances", "base")),
    ):
        path.mkdir()
        os.chown(path, NOBODY, owner_group)
        path.chmod(mode)
    proxy = Proxy(directory / "sock")
    os.chown(proxy.path, NOBODY, NOBODY)
    with a_seat_for_anybody() as seat:
        ended = subprocess.run(
            [seat.python, "-m", "tests.system.unprivileged_guest", str(state), proxy.uri],
            cwd="/",
            env=seat.environment | {"INJECTOR_TEST_GUESTS": str(GUESTS)},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            umask=0o022,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    proxy.close()
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told.pop("console").replace("\r\n", "\n").endswith('injector-guest: {"status": "done"}\n')
    assert told == {
        "quiet": "done",
        "talker": "done",
        "console owner": 0,
        "longer console": 2_200_000,
        "drive is the same": True,
        "not ours": [],
        "wrong mode": [],
        "left": [],
    }
