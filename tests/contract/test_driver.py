"""What every hypervisor driver promises: in memory, on libvirt's own test hypervisor, and on QEMU with a real guest."""

from __future__ import annotations

import hashlib
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from injector.errors import (
    ChannelBroken,
    GuestError,
    HostError,
    HypervisorRefused,
    ImageUnavailable,
    InjectorError,
    InvalidRequest,
    StaleError,
    Undeliverable,
)
from injector.inject.configdrive.reading import read_iso9660
from injector.model.guest import GuestState
from injector.model.host import InjectionPolicy
from injector.model.instance import Instance, State, Step
from injector.model.network import Ipv6Mode
from injector.model.payload import ItemKind
from injector.model.plan import ChannelKind
from injector.model.receipt import Outcome
from injector.model.secret import Secret
from injector.virt.driver import Order
from injector.virt.fake import FakeDriver
from tests import builders as a
from tests.hypervisors import Stage, free_port, in_memory, listeners, on_qemu, on_test_hypervisor

STEPS = (Step.IMAGE, Step.DISK, Step.DEFINE, Step.DELIVER, Step.START)
KINDS = {"fake": in_memory, "libvirt-test": on_test_hypervisor, "libvirt-qemu": on_qemu}
SYSTEM = "libvirt-qemu"

MakeStage = Callable[[InjectionPolicy], Stage]


@pytest.fixture(params=[kind if kind != SYSTEM else pytest.param(kind, marks=pytest.mark.system) for kind in KINDS])
def make_stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStage]:
    """A stage is empty again at its end, whatever the test did on it."""
    with ExitStack() as stages:

        def make(policy: InjectionPolicy) -> Stage:
            stage = stages.enter_context(KINDS[request.param](tmp_path, policy))
            stages.callback(_clear, stage)
            return stage

        yield make


def _clear(stage: Stage) -> None:
    for instance_id in stage.driver.local():
        stage.driver.destroy(instance_id)
    assert stage.leftovers == frozenset()


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    return make_stage(InjectionPolicy())


# a boot


def test_a_boot_goes_in_order_and_delivers_what_was_asked(stage: Stage) -> None:
    instance = stage.instance()
    spawned = stage.spawn(instance)
    assert tuple(stage.steps) == STEPS
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert stage.driver.local() == {instance.id}
    assert (spawned.plan.channel, spawned.plan.drive_bus) == (ChannelKind.CONFIG_DRIVE, "scsi")
    assert {item.name: item.outcome for item in spawned.receipt.items}["metadata"] is Outcome.READ_BACK
    assert spawned.receipt.drive_digest == stage.drive(instance)
    if stage.guest_speaks:
        verdict = stage.last_word(replace(instance, plan=spawned.plan))
        assert (verdict.state, verdict.witness) == (GuestState.DONE, "console"), verdict
    assert stage.driver.facts().guests == 1


def test_a_preview_is_what_the_boot_will_be_and_leaves_nothing(stage: Stage) -> None:
    instance = stage.instance()
    before = stage.leftovers
    preview = stage.preview(instance)
    assert (stage.leftovers, stage.driver.local()) == (before, frozenset())
    spawned = stage.spawn(instance)
    assert preview.plan == spawned.plan
    drive = read_iso9660(stage.workspace(instance).config_drive.read_bytes())
    assert {file.path: file.size for file in preview.files} == {path: len(text) for path, text in drive.items()}
    assert {file.digest for file in preview.files} == {a.a_vault().digest(instance.id, text) for text in drive.values()}
    assert preview.domain_xml.startswith("<domain")
    assert all("hmac-sha256:" in file.digest for file in preview.files)


def test_what_was_fetched_is_there_for_the_boot_and_nothing_else_is(stage: Stage) -> None:
    instance = stage.instance()
    stage.driver.fetch(instance)
    assert stage.driver.local() == frozenset()
    for image in filter(None, (instance.image, instance.kernel, instance.ramdisk)):
        stage.shelf.take_away(image)
    assert stage.spawn(instance).plan is not None
    other = replace(instance, image=replace(instance.image, sha256="0" * 64))
    with pytest.raises(ImageUnavailable):
        stage.driver.fetch(other)
    assert stage.driver.state(instance.id) is State.ACTIVE


LOOK_AT_DEVICES = b"""#!/bin/sh
place() { basename $(readlink -f $1/device/..); }
for card in /sys/class/net/e*; do echo "card $(cat $card/address) $(place $card)"; done
echo "disk $(cat /sys/block/vda/serial) $(place /sys/block/vda)"
"""


