"""The body of a create call, parsed: what is understood, what is refused by name, and what a message may show."""

from __future__ import annotations

from typing import Any

import pytest

from injector.api import order, schemas
from injector.api.order import ServerOrder
from injector.errors import InjectorError, InvalidRequest, OverQuota
from injector.model.network import NicRequest
from injector.model.payload import InjectedFile, ItemKind
from injector.model.secret import Secret
from injector.settings import Quotas

IMAGE = "5CA1AB1E-1111-4000-8000-000000000001"
LEAST = {"name": "web", "imageRef": IMAGE, "flavorRef": 1}


def parse(quotas: Quotas | None = None, beside: dict[str, Any] | None = None, **changes: Any) -> ServerOrder:
    return order.parse({"server": LEAST | changes, **(beside or {})}, quotas or Quotas())


def refused(**changes: Any) -> InjectorError:
    with pytest.raises(InjectorError) as refusal:
        parse(**changes)
    return refusal.value


def test_the_least() -> None:
    assert parse() == ServerOrder("web", IMAGE.lower(), "1")


def test_everything() -> None:
    ours: dict[str, Any] = {
        "injector:best_effort": ["key"],
        "injector:keys": ["desk", "phone"],
        "return_reservation_id": "yes",
    }
    assert parse(
        key_name="laptop",
        user_data="aGVsbG8=",
        personality=[
            {
                "path": "/a",
                "contents": "",
                "injector:mode": "600",
                "injector:owner": "0:0",
                "injector:best_effort": True,
            }
        ],
        metadata={"role": "web"},
        config_drive="on",
        networks=[{"uuid": IMAGE, "fixed_ip": "FD00::0001", "port": None}],
        availability_zone="nova",
        min_count="1",
        max_count=1,
        hostname="web",
        adminPass="swordfish",
        **ours,
    ) == ServerOrder(
        "web",
        IMAGE.lower(),
        "1",
        key_name="laptop",
        more_key_names=("desk", "phone"),
        user_data=Secret("hello"),
        files=(InjectedFile("/a", Secret(b""), 0o600, "0:0"),),
        metadata={"role": "web"},
        config_drive=True,
        nics=(NicRequest(IMAGE.lower(), "fd00::1"),),
        availability_zone="nova",
        hostname="web",
        admin_password=Secret("swordfish"),
        optional_files=frozenset({"/a"}),
        optional_kinds=frozenset({ItemKind.KEY}),
        wants_reservation=True,
    )


@pytest.mark.parametrize(
    ("networks", "nics"), [("none", ()), ("auto", None), ([], None), ([{"uuid": IMAGE}], (NicRequest(IMAGE.lower()),))]
)
def test_networks(networks: Any, nics: Any) -> None:
    assert parse(networks=networks).nics == nics


@pytest.mark.parametrize("word", sorted(schemas.TRUE_WORDS | schemas.FALSE_WORDS))
def test_every_word_of_nova_s_for_a_config_drive(word: str) -> None:
    assert parse(config_drive=word).config_drive is (word in schemas.TRUE_WORDS)


def test_counts() -> None:
    assert (parse(min_count=2).minimum, parse(min_count=2).maximum) == (2, 2)
    assert (parse(max_count="3").minimum, parse(max_count="3").maximum) == (1, 3)
    assert (parse(min_count=2.0).minimum) == 2
    for wrong in (
        {"min_count": 0},
        {"min_count": "0"},
        {"max_count": -1},
        {"min_count": "9" * 5000},
        {"min_count": True},
    ):
        assert refused(**wrong).field in ("min_count", "max_count")


NOT_OFFERED: dict[str, Any] = {
    "block_device_mapping": [{"volume_id": "x"}],
    "security_groups": [{"name": "default"}],
    "accessIPv4": "192.0.2.1",
    "accessIPv6": "fd00::1",
    "description": "front",
    "tags": ["a"],
    "OS-DCF:diskConfig": "AUTO",
}


