"""What boots are made of, over both APIs: key pairs, flavors, images, networks; and the limits of the installation."""

from __future__ import annotations

import pytest

from injector.model.facts import Agent
from injector.model.image import DiskFormat, ImageStatus
from injector.rpc.dispatcher import DispatcherClient
from tests import builders
from tests.api_house import ApiHouse
from tests.operations import NOBODY, a_file, a_network, booted
from tests.speakers import Document, Refusal, Speaker


def test_a_key_pair_is_kept_to_the_letter(ask: Speaker) -> None:
    text = builders.PUBLIC_KEY + "\n"
    made = ask.create("keypair", {"name": "lap top@home", "public_key": text})
    assert (made["public_key"], made["type"]) == (text, "ssh")
    assert ask.one("keypair", "lap top@home")["fingerprint"] == made["fingerprint"]
    assert [view["name"] for view in ask.all("keypair")] == ["lap top@home"]
    with pytest.raises(Refusal, match="already exists") as refused:
        ask.create("keypair", {"name": "lap top@home", "public_key": text})
    assert refused.value.status == 409
    ask.delete("keypair", "lap top@home")
    with pytest.raises(Refusal) as gone:
        ask.delete("keypair", "lap top@home")
    assert gone.value.status == 404


@pytest.mark.parametrize("public_key", ["", "hello", "ssh-rsa AAAA", "ssh-ed25519 not-base64", 'from="*" ssh-rsa AAAA'])
def test_a_key_that_is_none_is_refused(ask: Speaker, public_key: str) -> None:
    with pytest.raises(Refusal, match="public_key") as refused:
        ask.create("keypair", {"name": "k", "public_key": public_key})
    assert refused.value.status == 400


def test_too_many_key_pairs(ask: Speaker) -> None:
    for number in range(10):
        ask.create("keypair", {"name": str(number), "public_key": builders.PUBLIC_KEY})
    with pytest.raises(Refusal, match="too many key pairs") as refused:
        ask.create("keypair", {"name": "10", "public_key": builders.PUBLIC_KEY})
    assert refused.value.status == 403


def test_flavors(ask: Speaker) -> None:
    made = ask.create("flavor", {"name": "m1.tiny", "id": "t", "vcpus": 1, "ram": "512", "disk": 0})
    assert (made["id"], made["ram"], made["disk"]) == ("t", 512, 0)
    anonymous = ask.create("flavor", {"name": "m1.other", "vcpus": 1, "ram": 512, "disk": 1})
    assert ask.one("flavor", anonymous["id"])["name"] == "m1.other"
    assert [view["id"] for view in ask.all("flavor", name="m1.tiny")] == ["t"]
    for clash in ({"id": "t", "name": "another"}, {"name": "m1.tiny"}):
        with pytest.raises(Refusal) as refused:
            ask.create("flavor", {"vcpus": 1, "ram": 512, "disk": 0} | clash)
        assert refused.value.status == 409
    for wrong in (
        *({"ram": 0}, {"swap": 1}, {"vcpus": None}, {"OS-FLV-EXT-DATA:ephemeral": 1}, {"id": "a/b"}),
        *({"os-flavor-access:is_public": False}, {"rxtx_factor": 2}, {"description": "small"}),
    ):
        with pytest.raises(Refusal, match=next(iter(wrong))) as refused:
            ask.create("flavor", {"name": "m", "vcpus": 1, "ram": 512, "disk": 0} | wrong)
        assert refused.value.status == 400
    ask.delete("flavor", "t")
    with pytest.raises(Refusal) as gone:
        ask.one("flavor", "t")
    assert gone.value.status == 404


def test_image_records(ask: Speaker) -> None:
    made = ask.create("image", {"name": "debian", "disk_format": "qcow2", "hw_machine_type": "q35", "min_disk": 2})
    assert (made["status"], made["hw_machine_type"], made["min_disk"]) == ("queued", "q35", 2)
    assert ask.one("image", made["id"]) == made
    assert ask.all("image", name="debian") == [made]
    assert ask.all("image", id=f"in:{made['id']},{NOBODY}") == [made]
    assert ask.all("image", name="other") == ask.all("image", status="active") == []
    assert len(ask.all("image", status="queued")) == 1
    for wrong in (
        {"disk_format": "vmdk"},
        {"img_config_drive": "perhaps"},
        {"hw_cdrom_bus": "floppy"},
        {"hw_machine_type": "toaster"},
        {"hw_disk_bus": "ide"},
        {"visibility": "public"},
        {"status": "active"},
        {"kernel_id": "x"},
        {"container_format": "aki"},
        {"protected": True},
        {"tags": ["a"]},
        {"Größe": "x"},
        {"size": 1},
        {"injector_agent": "maybe"},
        {"injector_facts": "mine"},
    ):
        with pytest.raises(Refusal, match=next(iter(wrong))) as refused:
            ask.create("image", {"name": "bad", "disk_format": "raw"} | wrong)
        assert refused.value.status == 400
    ask.delete("image", made["id"])
    with pytest.raises(Refusal) as gone:
        ask.one("image", made["id"])
    assert gone.value.status == 404


