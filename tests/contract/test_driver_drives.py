"""Generations of the config drive, over every driver: new files, given where they can be, made again when lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from injector.errors import HostError, HypervisorRefused, NotFound
from injector.inject.configdrive.reading import read_iso9660
from injector.model.generation import IdPolicy
from injector.model.host import InjectionPolicy
from injector.model.instance import Instance, State
from injector.model.payload import ItemKind
from injector.model.receipt import Outcome
from injector.model.secret import Secret
from tests import builders as a
from tests.contract.test_driver import KINDS, SYSTEM
from tests.hypervisors import NOW, Stage

NEW_ID = "5ca1ab1e-ffff-4000-8000-000000000001"


@pytest.fixture(params=[kind if kind != SYSTEM else pytest.param(kind, marks=pytest.mark.system) for kind in KINDS])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stages:
        made = stages.enter_context(KINDS[request.param](tmp_path, InjectionPolicy()))
        stages.callback(_clear, made)
        yield made


def _clear(stage: Stage) -> None:
    for instance_id in stage.driver.local():
        stage.driver.destroy(instance_id)


def on_drive(stage: Stage, instance: Instance, number: int | None = None) -> dict[str, Any]:
    tree = read_iso9660(stage.file(instance, number).read_bytes())
    document: dict[str, Any] = json.loads(tree["openstack/latest/meta_data.json"])
    return document


def booted(stage: Stage, instance: Instance) -> None:
    """Only then a guest hears that it is to power off."""
    if stage.guest_speaks:
        stage.last_word(instance)


# the next generation


@pytest.mark.parametrize(("policy", "uuid"), [(IdPolicy.KEEP, None), (IdPolicy.NEW, NEW_ID)])
def test_the_next_generation_is_a_new_file_that_says_what_the_record_says_now(
    stage: Stage, policy: IdPolicy, uuid: str | None
) -> None:
    first = stage.launch(stage.instance())
    before = stage.file(first, 1).read_bytes()
    changed = replace(first, metadata={"role": "changed"})
    second, given = stage.refresh(changed, policy=policy, uuid=uuid)
    assert (given.generation.number, given.generation.policy, given.generation.made_at) == (2, policy, NOW)
    assert stage.file(first, 1).read_bytes() == before
    assert given.generation.receipt.drive_digest == stage.drive(second)
    said = on_drive(stage, second)
    assert (said["meta"], said["uuid"]) == ({"role": "changed"}, uuid or first.id)
    assert said["random_seed"] == on_drive(stage, first, 1)["random_seed"]
    assert given.generation.uuid == said["uuid"]
    items = {item.kind: item.outcome for item in given.generation.receipt.items}
    assert items[ItemKind.METADATA] is Outcome.READ_BACK
    assert stage.file(second).stat().st_mode & 0o777 == 0o440
    assert stage.driver.state(first.id) is State.ACTIVE


def test_the_roles_of_devices_stay(stage: Stage) -> None:
    plain = stage.instance()
    roles = a.an_item(ItemKind.DEVICES, "devices")
    tagged = replace(plain, nics=(replace(plain.nics[0], tag="front"),), disk_tag="os", items=(*plain.items, roles))
    first = stage.launch(tagged)
    second, given = stage.refresh(first)
    assert ItemKind.DEVICES in {item.kind for item in given.generation.receipt.items}
    assert on_drive(stage, second)["devices"] == on_drive(stage, first, 1)["devices"]


def test_metadata_that_is_gone_or_new_is_on_the_receipt_or_not(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    bare, given = stage.refresh(replace(first, metadata={}))
    assert ItemKind.METADATA not in {item.kind for item in given.generation.receipt.items}
    assert "meta" not in on_drive(stage, bare)
    _, given = stage.refresh(replace(bare, metadata={"back": "again"}))
    assert ItemKind.METADATA in {item.kind for item in given.generation.receipt.items}


@pytest.mark.parametrize(("bus", "live"), [("scsi", True), ("virtio", False)])
def test_a_running_guest_has_it_where_its_bus_allows_that(stage: Stage, bus: str, live: bool) -> None:
    first = stage.launch(stage.instance({"hw_cdrom_bus": bus}))
    live = live and stage.changes_media
    second, given = stage.refresh(first)
    assert given.inserted == (2 if live else 1)
    stage.driver.reboot(second, hard=True)
    assert stage.file(second).exists()
    _, again = stage.refresh(second, number=2, policy=None)
    assert again.inserted == 2


def test_a_guest_that_is_off_comes_up_with_it(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    booted(stage, first)
    stage.driver.stop(first)
    second, given = stage.refresh(first, running=False)
    assert given.inserted == 0
    stage.file(first, 1).unlink()
    stage.driver.start(second)
    assert stage.driver.state(first.id) is State.ACTIVE
    if stage.guest_speaks:
        assert stage.last_word(second).state.final


def test_a_refresh_begun_again_gives_the_same(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    changed = replace(first, metadata={"role": "changed"})
    second, given = stage.refresh(changed)
    _, again = stage.refresh(changed)
    assert again.generation == given.generation
    stage.file(second).unlink()
    _, anew = stage.refresh(changed)
    assert anew.generation.receipt == given.generation.receipt
    later = datetime(2026, 6, 1, tzinfo=UTC)
    _, other = stage.refresh(changed, at=later)
    assert (other.generation.number, other.generation.made_at) == (2, later)


def test_a_refresh_that_fails_leaves_the_old_drive_in_place(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    before = stage.drive(first)
    stage.file(first, 2).mkdir()
    (stage.file(first, 2) / "in the way").touch()
    with pytest.raises(HostError, match="could not be made"):
        stage.refresh(first)
    assert not stage.workspace(first).renewed.exists()
    assert stage.driver.state(first.id) is State.ACTIVE
    assert (stage.drive(first), stage.driver.verify(first).differences) == (before, ())
    stage.driver.reboot(first, hard=True)
    assert stage.driver.state(first.id) is State.ACTIVE


def test_a_guest_that_the_hypervisor_does_not_know_is_given_nothing(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    stage.driver.destroy(instance.id)
    with pytest.raises(HypervisorRefused):
        stage.refresh(instance)
    assert stage.leftovers == frozenset()


# back again


def test_going_back_gives_the_earlier_drive_again(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    digest = stage.drive(first)
    second, _ = stage.refresh(replace(first, metadata={"role": "changed"}))
    back, given = stage.refresh(second, number=1, policy=None)
    assert (given.generation.number, stage.drive(back)) == (1, digest)
    assert stage.driver.verify(back).intact


def test_an_earlier_drive_whose_file_is_gone_is_made_again_to_the_byte(stage: Stage) -> None:
    """Whatever the operator has changed since, and the caller."""
    first = stage.launch(stage.instance())
    content = stage.file(first, 1).read_bytes()
    second, _ = stage.refresh(replace(first, metadata={"role": "changed"}))
    stage.file(first, 1).unlink()
    back, _ = stage.refresh(second, number=1, policy=None)
    assert stage.file(back).read_bytes() == content
    assert stage.driver.verify(back).made_again is not None


def test_what_cannot_be_made_again_as_it_was_changes_nothing(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    second, _ = stage.refresh(replace(first, metadata={"role": "changed"}))
    stage.records.keep(first, a.a_payload(random_seed=Secret(b"another" * 80)), None)
    for number in (1, 2):
        stage.records.add(first.id, stage.generation(first.id, number))
    stage.file(first, 1).unlink()
    with pytest.raises(HostError, match="cannot be made again"):
        stage.refresh(second, number=1, policy=None)
    assert not stage.file(first, 1).exists()
    assert stage.driver.verify(second).intact


def test_a_generation_that_is_kept_no_more_cannot_be_gone_back_to(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    second, _ = stage.refresh(first)
    stage.records.forget(first.id, 1)
    with pytest.raises(NotFound, match="Generation 1"):
        stage.refresh(second, number=1, policy=None)


def test_only_what_is_kept_stays_on_the_host(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    second, _ = stage.refresh(first)
    third, _ = stage.refresh(second)
    stage.records.forget(first.id, 1)
    stage.driver.prune(first.id, inserted=2)
    left = {path.name for path in stage.workspace(first).path.glob("disk.config*")}
    assert left == {"disk.config.2", "disk.config.3"}
    stage.records.forget(first.id, 2)
    stage.driver.prune(first.id, inserted=2)
    assert stage.file(third, 2).exists(), "the guest runs with it"
    stage.driver.prune(first.id, inserted=3)
    assert {path.name for path in stage.workspace(first).path.glob("disk.config*")} == {"disk.config.3"}


# a drive that is lost


def gone(drive: Path) -> None:
    drive.unlink()


def altered(drive: Path) -> None:
    content = drive.read_bytes()
    drive.unlink()
    drive.write_bytes(content.replace(b"role", b"ROLE"))


@pytest.mark.parametrize("spoil", [gone, altered])
@pytest.mark.parametrize("action", ["start", "hard reboot"])
def test_a_lost_drive_is_made_again_before_the_guest_starts(
    stage: Stage, spoil: Callable[[Path], None], action: str
) -> None:
    instance = stage.launch(stage.instance())
    digest = stage.drive(instance)
    booted(stage, instance)
    if action == "start":
        stage.driver.stop(instance)
    spoil(stage.file(instance))
    assert not stage.driver.verify(instance).intact
    if action == "start":
        stage.driver.start(instance)
    else:
        stage.driver.reboot(instance, hard=True)
    assert stage.drive(instance) == digest
    found = stage.driver.verify(instance)
    assert (found.generation, found.differences) == (1, ())
    assert found.made_again is not None
    assert {path.name for path in stage.workspace(instance).path.glob("disk.config*")} == {"disk.config"}
    if stage.guest_speaks:
        assert stage.last_word(instance).state.final


def test_a_drive_that_is_there_is_not_asked_for(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    stage.driver.reboot(instance, hard=True)
    assert stage.records.asked == 0
    assert stage.driver.verify(instance).made_again is None


def test_a_guest_whose_drive_cannot_be_made_again_is_not_started_with_another(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    booted(stage, instance)
    stage.driver.stop(instance)
    altered(stage.file(instance))
    content = stage.file(instance).read_bytes()
    first = stage.generation(instance.id, 1)
    stage.records.keep(instance, a.a_payload(random_seed=Secret(b"another" * 80)), first)
    with pytest.raises(HostError, match="cannot be made again"):
        stage.driver.start(instance)
    assert stage.driver.state(instance.id) is State.STOPPED
    assert stage.file(instance).read_bytes() == content


def test_a_guest_starts_with_the_drive_of_its_record_whatever_its_definition_names(stage: Stage) -> None:
    """A refresh may have failed after it had reached the hypervisor."""
    first = stage.launch(stage.instance())
    booted(stage, first)
    stage.driver.stop(first)
    stage.refresh(replace(first, metadata={"role": "changed"}), policy=IdPolicy.NEW, uuid=NEW_ID, running=False)
    stage.file(first, 2).unlink()
    stage.driver.start(first)
    assert stage.driver.state(first.id) is State.ACTIVE
    _, given = stage.refresh(first, number=1, policy=None)
    assert given.inserted == 1


# verify


def test_an_altered_item_is_named(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    assert stage.driver.verify(instance).intact
    altered(stage.file(instance))
    found = stage.driver.verify(instance)
    assert any("metadata" in sentence for sentence in found.differences), found
    gone(stage.file(instance))
    assert stage.driver.verify(instance).differences == ("the config drive is gone",)


def test_the_current_generation_is_the_one_that_is_verified(stage: Stage) -> None:
    first = stage.launch(stage.instance())
    second, _ = stage.refresh(first)
    stage.file(first, 1).unlink()
    assert stage.driver.verify(second).intact
    assert stage.driver.verify(second).generation == 2


def test_a_guest_without_a_drive_has_nothing_to_verify(stage: Stage) -> None:
    instance = stage.launch(stage.instance())
    with pytest.raises(NotFound, match="no config drive"):
        stage.driver.verify(replace(instance, generation=0))


def test_the_digest_of_a_generation_is_that_of_its_file(stage: Stage) -> None:
    second, given = stage.refresh(stage.launch(stage.instance()))
    assert hashlib.sha256(stage.file(second, 2).read_bytes()).hexdigest() == given.generation.receipt.drive_digest