def test_devices_with_a_role_are_told_where_the_guest_finds_them(stage: Stage) -> None:
    plain = stage.instance()
    tagged = replace(plain, nics=(replace(plain.nics[0], tag="front"),), disk_tag="os")
    roles = a.an_item(ItemKind.DEVICES, "devices")
    instance = replace(tagged, items=(*plain.items, roles))
    spawned = stage.spawn(instance, a.a_payload(user_data=Secret(LOOK_AT_DEVICES)))
    assert {item.name: item.outcome for item in spawned.receipt.items}["devices"] is Outcome.READ_BACK
    drive = read_iso9660(stage.workspace(instance).config_drive.read_bytes())
    disk, nic = json.loads(drive["openstack/latest/meta_data.json"])["devices"]
    assert (disk["type"], disk["tags"], disk["serial"]) == ("disk", ["os"], instance.id.replace("-", "")[:20])
    assert (nic["type"], nic["tags"], nic["mac"]) == ("nic", ["front"], instance.nics[0].mac)
    if stage.driver.facts().hypervisor == "QEMU":
        stage.last_word(replace(instance, plan=spawned.plan))
        seen = stage.driver.console(instance.id, 10_000).decode()
        assert f"card {nic['mac']} {nic['address']}" in seen
        assert f"disk {disk['serial']} {disk['address']}" in seen


def test_a_user_network_has_the_ipv6_range_that_was_promised(stage: Stage) -> None:
    slaac = a.a_dhcp_subnet(cidr="fd5c:a1ab:1e::/64", ipv6_mode=Ipv6Mode.SLAAC)
    network = a.a_network(subnets=(a.a_dhcp_subnet(cidr="10.0.2.0/24"), slaac))
    plain = stage.instance()
    nic = replace(plain.nics[0], network=network, addresses=tuple(map(a.an_address, network.subnets)))
    instance = replace(plain, nics=(nic,), forwards=())
    # Down and up: the guest's DHCP client has taken its link-local address away.
    look = b"#!/bin/sh\nip link set eth0 down; ip link set eth0 up; sleep 4; cat /proc/net/if_inet6\n"
    spawned = stage.spawn(instance, a.a_payload(user_data=Secret(look)))
    if stage.driver.facts().hypervisor == "QEMU":
        stage.last_word(replace(instance, plan=spawned.plan))
        assert b"fd5ca1ab001e0000" in stage.driver.console(instance.id, 10_000)


def test_a_guest_with_nothing_to_inject_gets_no_drive(make_stage: MakeStage) -> None:
    stage = make_stage(InjectionPolicy(force_config_drive=False))
    instance = stage.instance(asked_metadata={}, items=())
    spawned = stage.spawn(instance)
    assert spawned.plan.channel is ChannelKind.NONE
    assert (spawned.receipt.items, spawned.receipt.drive_digest) == ((), None)
    assert not stage.workspace(instance).config_drive.exists()
    assert stage.driver.state(instance.id) is State.ACTIVE


def test_guests_share_a_base_image_that_stays_as_it_is(stage: Stage) -> None:
    first, second = stage.instance(), stage.instance()
    stage.spawn(first)
    base = next(path for path in stage.settings.base_dir.iterdir() if path.name.endswith(".qcow2"))
    before = (base.stat().st_uid, base.stat().st_gid, base.stat().st_mode, base.stat().st_mtime_ns)
    drive = (stage.drive(first), stage.workspace(first).config_drive.stat().st_mode & 0o777)
    stage.spawn(second)
    stage.driver.destroy(second.id)
    assert drive == (stage.drive(first), 0o440)
    after = base.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == before[:3]
    assert after.st_mode & 0o777 == 0o440
    assert stage.driver.state(first.id) is State.ACTIVE


def test_boots_at_once_do_not_meet(stage: Stage) -> None:
    instances = [stage.instance() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        receipts = [spawned.receipt.drive_digest for spawned in pool.map(stage.spawn, instances)]
    assert receipts == [stage.drive(instance) for instance in instances]
    assert stage.driver.local() == {instance.id for instance in instances}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(stage.driver.destroy, [instance.id for instance in instances]))
    assert stage.leftovers == frozenset()


# failures