def test_what_a_host_found_in_an_image_is_shown_with_every_image_of_these_bytes(house: ApiHouse, ask: Speaker) -> None:
    first, second = (house.an_image(sha256="ab" * 32, name="same") for _ in range(2))
    other = house.an_image(sha256="cd" * 32, name="other")
    queued = house.an_image(sha256=None, status=ImageStatus.QUEUED)
    assert ask.one("image", first.id)["injector_facts"] is None
    DispatcherClient(house.bus).image_report("ab" * 32, builders.some_image_facts())
    found = ask.one("image", first.id)["injector_facts"]
    assert found["root"] == {
        "partition": 1,
        "start": 1024**2,
        "size": 1024**3,
        "filesystem": "ext4",
        "found_by": "partition 1, by its label",
        "volume": None,
    }
    assert (found["table"], found["partitions"][0]["label"], found["network"]) == ("gpt", "root", ["netplan"])
    assert (found["agent"], found["agent_seen"], found["init"]) == ("yes", "/usr/bin/cloud-init", "systemd")
    assert {view["id"]: view["injector_facts"] for view in ask.all("image")} == {
        first.id: found,
        second.id: found,
        other.id: None,
        queued.id: None,
    }


def test_an_image_without_an_agent_is_given_no_drive_unless_its_owner_says_otherwise(
    house: ApiHouse, ask: Speaker, server: Document
) -> None:
    digest = "ab" * 32
    facts = builders.some_image_facts(agent=Agent.NO, agent_seen=None)
    DispatcherClient(house.bus).image_report(digest, facts)
    asked = server | {"config_drive": True, "personality": [a_file()], "metadata": {"role": "web"}}

    def boot_of(**properties: str) -> Document:
        return asked | {"imageRef": house.an_image(sha256=digest, properties=properties).id}

    with pytest.raises(Refusal, match=r"file '/etc/motd', metadata cannot be delivered: .*no agent") as refused:
        ask.create_server(boot_of())
    assert refused.value.status == 409
    assert "injector_agent=yes" in str(refused.value), "the owner is told what to do"
    with pytest.raises(Refusal, match="no agent"):
        ask.preview(boot_of())
    assert ask.servers() == []
    view = ask.server(booted(ask, boot_of(injector_agent="yes")))
    assert (view["status"], view["injector:plan"]["channel"]) == ("ACTIVE", "config_drive")
    with pytest.raises(Refusal, match="says its owner") as refused:
        ask.create_server(asked | {"imageRef": house.an_image(properties={"injector_agent": "no"}).id})
    assert refused.value.status == 409
    kernel = house.an_image(disk_format=DiskFormat.KERNEL)
    ramdisk = house.an_image(disk_format=DiskFormat.RAMDISK)
    with_ramdisk = boot_of(kernel_id=kernel.id, ramdisk_id=ramdisk.id)
    assert ask.server(booted(ask, with_ramdisk))["status"] == "ACTIVE", "its agent may be in the ramdisk"
    nothing = {"config_drive": True, "imageRef": boot_of()["imageRef"]}
    assert ask.server(booted(ask, server | nothing))["status"] == "ACTIVE", "nothing is lost on it"


def test_an_image_that_is_needed_stays(house: ApiHouse, ask: Speaker, server: Document) -> None:
    kernel = house.an_image(disk_format=DiskFormat.KERNEL)
    user = house.an_image(properties={"kernel_id": kernel.id})
    with pytest.raises(Refusal, match=user.id) as refused:
        ask.delete("image", kernel.id)
    assert refused.value.status == 409
    (server_id,), _ = ask.create_server(server | {"metadata": {"fate": "hold"}})
    with pytest.raises(Refusal, match=server_id):
        ask.delete("image", server["imageRef"])
    ask.delete_server(server_id)
    ask.delete("image", server["imageRef"])


def test_networks(ask: Speaker) -> None:
    made = ask.create("network", a_network(mtu=1400))
    assert (made["injector:kind"], made["mtu"], made["injector:forwards"]) == ("user", 1400, [22])
    assert made["injector:subnets"][0]["pool_first"] == "10.0.2.15"
    assert ask.all("network", name="lab") == [made] == [ask.one("network", made["id"])]
    ask.delete("network", made["id"])
    with pytest.raises(Refusal) as gone:
        ask.delete("network", made["id"])
    assert gone.value.status == 404


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("injector:source", {"injector:source": "br0"}),
        ("injector:source", {"injector:kind": "bridge", "injector:forwards": []}),
        (
            "injector:source",
            {"injector:kind": "bridge", "injector:source": "a-very-long-bridge", "injector:forwards": []},
        ),
        ("injector:forwards", {"injector:kind": "bridge", "injector:source": "br0"}),
        ("injector:forwards", {"injector:forwards": [0]}),
        ("injector:kind", {"injector:kind": "vxlan"}),
        ("mtu", {"mtu": 1}),
        ("cidr", {"injector:subnets": [{"cidr": "10.0.2.1/24"}]}),
        ("injector:subnets", {"injector:subnets": [{"cidr": "10.0.2.0/24"}, {"cidr": "10.0.3.0/24"}]}),
    ],
)
def test_networks_that_make_no_sense(ask: Speaker, named: str, changes: Document) -> None:
    with pytest.raises(Refusal, match=named) as refused:
        ask.create("network", a_network(**changes))
    assert refused.value.status == 400


def test_limits(ask: Speaker, server: Document) -> None:
    booted(ask, server)
    limits = ask.limits()
    assert (limits["maxPersonality"], limits["maxPersonalitySize"], limits["maxServerMeta"]) == (5, 10240, 128)
    assert (limits["totalInstancesUsed"], limits["totalRAMUsed"]) == (1, 512)
