"""The choice, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from injector.errors import InvalidRequest, Undeliverable
from injector.inject.bus import drive_bus, drive_device
from injector.inject.plan import Asked, asked_by_instance, asked_by_request, canonical, choose, describe, items_of
from injector.model.boot import NicOrder
from injector.model.facts import Agent, ImageFacts, Partition, Root
from injector.model.host import InjectionPolicy
from injector.model.image import Image
from injector.model.payload import Item, ItemKind
from injector.model.plan import Carriage, ChannelKind
from injector.model.secret import Secret
from tests import builders as a

DRIVE = Carriage(ChannelKind.CONFIG_DRIVE, frozenset(ItemKind))
PARTITION = Carriage(
    ChannelKind.PARTITION,
    frozenset({ItemKind.KEY, ItemKind.FILE, ItemKind.METADATA, ItemKind.NETWORK, ItemKind.PASSWORD}),
    any_mode=True,
    back_ends=("ext", "guestfs"),
)
MANDATORY = a.an_image(properties={"img_config_drive": "mandatory"})
FILE = a.an_item()
USER_DATA = Item(ItemKind.USER_DATA, "user_data", 9)
KEY = Item(ItemKind.KEY, "laptop", 80)
PASSWORD = Item(ItemKind.PASSWORD, "password", 0)


def asked(*items: Item, **changes: Any) -> Asked:
    values: dict[str, Any] = {"items": items, "image": a.an_image()}
    agent = changes.pop("agent", None)
    if agent is not None:
        values["facts"] = ImageFacts("none", agent=agent)
    return Asked(**(values | changes))


def policy(**changes: Any) -> InjectionPolicy:
    values: dict[str, Any] = {"force_config_drive": False, "inject_partition": -2}
    return InjectionPolicy(**(values | changes))


@pytest.mark.parametrize(
    ("facts", "rules", "reason"),
    [
        (asked(config_drive=True), policy(), "request"),
        (asked(image=MANDATORY), policy(), "image"),
        (asked(), policy(force_config_drive=True), "operator"),
        (asked(config_drive=True), policy(inject_partition=-1), "request"),
        (asked(config_drive=True, first_build=False), policy(), "request"),
        (asked(image=MANDATORY, first_build=False), policy(), "image"),
        (asked(FILE, config_drive=True), policy(inject_partition=1), "request"),
    ],
)
def test_a_wanted_drive_is_made_whatever_inject_partition_says(
    facts: Asked, rules: InjectionPolicy, reason: str
) -> None:
    plan = choose(facts, rules, (DRIVE, PARTITION))
    assert plan.channel is ChannelKind.CONFIG_DRIVE
    assert plan.items == facts.items
    assert reason in plan.reason


@pytest.mark.parametrize("number", [-2, -1, 0, 1])
def test_without_a_drive_and_with_nothing_asked_no_channel_is_used(number: int) -> None:
    plan = choose(asked(), policy(inject_partition=number), (DRIVE, PARTITION))
    assert plan.channel is ChannelKind.NONE
    assert "nothing to inject" in plan.reason
    assert plan.drive_bus is None


def test_a_forced_drive_binds_first_builds_only() -> None:
    plan = choose(asked(first_build=False), policy(force_config_drive=True), (DRIVE,))
    assert plan.channel is ChannelKind.NONE


@pytest.mark.parametrize("item", [FILE, USER_DATA, KEY, PASSWORD, Item(ItemKind.NETWORK, "network", 0)])
def test_without_a_drive_and_with_partitions_off_anything_asked_is_refused(item: Item) -> None:
    with pytest.raises(Undeliverable, match="inject_partition is -2"):
        choose(asked(item), policy(), (DRIVE, PARTITION))


@pytest.mark.parametrize(("number", "how"), [(-1, "inspection"), (0, "whole disk"), (3, "partition 3")])
def test_the_partition_is_named_in_the_reason(number: int, how: str) -> None:
    plan = choose(asked(FILE), policy(inject_partition=number), (DRIVE, PARTITION))
    assert plan.channel is ChannelKind.PARTITION
    assert how in plan.reason
    assert plan.items == (FILE,)
    assert plan.drive_bus is None


def test_a_host_without_partition_injection_refuses_it_by_its_carriages() -> None:
    with pytest.raises(Undeliverable, match=r"file '/etc/motd' cannot be delivered: .* does not offer partition"):
        choose(asked(FILE), policy(inject_partition=-1), (DRIVE,))


def test_a_host_that_cannot_make_drives_refuses_even_an_empty_one() -> None:
    with pytest.raises(Undeliverable, match="cannot make one") as refusal:
        choose(asked(config_drive=True), policy(), (PARTITION,))
    assert refusal.value.field == "config_drive"


def test_the_refusal_names_every_item_and_the_field_of_the_first() -> None:
    partition = policy(inject_partition=1)
    with pytest.raises(Undeliverable) as refusal:
        choose(asked(USER_DATA, FILE, KEY, PASSWORD), partition, (PARTITION,))
    assert refusal.value.message == (
        "user-data cannot be delivered: partition injection does not carry it; "
        "key 'laptop' cannot be delivered: the operator does not allow keys to be injected (inject_key); "
        "the password cannot be delivered: the operator does not allow passwords to be injected (inject_password)"
    )
    assert refusal.value.field == "user_data"


def test_items_with_the_same_obstacle_are_named_together() -> None:
    with pytest.raises(Undeliverable, match="file '/etc/motd', user-data, key 'laptop' cannot be delivered: "):
        choose(asked(FILE, USER_DATA, KEY), policy(), ())


def test_key_and_password_go_through_the_partition_where_the_operator_allows_it() -> None:
    rules = policy(inject_partition=1, inject_key=True, inject_password=True)
    assert choose(asked(KEY, PASSWORD), rules, (PARTITION,)).items == (KEY, PASSWORD)


@pytest.mark.parametrize(("mode", "owner"), [(None, None), (0o660, None), (None, "root"), (0o660, "root:root")])
def test_the_drive_takes_files_as_their_reader_writes_them(mode: int | None, owner: str | None) -> None:
    item = replace(FILE, mode=mode, owner=owner)
    assert choose(asked(item, config_drive=True), policy(), (DRIVE,)).items == (item,)


@pytest.mark.parametrize(("mode", "owner"), [(0o644, None), (None, "www-data"), (0, None)])
def test_the_drive_refuses_another_mode_or_owner_and_the_partition_takes_it(
    mode: int | None, owner: str | None
) -> None:
    item = replace(FILE, mode=mode, owner=owner)
    with pytest.raises(Undeliverable, match="0660 root"):
        choose(asked(item, config_drive=True), policy(), (DRIVE,))
    assert choose(asked(item), policy(inject_partition=1), (PARTITION,)).items == (item,)


def test_a_drive_for_an_image_without_agent_is_refused_naming_the_items() -> None:
    with pytest.raises(Undeliverable, match=r"key 'laptop', file '/etc/motd' cannot be delivered: .* no agent"):
        choose(asked(KEY, FILE, config_drive=True, agent=Agent.NO), policy(), (DRIVE,))


@pytest.mark.parametrize(("agent", "said"), [(None, True), (Agent.UNKNOWN, True), (Agent.YES, False)])
def test_the_reason_says_when_nobody_knows_of_an_agent(agent: Agent | None, said: bool) -> None:
    plan = choose(asked(FILE, config_drive=True, agent=agent), policy(), (DRIVE,))
    assert ("is not known" in plan.reason) is said


def test_best_effort_items_are_left_out_with_the_reason() -> None:
    optional = replace(USER_DATA, required=False)
    plan = choose(asked(FILE, optional), policy(inject_partition=1), (PARTITION,))
    assert plan.items == (FILE,)
    assert [(left.item, left.reason) for left in plan.left_out] == [(optional, "partition injection does not carry it")]


def test_under_warn_required_items_are_left_out_too() -> None:
    plan = choose(asked(FILE, KEY), policy(undeliverable="warn"), (DRIVE,))
    assert plan.channel is ChannelKind.NONE
    assert [left.item for left in plan.left_out] == [FILE, KEY]


def test_one_required_item_is_enough_to_refuse_and_only_required_ones_are_named() -> None:
    with pytest.raises(Undeliverable) as refusal:
        choose(asked(replace(FILE, required=False), KEY), policy(), (DRIVE,))
    assert "key 'laptop'" in refusal.value.message
    assert "/etc/motd" not in refusal.value.message


def test_a_path_cannot_forge_the_message() -> None:
    with pytest.raises(Undeliverable) as refusal:
        choose(asked(a.an_item(name="/a\n\x1b[31mok")), policy(), (DRIVE,))
    assert "file '/a ok'" in refusal.value.message


def test_an_unknown_img_config_drive_is_refused() -> None:
    image = a.an_image(properties={"img_config_drive": "always"})
    with pytest.raises(InvalidRequest) as refusal:
        choose(asked(image=image), policy(), (DRIVE,))
    assert refusal.value.field == "img_config_drive"


def test_request_and_record_of_the_same_guest_choose_the_same() -> None:
    request = a.a_boot_request(items=(KEY, FILE), config_drive=True)
    instance = a.an_instance(items=(KEY, FILE), config_drive=True)
    assert asked_by_request(request) == asked_by_instance(instance)


def test_a_guest_that_ran_before_is_no_first_build() -> None:
    assert not asked_by_instance(a.an_instance(launched_at=a.NOON)).first_build


@pytest.mark.parametrize(
    ("properties", "bus", "device", "live"),
    [
        ({}, "scsi", "cdrom", True),
        ({"os_type": "linux"}, "scsi", "cdrom", True),
        ({"os_type": "windows"}, "sata", "cdrom", True),
        ({"os_type": "windows", "hw_cdrom_bus": "scsi"}, "scsi", "cdrom", True),
        ({"hw_cdrom_bus": "virtio"}, "virtio", "disk", False),
        ({"hw_cdrom_bus": "usb"}, "usb", "cdrom", False),
        ({"hw_cdrom_bus": "sata"}, "sata", "cdrom", True),
        ({"hw_cdrom_bus": "ide", "hw_machine_type": "pc"}, "ide", "cdrom", True),
        ({"hw_cdrom_bus": "ide", "hw_machine_type": "pc-i440fx-7.2"}, "ide", "cdrom", True),
    ],
)
def test_the_bus_of_the_drive(properties: dict[str, str], bus: str, device: str, live: bool) -> None:
    plan = choose(asked(image=a.an_image(properties=properties), config_drive=True), policy(), (DRIVE,))
    assert (plan.drive_bus, plan.medium_changes_live, plan.drive_format) == (bus, live, "iso9660")
    assert drive_device(bus, "iso9660") == device


@pytest.mark.parametrize(
    ("properties", "bus"),
    [({}, "virtio"), ({"hw_disk_bus": "scsi", "hw_cdrom_bus": "sata"}, "scsi"), ({"os_type": "windows"}, "virtio")],
)
def test_a_drive_of_vfat_is_a_disk_like_the_others_and_never_changes_live(properties: dict[str, str], bus: str) -> None:
    image = a.an_image(properties=properties)
    plan = choose(asked(image=image, config_drive=True), policy(drive_format="vfat"), (DRIVE,))
    assert (plan.drive_bus, plan.medium_changes_live, plan.drive_format) == (bus, False, "vfat")
    assert drive_device(bus, "vfat") == "disk"


@pytest.mark.parametrize(
    "properties",
    [
        {"hw_cdrom_bus": "floppy"},
        {"hw_cdrom_bus": ""},
        {"hw_cdrom_bus": "ide"},
        {"hw_cdrom_bus": "ide", "hw_machine_type": "q35"},
        {"hw_cdrom_bus": "ide", "hw_machine_type": "pc-q35-7.2"},
    ],
)
def test_a_bus_that_cannot_be_is_refused(properties: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        drive_bus(a.an_image(properties=properties))
    assert refusal.value.field == "hw_cdrom_bus"


def test_everything_asked_for_becomes_an_item() -> None:
    payload = a.a_payload(
        user_data=Secret(b"#!/bin/sh"), files=(a.a_file(mode=0o600, owner="ada"),), admin_password=Secret("geheim")
    )
    items = items_of(
        payload,
        keys=(a.a_key(), a.a_key(name="desk")),
        metadata={"role": "wëb"},
        nics=(NicOrder(a.a_network(), tag="front"),),
        password_given=True,
    )
    assert items == (
        Item(ItemKind.KEY, "laptop", len(a.PUBLIC_KEY)),
        Item(ItemKind.KEY, "desk", len(a.PUBLIC_KEY)),
        Item(ItemKind.FILE, "/etc/motd", 5, True, 0o600, "ada"),
        Item(ItemKind.METADATA, "metadata", len(r'{"role": "w\u00ebb"}')),
        Item(ItemKind.USER_DATA, "user_data", 9),
        Item(ItemKind.PASSWORD, "password", 0),
        Item(ItemKind.NETWORK, "network", 0),
        Item(ItemKind.DEVICES, "devices", 0),
    )


def test_what_nobody_asked_for_is_no_item() -> None:
    payload = a.a_payload(user_data=Secret(b""), admin_password=Secret("generated"))
    dhcp = NicOrder(a.a_network(subnets=(a.a_dhcp_subnet(),)))
    assert items_of(payload, metadata={}, nics=(dhcp, NicOrder(a.a_network(subnets=())))) == ()


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [
        (ItemKind.KEY, "key_name", "key 'it' cannot"),
        (ItemKind.FILE, "personality", "file 'it' cannot"),
        (ItemKind.METADATA, "metadata", "metadata cannot"),
        (ItemKind.USER_DATA, "user_data", "user-data cannot"),
        (ItemKind.NETWORK, "networks", "the static network addresses cannot"),
        (ItemKind.PASSWORD, "adminPass", "the password cannot"),
        (ItemKind.DEVICES, "networks", "the tags of the devices cannot"),
        (ItemKind.HOSTNAME, "hostname", "hostname cannot"),
    ],
)
def test_a_refusal_names_the_item_and_its_field_of_the_request(kind: ItemKind, field: str, words: str) -> None:
    with pytest.raises(Undeliverable) as refusal:
        choose(asked(Item(kind, "it", 1)), policy(), (DRIVE, PARTITION))
    assert refusal.value.field == field
    assert refusal.value.message.startswith(words)


HEEDLESS = replace(PASSWORD, linux_obstacle="the user-data sets passwords of its own")
WINDOWS = a.an_image(properties={"os_type": "windows"})


@pytest.mark.parametrize(
    ("item", "image", "rules", "why"),
    [
        (HEEDLESS, a.an_image(), {}, "the user-data sets passwords of its own"),
        (HEEDLESS, a.an_image(), {"linux_password": "always"}, "the user-data sets passwords of its own"),
        (PASSWORD, a.an_image(), {"linux_password": "never"}, r"\(linux_password\)"),
        (PASSWORD, WINDOWS, {"drive_password": False}, r"\(config_drive_inject_password\)"),
    ],
)
def test_a_password_that_the_guest_would_not_take_is_refused(
    item: Item, image: Image, rules: dict[str, Any], why: str
) -> None:
    with pytest.raises(Undeliverable, match=f"the password cannot be delivered: .*{why}") as refusal:
        choose(asked(item, image=image, config_drive=True), policy(**rules), (DRIVE,))
    assert refusal.value.field == "adminPass"


@pytest.mark.parametrize(
    ("item", "image", "rules"),
    [
        (PASSWORD, a.an_image(), {"drive_password": False}),
        (PASSWORD, a.an_image(), {}),
        (HEEDLESS, WINDOWS, {"linux_password": "never"}),
    ],
)
def test_a_password_is_taken_by_the_way_its_guest_knows(item: Item, image: Image, rules: dict[str, Any]) -> None:
    assert choose(asked(item, image=image, config_drive=True), policy(**rules), (DRIVE,)).items == (item,)


def test_another_item_has_no_such_obstacles() -> None:
    rules = policy(linux_password="never", drive_password=False)
    assert choose(asked(KEY, image=WINDOWS, config_drive=True), rules, (DRIVE,)).items == (KEY,)


def test_a_password_that_cloud_init_ignores_goes_through_the_partition() -> None:
    rules = policy(inject_partition=1, inject_password=True)
    assert choose(asked(HEEDLESS), rules, (PARTITION,)).items == (HEEDLESS,)


def test_the_reason_doubts_only_what_is_on_the_drive_and_not_known_to_be_read() -> None:
    rules = policy(force_config_drive=True)
    sure = "the operator forces a config drive (force_config_drive)"
    assert choose(asked(), rules, (DRIVE,)).reason == sure
    assert choose(asked(FILE, agent=Agent.YES), rules, (DRIVE,)).reason == sure
    assert choose(asked(FILE), rules, (DRIVE,)).reason.startswith(f"{sure}; whether")


def test_an_image_without_an_agent_is_no_obstacle_to_partition_injection() -> None:
    plan = choose(asked(FILE, agent=Agent.NO), policy(inject_partition=-1), (DRIVE, PARTITION))
    assert (plan.channel, plan.items) == (ChannelKind.PARTITION, (FILE,))


def test_metadata_is_the_same_content_in_any_order() -> None:
    assert canonical({"b": "2", "a": "1"}) == canonical({"a": "1", "b": "2"}) == b'{"a": "1", "b": "2"}'


def test_a_given_password_that_is_none_is_not_asked_for_and_one_static_subnet_is_enough() -> None:
    assert items_of(a.a_payload(), password_given=True) == ()
    assert [item.kind for item in items_of(a.a_payload(), disk_tag="os")] == [ItemKind.DEVICES]
    both = a.a_network(subnets=(a.a_dhcp_subnet(), a.a_subnet()))
    assert [item.kind for item in items_of(a.a_payload(), nics=(NicOrder(both),))] == [ItemKind.NETWORK]


def test_a_name_in_a_message_is_bounded() -> None:
    assert describe(ItemKind.FILE, "x" * 300) == f"file '{'x' * 255}'"


ROOT = Root(1, 2**20, 2**30, "ext4", "by its partition type")
GPT = ImageFacts("gpt", (Partition(14, 512, 512, "bios"), Partition(1, 2**20, 2**30, "linux", filesystem="ext4")), ROOT)


def on(root: Root) -> ImageFacts:
    return replace(GPT, root=root, partitions=(replace(GPT.partitions[1], filesystem=root.filesystem),))


@pytest.mark.parametrize(
    ("root", "number", "serving"),
    [
        (ROOT, 1, ("ext", "guestfs", "mounted")),
        (replace(ROOT, partition=0), 0, ("ext", "guestfs", "mounted")),
        (replace(ROOT, filesystem="xfs"), 1, ("guestfs", "mounted")),
        (replace(ROOT, filesystem="btrfs", volume="btrfsvol:/dev/sda1/@"), 1, ("guestfs",)),
        (replace(ROOT, partition=0, volume="/dev/vg/root"), None, ("guestfs",)),
    ],
)
def test_the_plan_names_the_file_system_and_who_can_edit_it(
    root: Root, number: int | None, serving: tuple[str, ...]
) -> None:
    host = replace(PARTITION, back_ends=("ext", "guestfs", "mounted"))
    plan = choose(asked(FILE, facts=on(root)), policy(inject_partition=-1), (host,))
    assert (plan.filesystem, plan.partition, plan.back_ends) == (root.filesystem, number, serving)
    assert root.found_by in plan.reason


def test_a_file_system_that_nobody_edits_is_refused_by_its_name() -> None:
    host = replace(PARTITION, back_ends=("ext",))
    with pytest.raises(Undeliverable, match=r"xfs, which no back end of this host edits \(ext\)"):
        choose(asked(FILE, facts=on(replace(ROOT, filesystem="xfs"))), policy(inject_partition=-1), (host,))


def test_of_an_image_that_nobody_looked_into_the_plan_names_all_back_ends() -> None:
    plan = choose(asked(FILE), policy(inject_partition=-1), (PARTITION,))
    assert (plan.filesystem, plan.partition, plan.back_ends) == (None, None, ("ext", "guestfs"))