@pytest.mark.parametrize("step", STEPS)
def test_a_boot_let_go_at_any_step_leaves_nothing(stage: Stage, step: Step) -> None:
    def enter(entered: Step) -> None:
        if entered is step:
            raise StaleError("the world moved on")

    instance = stage.instance()
    with pytest.raises(StaleError, match="moved on"):
        stage.driver.spawn(Order(instance, a.a_payload()), enter)
    assert stage.driver.state(instance.id) is None
    assert stage.leftovers == frozenset()
    assert listeners(instance.forwards[0].host_port) == set()
    stage.spawn(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE


def no_image(stage: Stage) -> Instance:
    stage.shelf.take_away(stage.images["root"])
    return stage.instance()


def too_large_an_image(stage: Stage) -> Instance:
    instance = stage.instance(flavor=a.a_flavor(ram=128, disk=1))
    return replace(instance, image=replace(instance.image, virtual_size=2 * 1024**3))


def another_mode_for_a_file(stage: Stage) -> Instance:
    return stage.instance(items=(a.an_item(ItemKind.FILE, "/etc/motd", mode=0o600),))


def a_meaningless_machine(stage: Stage) -> Instance:
    return stage.instance({"hw_machine_type": "abacus"})


def a_drive_in_the_way(stage: Stage) -> Instance:
    instance = stage.instance()
    stage.workspace(instance).config_drive.mkdir(parents=True)
    return instance


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (no_image, ImageUnavailable),
        (too_large_an_image, InvalidRequest),
        (another_mode_for_a_file, Undeliverable),
        (a_meaningless_machine, GuestError),
        (a_drive_in_the_way, ChannelBroken),
    ],
)
def test_a_boot_that_fails_leaves_nothing(
    stage: Stage, spoil: Callable[[Stage], Instance], error: type[InjectorError]
) -> None:
    instance = spoil(stage)
    with pytest.raises(error) as failure:
        stage.spawn(instance)
    assert "/" not in failure.value.message.replace("/etc/motd", "")
    assert stage.driver.state(instance.id) is None
    assert stage.leftovers == frozenset()


def test_a_start_that_fails_leaves_nothing(stage: Stage) -> None:
    """The drive vanishes after it was delivered: the hypervisor finds out at the last moment, if it opens files."""
    instance = stage.instance()

    def enter(step: Step) -> None:
        if step is Step.START:
            stage.workspace(instance).config_drive.unlink()

    if stage.guest_speaks:
        with pytest.raises(HypervisorRefused) as refused:
            stage.driver.spawn(Order(instance, a.a_payload()), enter)
        assert "/" not in refused.value.message
        assert stage.leftovers == frozenset()
    else:
        stage.driver.spawn(Order(instance, a.a_payload()), enter)
        assert stage.driver.state(instance.id) is State.ACTIVE


