"""The one behaviour suite of the api: whatever is asked over REST is asked with the RPC client too, to the same end."""

from __future__ import annotations

from base64 import b64encode

import pytest

from injector.model.image import DiskFormat, ImageStatus
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from tests import builders
from tests.api_house import ApiHouse, eventually
from tests.operations import NOBODY, a_file, a_network, b64, booted
from tests.speakers import Document, Refusal, Speaker

# a boot


def test_a_boot_is_recorded_built_and_shown(ask: Speaker, server: Document) -> None:
    view = ask.server(booted(ask, server))
    assert (view["status"], view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:power_state"]) == ("ACTIVE", "active", 1)
    assert view["name"] == view["OS-EXT-SRV-ATTR:hostname"] == "web"
    assert view["injector:plan"]["channel"] == "config_drive"
    assert view["config_drive"] == "True"
    assert [mark["step"] for mark in view["injector:marks"]] == ["schedule", "image", "running"]
    assert view["injector:guest"] == {"state": "unknown", "detail": "", "witness": None, "at": None}
    assert view["injector:request_id"].startswith("req-")


def test_what_was_asked_is_sealed_for_the_guest_to_the_byte(house: ApiHouse, ask: Speaker, server: Document) -> None:
    binary = bytes(range(256))
    asked = server | {
        "user_data": b64(binary),
        "personality": [a_file("/etc/blob", binary, mode="0600")],
        "adminPass": "correct horse",
        "injector:best_effort": ["user_data"],
    }
    asked["personality"][0] |= {"injector:best_effort": True, "injector:owner": "ada:staff"}
    (server_id,), password = ask.create_server(asked)
    instance = house.store.instance(server_id)
    payload = house.vault.unseal(server_id, house.store.payload(server_id))
    assert payload.user_data == Secret(binary)
    (file,) = payload.files
    assert (file.path, file.content, file.mode, file.owner) == ("/etc/blob", Secret(binary), 0o600, "ada:staff")
    assert payload.admin_password == Secret("correct horse")
    assert password == "correct horse"
    assert len(payload.random_seed) == 512
    required = {item.kind: item.required for item in instance.items}
    assert required == {ItemKind.FILE: False, ItemKind.USER_DATA: False, ItemKind.PASSWORD: True}


def test_a_preview_says_what_a_boot_would_do_and_keeps_nothing(house: ApiHouse, ask: Speaker, server: Document) -> None:
    network = house.a_network()
    asked = server | {"networks": [{"uuid": network.id}], "user_data": b64(b"#!/bin/sh"), "adminPass": "geheim"}
    view = ask.preview(asked)
    assert (view["host"], view["hostname"], view["plan"]["channel"]) == ("host-1", "web", "config_drive")
    assert {item["kind"] for item in view["plan"]["items"]} == {"user_data", "password", "network"}
    assert view["addresses"][0]["ips"] == ["10.0.2.15"]
    assert (view["files"][0]["path"], view["domain_xml"]) == ("openstack/latest/meta_data.json", "<domain/>")
    assert "geheim" not in repr(view)
    assert ask.servers() == []
    assert house.store.claims().addresses == {}
    assert ask.server(booted(ask, asked))["addresses"]["lab"][0]["addr"] == "10.0.2.15"


def test_a_preview_shows_what_the_lint_would_refuse(ask: Speaker, server: Document) -> None:
    view = ask.preview(server | {"user_data": b64(b"#cloud-config\na: [")})
    assert not view["accepted"]
    assert {(one["check"], one["severity"]) for one in view["findings"]} == {("cloud_config_yaml", "deny")}
    assert ask.preview(server)["accepted"]


def test_a_preview_is_refused_as_the_boot_would_be(ask: Speaker, server: Document) -> None:
    for wrong, status in (({"key_name": "nobody"}, 400), ({"max_count": 2}, 400)):
        with pytest.raises(Refusal) as refusal:
            ask.preview(server | wrong)
        assert refusal.value.status == status
    with pytest.raises(Refusal, match="mode or owner") as refusal:
        ask.preview(server | {"personality": [a_file(mode="0600")]})
    assert refusal.value.status == 409


def test_a_password_is_made_when_none_is_given_and_told_once(house: ApiHouse, ask: Speaker, server: Document) -> None:
    (server_id,), password = ask.create_server(server)
    assert password is not None
    assert len(password) == 12
    instance = house.store.instance(server_id)
    assert house.vault.unseal(server_id, house.store.payload(server_id)).admin_password == Secret(password)
    assert instance.items == (), "a made password is nothing that was asked for"
    assert password not in repr(ask.server(server_id))


def test_several_servers_of_one_request(house: ApiHouse, ask: Speaker, server: Document) -> None:
    ids, _ = ask.create_server(server | {"min_count": 2, "max_count": "3"})
    views = [ask.server(server_id) for server_id in ids]
    assert [view["name"] for view in views] == ["web-1", "web-2", "web-3"]
    assert [view["OS-EXT-SRV-ATTR:hostname"] for view in views] == ["web-1", "web-2", "web-3"]
    assert len({view["OS-EXT-SRV-ATTR:reservation_id"] for view in views}) == 1
    payloads = [house.vault.unseal(one, house.store.payload(one)) for one in ids]
    assert payloads[0].random_seed != payloads[1].random_seed


def test_the_names_of_a_request_are_resolved_once(house: ApiHouse, ask: Speaker, server: Document) -> None:
    kernel = house.an_image(disk_format=DiskFormat.KERNEL)
    ramdisk = house.an_image(disk_format=DiskFormat.RAMDISK)
    image = house.an_image(properties={"kernel_id": kernel.id, "ramdisk_id": ramdisk.id})
    for name in ("laptop", "desk"):
        ask.create("keypair", {"name": name, "public_key": builders.PUBLIC_KEY})
    (server_id,), _ = ask.create_server(
        server | {"imageRef": image.id, "key_name": "laptop", "injector:keys": ["desk"]}
    )
    ask.delete("keypair", "laptop")
    instance = house.store.instance(server_id)
    assert [(key.name, key.public_key) for key in instance.keys] == [
        ("laptop", builders.PUBLIC_KEY),
        ("desk", builders.PUBLIC_KEY),
    ]
    assert [(item.kind, item.name) for item in instance.items] == [(ItemKind.KEY, "laptop"), (ItemKind.KEY, "desk")]
    assert ask.server(server_id)["injector:keys"] == ["laptop", "desk"]
    assert (instance.kernel, instance.ramdisk) == (kernel, ramdisk)


def test_what_a_password_meets_is_seen_where_it_is_in_clear(house: ApiHouse, ask: Speaker, server: Document) -> None:
    own = b64encode(b"#cloud-config\npassword: own\n").decode()
    told = {"adminPass": "correct horse", "injector:best_effort": ["password"]}
    obstacles = []
    for more in ({}, {"user_data": own}):
        (server_id,), _ = ask.create_server(server | told | more)
        (item,) = (one for one in house.store.instance(server_id).items if one.kind is ItemKind.PASSWORD)
        obstacles.append(item.linux_obstacle)
    assert obstacles[0] is None
    assert "sets passwords of its own" in str(obstacles[1])
    with pytest.raises(Refusal, match="the password cannot be delivered: the user-data sets") as refused:
        ask.create_server(server | {"adminPass": "correct horse", "user_data": own})
    assert refused.value.status == 409


def test_roles_of_devices_are_kept_and_shown(house: ApiHouse, ask: Speaker, server: Document) -> None:
    disk = {"uuid": server["imageRef"], "boot_index": 0, "source_type": "image", "destination_type": "local"}
    network = ask.create("network", {"name": "roles", "injector:kind": "user"})["id"]
    cards = [{"uuid": network, "tag": "front"}, {"uuid": network}]
    (server_id,), _ = ask.create_server(server | {"networks": cards, "block_device_mapping_v2": [disk | {"tag": "os"}]})
    instance = house.store.instance(server_id)
    assert (instance.disk_tag, [nic.tag for nic in instance.nics]) == ("os", ["front", None])
    assert [item.kind for item in instance.items] == [ItemKind.DEVICES]
    mac = instance.nics[0].mac
    shown = [{"type": "disk", "tag": "os"}, {"type": "nic", "mac": mac, "tag": "front"}]
    assert ask.server(server_id)["injector:tags"] == shown


def test_a_build_that_fails_says_why(ask: Speaker, server: Document) -> None:
    view = ask.server(booted(ask, server | {"metadata": {"fate": "fail"}}))
    assert view["status"] == "ERROR"
    assert view["fault"]["code"] == 409
    assert "backing file" in view["fault"]["message"]


def test_a_receipt_lists_every_item(ask: Speaker, server: Document) -> None:
    asked = server | {"personality": [a_file()], "metadata": {"role": "web"}, "user_data": b64(b"#!/bin/sh\n")}
    receipt = ask.receipt(booted(ask, asked))
    assert [(item["kind"], item["outcome"]) for item in receipt["items"]] == [
        ("file", "read back"),
        ("metadata", "read back"),
        ("user_data", "read back"),
    ]


def test_there_is_no_receipt_before_anything_was_delivered(ask: Speaker, server: Document) -> None:
    (server_id,), _ = ask.create_server(server | {"metadata": {"fate": "hold"}})
    with pytest.raises(Refusal, match="has no receipt") as refused:
        ask.receipt(server_id)
    assert refused.value.status == 404


def test_a_request_that_nobody_can_carry_is_refused_at_once(ask: Speaker, server: Document) -> None:
    asked = server | {"personality": [a_file(mode="0600")]}
    with pytest.raises(Refusal, match=r"personality.*'/etc/motd'.*0660") as refused:
        ask.create_server(asked)
    assert refused.value.status == 409
    assert ask.servers() == []


# networks of a boot


def test_a_card_with_an_address_and_a_forward(ask: Speaker, server: Document) -> None:
    network = ask.create("network", a_network())
    asked = server | {"networks": [{"uuid": network["id"], "fixed_ip": "10.0.2.20"}]}
    view = ask.server(booted(ask, asked))
    (address,) = view["addresses"]["lab"]
    assert (address["addr"], address["version"]) == ("10.0.2.20", 4)
    (forward,) = view["injector:forwards"]
    assert forward["guest_port"] == 22
    assert forward["mac"] == address["OS-EXT-IPS-MAC:mac_addr"]
    with pytest.raises(Refusal, match="in use by a server") as refused:
        ask.delete("network", network["id"])
    assert refused.value.status == 409


def test_no_network_is_no_card_and_the_only_one_is_the_default(ask: Speaker, server: Document) -> None:
    assert ask.server(booted(ask, server | {"networks": "auto"}))["addresses"] == {}
    ask.create("network", a_network())
    assert list(ask.server(booted(ask, server | {"networks": "auto"}))["addresses"]) == ["lab"]
    ask.create("network", a_network(name="other"))
    with pytest.raises(Refusal, match="networks") as refused:
        ask.create_server(server | {"networks": "auto"})
    assert refused.value.status == 409
    ask.create("network", a_network(name="default"))
    assert list(ask.server(booted(ask, server | {"networks": "auto"}))["addresses"]) == ["default"]
    assert ask.server(booted(ask, server))["addresses"] == {}


# refused at once


REFUSED: dict[str, tuple[int, str, Document]] = {
    "unknown image": (400, "imageRef", {"imageRef": NOBODY}),
    "no image": (400, "imageRef", {"imageRef": ""}),
    "unknown flavor": (400, "flavorRef", {"flavorRef": "nothing"}),
    "unknown key": (400, "key_name", {"key_name": "nobody"}),
    "unknown key beside": (400, r"injector:keys\[0\]", {"injector:keys": ["nobody"]}),
    "a key twice": (400, "injector:keys", {"key_name": "laptop", "injector:keys": ["laptop"]}),
    "unknown network": (400, r"networks\[0\].uuid", {"networks": [{"uuid": NOBODY}]}),
    "unknown zone": (400, "availability_zone", {"availability_zone": "moon"}),
    "a host in the zone": (400, "availability_zone", {"availability_zone": "nova:host-1"}),
    "a port": (400, r"networks\[0\].port", {"networks": [{"port": NOBODY}]}),
    "user-data that is no base64": (400, "user_data", {"user_data": "%%% rubbish %%%"}),
    "user-data without a digit": (400, "user_data", {"user_data": "####"}),
    "user-data with bad padding": (400, "user_data", {"user_data": "aGVsbG8"}),
    "user-data over the limit": (400, "user_data", {"user_data": b64(b"x" * 49200)}),
    "file that is no base64": (400, r"personality\[0\].contents", {"personality": [{"path": "/a", "contents": "a"}]}),
    "file without contents": (400, r"personality\[0\].contents", {"personality": [{"path": "/a"}]}),
    "file without a path": (400, r"personality\[0\].path", {"personality": [{"contents": ""}]}),
    "path with NUL": (400, r"personality\[1\].path", {"personality": [a_file(), a_file("/etc/\0motd")]}),
    "empty path": (400, r"personality\[1\].path", {"personality": [a_file(), a_file("")]}),
    "path over 255": (403, r"personality\[0\].path", {"personality": [a_file("/" + "x" * 255)]}),
    "a path twice": (400, r"personality\[1\].path", {"personality": [a_file(), a_file()]}),
    "six files": (403, "[Pp]ersonality", {"personality": [a_file(f"/{number}") for number in range(6)]}),
    "file over the limit": (403, r"personality\[0\].contents", {"personality": [a_file(content=b"x" * 7681)]}),
    "metadata over 255": (400, "metadata.role", {"metadata": {"role": "x" * 256}}),
    "metadata key over 255": (400, "metadata", {"metadata": {"x" * 256: "web"}}),
    "metadata that is no text": (400, "metadata.role", {"metadata": {"role": 1}}),
    "129 metadata items": (403, "metadata", {"metadata": {str(number): "" for number in range(129)}}),
    "unknown key of the body": (400, "colour", {"colour": "blue"}),
    "no name": (400, "name", {"name": " "}),
    "config_drive of another kind": (400, "config_drive", {"config_drive": "maybe"}),
    "fewer at most than at least": (400, "min_count", {"min_count": 3, "max_count": 2}),
    "no server at all": (400, "min_count", {"min_count": 0}),
    "more than a request may ask for": (403, "max_count", {"max_count": 11}),
    "one host name for two": (400, "hostname", {"hostname": "web", "max_count": 2}),
    "host name with a newline": (400, "hostname", {"hostname": "web\n"}),
    "a mode that is none": (400, r"injector:mode", {"personality": [a_file(mode="rwx")]}),
    "volumes": (400, r"block_device_mapping_v2\[0\]", {"block_device_mapping_v2": [{"source_type": "volume"}]}),
    "a security group": (400, "security_groups", {"security_groups": [{"name": "default"}]}),
    "a description": (400, "description", {"description": "front"}),
    "half a character": (400, "Unicode", {"name": "web\ud800"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_by_name(ask: Speaker, server: Document, case: str) -> None:
    status, named, changes = REFUSED[case]
    with pytest.raises(Refusal, match=named) as refused:
        ask.create_server(server | changes)
    assert refused.value.status == status
    assert ask.servers() == []


@pytest.mark.parametrize("secret", ["adminPass", "user_data"])
def test_a_refusal_shows_no_secret(ask: Speaker, server: Document, secret: str) -> None:
    with pytest.raises(Refusal) as refused:
        ask.create_server(server | {secret: {"hidden": "swordfish"}})
    assert "swordfish" not in refused.value.message


def test_an_image_must_be_ready_and_large_enough_a_flavor(house: ApiHouse, ask: Speaker, server: Document) -> None:
    queued = house.an_image(status=ImageStatus.QUEUED, virtual_size=None, size=None, sha256=None)
    kernel = house.an_image(disk_format=DiskFormat.KERNEL)
    large = house.an_image(virtual_size=100 * 1024**3)
    hungry = house.an_image(min_ram=4096)
    for image, words in ((queued, "not active"), (kernel, "aki"), (large, "too small"), (hungry, "too small")):
        with pytest.raises(Refusal, match=words) as refused:
            ask.create_server(server | {"imageRef": image.id})
        assert refused.value.status == 400


def test_an_image_must_make_sense(house: ApiHouse, ask: Speaker, server: Document) -> None:
    foreign = house.an_image(owner="engines")
    fussy = house.an_image(properties={"img_config_drive": "perhaps"})
    headless = house.an_image(properties={"ramdisk_id": foreign.id})
    lost = house.an_image(properties={"kernel_id": NOBODY})
    borrowing = house.an_image(properties={"kernel_id": foreign.id})
    for image, said in (
        *((foreign, foreign.id), (fussy, "img_config_drive"), (headless, "no kernel_id")),
        *((lost, NOBODY), (borrowing, foreign.id)),
    ):
        with pytest.raises(Refusal, match=f"imageRef.*{said}") as refused:
            ask.create_server(server | {"imageRef": image.id})
        assert refused.value.status == 400
    with pytest.raises(Refusal) as unseen:
        ask.one("image", foreign.id)
    assert unseen.value.status == 404


def test_an_address_must_lie_in_a_static_subnet_of_ones_own_network(
    house: ApiHouse, ask: Speaker, server: Document
) -> None:
    network = ask.create("network", a_network())
    foreign = builders.a_network()
    house.store.add_network(foreign)
    asleep = ask.create("network", a_network(**{"injector:subnets": [{"cidr": "10.9.0.0/24", "dhcp": True}]}))
    for nic, field in (
        ({"uuid": network["id"], "fixed_ip": "10.0.3.1"}, "fixed_ip"),
        ({"uuid": asleep["id"], "fixed_ip": "10.9.0.9"}, "fixed_ip"),
        ({"uuid": foreign.id}, "uuid"),
    ):
        with pytest.raises(Refusal, match=rf"networks\[0\]\.{field}") as refused:
            ask.create_server(server | {"networks": [nic]})
        assert refused.value.status == 400
    booted(ask, server | {"networks": [{"uuid": network["id"], "fixed_ip": "10.0.2.20"}]})
    with pytest.raises(Refusal, match="already in use") as taken:
        ask.create_server(server | {"networks": [{"uuid": network["id"], "fixed_ip": "10.0.2.20"}]})
    assert taken.value.status == 409


def test_the_image_said_twice_is_understood(ask: Speaker, server: Document) -> None:
    device = {"uuid": server["imageRef"], "source_type": "image", "destination_type": "local", "boot_index": 0}
    asked = server | {"block_device_mapping_v2": [device | {"delete_on_termination": True}], "security_groups": []}
    assert ask.server(booted(ask, asked))["status"] == "ACTIVE"


# actions


def test_stop_start_and_both_reboots(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    ask.stop(server_id)
    eventually(lambda: ask.server(server_id)["status"] == "SHUTOFF")
    assert ask.server(server_id)["OS-EXT-STS:power_state"] == 4
    ask.start(server_id)
    for hard in (False, True):
        eventually(lambda: ask.server(server_id)["status"] == "ACTIVE")
        ask.reboot(server_id, hard)
    eventually(lambda: ask.server(server_id)["status"] == "ACTIVE")


def test_what_its_state_does_not_allow_is_a_conflict(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    with pytest.raises(Refusal, match="active cannot become starting") as refused:
        ask.start(server_id)
    assert refused.value.status == 409


def test_a_deleted_server_is_gone_and_deleting_it_again_says_so(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    ask.delete_server(server_id)
    eventually(lambda: ask.servers() == [])
    gone = (
        ask.server,
        ask.delete_server,
        ask.stop,
        ask.receipt,
        ask.metadata,
        ask.refresh,
        ask.generations,
        ask.verify,
    )
    for again in gone:
        with pytest.raises(Refusal, match=server_id) as refused:
            again(server_id)
        assert refused.value.status == 404
    (view,) = ask.servers(deleted="true")
    assert (view["status"], view["id"]) == ("DELETED", server_id)


def test_the_end_of_the_console_is_counted_in_lines(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    assert ask.console(server_id, None) == "line 1\nline 2\nline 3\nline 4\nline 5\n"
    assert ask.console(server_id, -1) == ask.console(server_id, None)
    assert ask.console(server_id, 2) == "line 4\nline 5\n"
    assert ask.console(server_id, 0) == ""
    with pytest.raises(Refusal, match="length"):
        ask.console(server_id, -2)


def test_metadata_of_the_record(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"metadata": {"role": "web"}})
    assert ask.set_metadata(server_id, {"tier": "1"}, False) == {"role": "web", "tier": "1"}
    assert ask.metadata(server_id) == {"role": "web", "tier": "1"}
    ask.delete_metadata(server_id, "role")
    assert ask.set_metadata(server_id, {"new": "x"}, True) == {"new": "x"} == ask.server(server_id)["metadata"]
    with pytest.raises(Refusal, match="not found") as refused:
        ask.delete_metadata(server_id, "role")
    assert refused.value.status == 404
    with pytest.raises(Refusal, match="metadata") as over:
        ask.set_metadata(server_id, {str(number): "" for number in range(128)}, False)
    assert over.value.status == 403


# lists


def test_lists_are_filtered_and_paged(ask: Speaker, server: Document) -> None:
    ids = [booted(ask, server | {"name": name}) for name in ("a", "b", "c")]
    assert [view["name"] for view in ask.servers()] == ["c", "b", "a"]
    assert [view["name"] for view in ask.servers(name="b")] == ["b"]
    assert [view["name"] for view in ask.servers(limit="2")] == ["c", "b"]
    assert [view["name"] for view in ask.servers(marker=ids[1])] == ["a"]
    assert ask.servers(status="error") == ask.servers(status="VERIFY_RESIZE") == []
    assert len(ask.servers(status="ACTIVE", host="host-1")) == 3
    for wrong in ({"colour": "blue"}, {"limit": "-1"}, {"deleted": "maybe"}, {"sort_key": "name"}):
        with pytest.raises(Refusal, match=next(iter(wrong))) as refused:
            ask.servers(**wrong)
        assert refused.value.status == 400


def test_a_server_of_another_project_is_not_there(house: ApiHouse, ask: Speaker) -> None:
    stranger = builders.an_instance(project_id="engines", nics=())
    house.store.add_instances((stranger,))
    with pytest.raises(Refusal) as refused:
        ask.server(stranger.id)
    assert refused.value.status == 404
    assert ask.servers() == []
    assert [view["id"] for view in ask.servers(all_tenants="1")] == [stranger.id]