@pytest.mark.parametrize("key", NOT_OFFERED)
def test_what_is_not_offered_is_refused_by_name_and_harmless_when_empty(key: str) -> None:
    error = refused(**{key: NOT_OFFERED[key]})
    assert (error.status, error.field) == (400, key)
    assert key in error.message
    harmless: dict[str, Any] = {key: "MANUAL" if key == "OS-DCF:diskConfig" else None}
    parse(**harmless)


@pytest.mark.parametrize("key", ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"])
def test_hints_beside_the_server(key: str) -> None:
    parse(beside={key: {}})
    with pytest.raises(InvalidRequest, match=key):
        parse(beside={key: {"group": IMAGE}})
    with pytest.raises(InvalidRequest, match="os:other"):
        parse(beside={"os:other": {}})


@pytest.mark.parametrize(
    "device",
    [
        {"source_type": "volume"},
        {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "volume"},
        {"uuid": IMAGE, "boot_index": 1, "source_type": "image", "destination_type": "local"},
        {"uuid": IMAGE[:-1] + "2", "boot_index": 0, "source_type": "image", "destination_type": "local"},
        {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local", "volume_size": 3},
        {
            "uuid": IMAGE,
            "boot_index": 0,
            "source_type": "image",
            "destination_type": "local",
            "delete_on_termination": False,
        },
    ],
)
def test_block_devices_other_than_the_image(device: dict[str, Any]) -> None:
    assert refused(block_device_mapping_v2=[device]).field == "block_device_mapping_v2[0]"


def test_a_second_block_device() -> None:
    image = {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local", "tag": None}
    parse(block_device_mapping_v2=[image])
    assert refused(block_device_mapping_v2=[image, image]).field == "block_device_mapping_v2[1]"


def test_the_root_disk_and_cards_may_have_a_role() -> None:
    image = {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local", "tag": "röot"}
    order = parse(block_device_mapping_v2=[image], networks=[{"uuid": IMAGE, "tag": "front"}, {"uuid": IMAGE}])
    assert order.disk_tag == "röot"
    assert order.nics == (NicRequest(IMAGE.lower(), tag="front"), NicRequest(IMAGE.lower()))
    assert refused(block_device_mapping_v2=[image | {"tag": "a,b"}]).field == "block_device_mapping_v2[0].tag"


@pytest.mark.parametrize(
    ("field", "nic"),
    [
        ("networks[0].uuid", {}),
        ("networks[0].uuid", {"uuid": "lab"}),
        ("networks[0].port", {"uuid": IMAGE, "port": IMAGE}),
        ("networks[0].tag", {"uuid": IMAGE, "tag": "front,back"}),
        ("networks[0].tag", {"uuid": IMAGE, "tag": "front/back"}),
        ("networks[0].tag", {"uuid": IMAGE, "tag": ""}),
        ("networks[0].tag", {"uuid": IMAGE, "tag": "x" * 61}),
        ("networks[0].tag", {"uuid": IMAGE, "tag": "two\nlines"}),
        ("networks[0].fixed_ip", {"uuid": IMAGE, "fixed_ip": "ten"}),
        ("networks[0].colour", {"uuid": IMAGE, "colour": "blue"}),
    ],
)
def test_cards(field: str, nic: dict[str, Any]) -> None:
    error = refused(networks=[nic])
    assert (error.status, error.field) == (400, field)


def test_what_one_server_can_have_only() -> None:
    assert refused(hostname="web", max_count=2).field == "hostname"
    nic = {"uuid": IMAGE, "fixed_ip": "10.0.2.15"}
    assert refused(networks=[nic], max_count=2).field == "networks[0].fixed_ip"


# limits: the last value within and the first beyond


@pytest.mark.parametrize(
    ("field", "kind", "within", "beyond"),
    [
        (
            "personality",
            OverQuota,
            {"personality": [{"path": f"/{n}", "contents": ""} for n in range(5)]},
            {"personality": [{"path": f"/{n}", "contents": ""} for n in range(6)]},
        ),
        (
            "personality[0].path",
            OverQuota,
            {"personality": [{"path": "x" * 255, "contents": ""}]},
            {"personality": [{"path": "x" * 256, "contents": ""}]},
        ),
        (
            "personality[0].contents",
            OverQuota,
            {"personality": [{"path": "/a", "contents": "A" * 10240}]},
            {"personality": [{"path": "/a", "contents": "A" * 10244}]},
        ),
        (
            "metadata",
            OverQuota,
            {"metadata": {str(n): "" for n in range(128)}},
            {"metadata": {str(n): "" for n in range(129)}},
        ),
        ("metadata.a", InvalidRequest, {"metadata": {"a": "x" * 255}}, {"metadata": {"a": "x" * 256}}),
        ("user_data", InvalidRequest, {"user_data": "A" * 65532 + " \n\t"}, {"user_data": "A" * 65536}),
        ("max_count", OverQuota, {"max_count": 100}, {"max_count": 101}),
        ("name", InvalidRequest, {"name": "x" * 255}, {"name": "x" * 256}),
        ("hostname", InvalidRequest, {"hostname": "x" * 63}, {"hostname": "x" * 64}),
    ],
)
def test_limits(field: str, kind: type[InjectorError], within: dict[str, Any], beyond: dict[str, Any]) -> None:
    parse(**within)
    error = refused(**beyond)
    assert type(error) is kind
    assert error.field == field


def test_unlimited() -> None:
    free = Quotas(-1, -1, -1, -1, -1, -1, -1)
    files = [{"path": f"/{n}" + "x" * 300, "contents": "A" * 20000} for n in range(20)]
    metadata = {str(n): "" for n in range(500)}
    many = parse(free, personality=files, metadata=metadata, user_data="A" * 100000, max_count=1000)
    assert (len(many.files), len(many.metadata), many.maximum) == (20, 500, 1000)


def test_the_path_is_judged_before_the_contents() -> None:
    files = [{"path": "/a", "contents": "A" * 20000}, {"path": "x" * 300, "contents": ""}]
    assert refused(personality=files).field == "personality[1].path"


# messages


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("personality[1].path", {"personality": [{"path": "/a", "contents": ""}, {"path": 1, "contents": ""}]}),
        ("personality[0].contents", {"personality": [{"path": "/a"}]}),
        ("personality[0].injector:mode", {"personality": [{"path": "/a", "contents": "", "injector:mode": "0999"}]}),
        ("metadata", {"metadata": {"a/b": "x"}}),
        ("metadata", {"metadata": {"a\n": "x"}}),
        ("name", {"name": "web\n"}),
        ("name", {"name": "we\u202eb"}),
        ("colour", {"colour": "blue"}),
        ("injector:best_effort[0]", {"injector:best_effort": ["colour"]}),
        ("flavorRef", {"flavorRef": None}),
        ("adminPass", {"adminPass": ""}),
    ],
)
def test_messages_name_the_field_without_the_wrapper(field: str, changes: dict[str, Any]) -> None:
    error = refused(**changes)
    assert error.field == field
    assert f"field/attribute {field}." in error.message


def test_messages_show_values_but_no_secrets_and_not_much() -> None:
    assert "Value: may be" in refused(config_drive="may be").message
    for key in ("adminPass", "user_data"):
        assert "swordfish" not in refused(**{key: {"a": "swordfish"}}).message
        assert "swordfish" not in refused(**{key: ["swordfish"]}).message
    error = refused(personality=[{"path": "/a", "contents": 112233445566}])
    assert "112233445566" not in error.message
    assert len(refused(**{"x" * 5000: "y" * 5000}).message) < 500
    assert len(refused(config_drive="y" * 5000).message) < 500
    assert "\x1b" not in refused(config_drive="\x1b[31m").message


def test_the_first_of_many_faults_is_told_at_once() -> None:
    assert refused(personality=[1] * 200_000).field == "personality[0]"


@pytest.mark.parametrize("document", [None, [], "server", {}, {"server": None}, {"server": []}, {"other": {}}])
def test_what_is_no_server_at_all(document: Any) -> None:
    with pytest.raises(InvalidRequest):
        order.parse(document, Quotas())


def test_secrets_stay_wrapped() -> None:
    shown = repr(
        parse(adminPass="swordfish", user_data="c3dvcmRmaXNo", personality=[{"path": "/a", "contents": "c3dvcmRmaXNo"}])
    )
    assert "swordfish" not in shown
    assert "c3dv" not in shown