def test_a_guest_that_is_there_is_not_made_again_and_not_harmed(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    before = stage.drive(instance)
    with pytest.raises(HypervisorRefused):
        stage.spawn(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert stage.drive(instance) == before


def test_destroy_leaves_nothing_and_may_be_repeated(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    stage.driver.destroy(instance.id)
    assert stage.leftovers == frozenset()
    assert stage.driver.state(instance.id) is None
    assert listeners(instance.forwards[0].host_port) == set()
    stage.driver.destroy(instance.id)
    stage.driver.destroy(str(uuid.uuid4()))


def test_a_directory_without_a_guest_is_found_and_destroyed(stage: Stage) -> None:
    """What a daemon that was killed in an early step leaves."""
    instance = stage.instance()
    stage.workspace(instance).path.mkdir()
    stage.workspace(instance).journal.write_text("{}")
    assert stage.driver.local() == {instance.id}
    assert stage.driver.state(instance.id) is None
    stage.driver.destroy(instance.id)
    assert stage.leftovers == frozenset()


# an interrupted boot


def test_a_running_guest_with_its_receipt_is_recalled(stage: Stage) -> None:
    instance = stage.instance()
    assert stage.driver.recall(instance) is None
    spawned = stage.spawn(instance)
    assert stage.driver.recall(instance) == spawned
    assert stage.driver.recall(replace(instance, attempt=2)) is None


def test_a_boot_without_receipt_or_not_running_is_not_recalled(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    kept = stage.workspace(instance).delivered.read_bytes()
    for content in (b"", b"{", b"[]", b'{"attempt": 1}', kept.replace(b"Receipt", b"Recipe")):
        stage.workspace(instance).delivered.write_bytes(content)
        assert stage.driver.recall(instance) is None
    stage.workspace(instance).delivered.write_bytes(kept)
    if stage.guest_speaks:
        stage.last_word(instance)
    stage.driver.stop(instance)
    assert stage.driver.recall(instance) is None


# power


def test_stop_and_start(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    drive = stage.drive(instance)
    if stage.guest_speaks:
        stage.last_word(instance)
    stage.driver.stop(instance)
    assert stage.driver.state(instance.id) is State.STOPPED
    stage.driver.stop(instance)
    assert stage.driver.local() == {instance.id}
    assert bool(stage.driver.console(instance.id, 1000)) is stage.guest_speaks
    stage.driver.start(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    stage.driver.start(instance)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert stage.drive(instance) == drive


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_reboot_leaves_the_drive_as_it_is(stage: Stage, hard: bool) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    drive = stage.drive(instance)
    if stage.guest_speaks:
        stage.last_word(instance)
    stage.driver.reboot(instance, hard=hard)
    assert stage.driver.state(instance.id) is State.ACTIVE
    assert stage.drive(instance) == drive
    if stage.guest_speaks:
        assert stage.last_word(instance).state is GuestState.DONE
        assert stage.driver.console(instance.id, 100_000).count(b'injector-guest: {"status": "done"}') == 2


def test_a_hard_reboot_starts_a_stopped_guest(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    if stage.guest_speaks:
        stage.last_word(instance)
    stage.driver.stop(instance)
    stage.driver.reboot(instance, hard=True)
    assert stage.driver.state(instance.id) is State.ACTIVE


def test_a_guest_the_hypervisor_does_not_know_has_no_power(stage: Stage) -> None:
    instance = stage.instance()
    assert stage.driver.state(instance.id) is None
    for act in (
        stage.driver.start,
        stage.driver.stop,
        lambda one: stage.driver.reboot(one, hard=False),
        lambda one: stage.driver.reboot(one, hard=True),
    ):
        with pytest.raises(HostError):
            act(instance)
    stage.driver.mend_forwards(instance)
    assert stage.leftovers == frozenset()


# forwards


def test_a_forward_is_open_on_the_loopback_only_while_the_guest_runs(stage: Stage) -> None:
    instance = stage.instance()
    port = instance.forwards[0].host_port
    open_while_running = {"127.0.0.1"} if stage.opens_forwards else set()
    stage.spawn(instance)
    assert listeners(port) == open_while_running
    stage.driver.mend_forwards(instance)
    assert listeners(port) == open_while_running
    stage.driver.reboot(instance, hard=True)
    assert listeners(port) == open_while_running
    assert stage.ports.taken == []
    stage.driver.destroy(instance.id)
    assert listeners(port) == set()


def test_a_forward_of_the_record_that_is_missing_is_mended(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(replace(instance, forwards=()))
    assert listeners(instance.forwards[0].host_port) == set()
    stage.driver.mend_forwards(instance)
    assert listeners(instance.forwards[0].host_port) == ({"127.0.0.1"} if stage.opens_forwards else set())


def test_a_port_that_a_stranger_holds_is_replaced(stage: Stage) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        instance = stage.instance()
        instance = replace(instance, forwards=(replace(instance.forwards[0], host_port=port),))
        stage.spawn(instance)
    assert stage.ports.taken == (list(instance.forwards) if stage.opens_forwards else [])


def test_a_boot_without_a_port_for_its_forward_leaves_nothing(stage: Stage) -> None:
    stage.ports.stuck = True
    instance = stage.instance()
    with socket.create_server(("127.0.0.1", instance.forwards[0].host_port)):
        if stage.opens_forwards:
            with pytest.raises(HypervisorRefused, match="no free port"):
                stage.spawn(instance)
            assert stage.leftovers == frozenset()
        else:
            stage.spawn(instance)
    assert listeners(instance.forwards[0].host_port) == set()


# what the guest says


def test_the_console_of_a_guest_that_is_not_there_is_empty(stage: Stage) -> None:
    instance = stage.instance()
    assert stage.driver.console(instance.id, 1000) == b""
    assert stage.driver.witness(instance) is None


def test_the_console_gives_its_end(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    if stage.guest_speaks:
        stage.last_word(instance)
    whole = stage.driver.console(instance.id, 10_000_000)
    assert stage.driver.console(instance.id, 10) == whole[-10:]
    assert stage.driver.console(instance.id, 0) == b""
    assert bool(whole) is stage.guest_speaks


def test_what_was_said_before_a_restart_is_no_witness_after_it(stage: Stage) -> None:
    instance = stage.instance()
    stage.spawn(instance)
    if stage.guest_speaks:
        stage.last_word(instance)
        stage.driver.reboot(instance, hard=True)
        # The guest of the fake has booted by now; a real one has not come as far as its first word.
        assert (stage.driver.witness(instance) is None) is not isinstance(stage.driver, FakeDriver)
        assert stage.last_word(instance).state is GuestState.DONE


def test_the_facts_are_the_hosts(stage: Stage) -> None:
    facts = stage.driver.facts()
    assert facts.name == "testhost"
    assert facts.vcpus > 0
    assert facts.memory_mib > 0
    assert facts.disk_gib > 0
    assert facts.guests == 0
    assert facts.virt.reason
    assert facts.policy == stage.settings.policy
    assert {carriage.channel for carriage in facts.carriages} == {ChannelKind.CONFIG_DRIVE}


def test_the_digest_of_the_drive_says_what_the_guest_will_read(stage: Stage) -> None:
    """The same record gives the same drive: a build begun again delivers the same bytes."""
    instance = stage.instance()
    first = stage.spawn(instance).receipt
    content = stage.workspace(instance).config_drive.read_bytes()
    assert first.drive_digest == hashlib.sha256(content).hexdigest()
    stage.driver.destroy(instance.id)
    assert stage.spawn(instance).receipt == first
