"""Vendor data on the drive: the operator's file, and services that are really asked."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from injector.errors import ChannelBroken, InvalidRequest
from injector.inject.channel import Delivery
from injector.inject.configdrive.contents import contents_of
from injector.inject.configdrive.gather import Gatherer
from injector.inject.configdrive.tree import VERSIONS, tree_of
from injector.inject.configdrive.vendordata import MAX_BYTES, VendorData
from injector.model.ingredients import Ingredients
from injector.model.secret import Secret
from injector.settings import DriveSettings, VendorDataSettings
from tests import builders as a
from tests.web_services import a_certificate, a_service, says

DELIVERY = a.a_delivery(
    instance=a.an_instance(asked_metadata={"role": "web"}),
    payload=a.a_payload(user_data=Secret(b"#!/bin/sh\n\xff"), admin_password=Secret("hunter2")),
)


def settings(tmp_path: Path | None = None, static: Any = None, **changes: Any) -> VendorDataSettings:
    if tmp_path is not None:
        file = tmp_path / "vendor.json"
        file.write_bytes(static if isinstance(static, bytes) else json.dumps(static).encode())
        changes["jsonfile"] = file
    return VendorDataSettings(**changes)


def asking(*targets: str, **changes: Any) -> VendorDataSettings:
    return settings(providers=("StaticJSON", "DynamicJSON"), targets=targets, read_timeout=1, **changes)


def documents(vendor_data: VendorDataSettings, delivery: Delivery = DELIVERY) -> tuple[Any, Any]:
    gatherer = Gatherer(DriveSettings(vendor_data=vendor_data))
    tree = tree_of(contents_of(replace(delivery, ingredients=gatherer.gather(delivery))))
    found = [json.loads(tree[f"openstack/latest/{name}.json"]) for name in ("vendor_data", "vendor_data2")]
    return found[0], found[1]


def test_nothing_said_is_novas_default() -> None:
    assert documents(settings()) == ({}, {"static": {}})


def test_the_file_is_told_as_it_is_in_both_documents(tmp_path: Path) -> None:
    static = {"cloud-init": "#cloud-config\n{}", "ours": [1, None, "ü"]}
    assert documents(settings(tmp_path, static)) == (static, {"static": static})


def test_without_its_provider_the_file_is_not_read(tmp_path: Path) -> None:
    assert documents(settings(tmp_path, b"not JSON", providers=("DynamicJSON",))) == ({}, {})


@pytest.mark.parametrize(
    ("static", "words"),
    [
        (b"{", "no JSON"),
        (b'{"a": NaN}', "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON"),
        (["a list"], "no JSON object"),
        ({"long": "x" * MAX_BYTES}, "larger than"),
        ({"cloud-init": {"runcmd": []}}, "neither a text nor a list"),
        ({"cloud-init": ["text", 7]}, "neither a text nor a list"),
    ],
)
def test_a_file_that_cannot_be_used_refuses_the_start(tmp_path: Path, static: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        VendorData(settings(tmp_path, static))
    assert refused.value.field == "[api] vendordata_jsonfile_path"


def test_a_file_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        VendorData(settings(jsonfile=tmp_path / "nothing"))


def test_services_are_asked_once_a_drive_and_told_what_nova_tells() -> None:
    with a_service(says({"join": "secret"})) as one, a_service(says(b"")) as two:
        vendor, vendor2 = documents(asking(f"ipa@{one.url}/join?v=1", f"other@{two.url}"))
        assert (vendor, vendor2) == ({}, {"static": {}, "ipa": {"join": "secret"}, "other": {}})
        (asked,) = one.asked
        assert asked.path == "/join?v=1"
        assert asked.json == {
            "project-id": "engines",
            "instance-id": a.INSTANCE_ID,
            "image-id": a.an_image().id,
            "user-data": base64.b64encode(b"#!/bin/sh\n\xff").decode(),
            "hostname": "web",
            "metadata": {"role": "web"},
            "boot-roles": "",
        }
        assert asked.headers["User-Agent"] == "openstack-nova-vendordata"
        assert "hunter2" not in json.dumps(asked.json)


def test_what_a_service_said_is_in_every_version_that_has_the_file() -> None:
    with a_service(says({"n": 1})) as service:
        gatherer = Gatherer(DriveSettings(vendor_data=asking(f"x@{service.url}")))
        tree = tree_of(contents_of(replace(DELIVERY, ingredients=gatherer.gather(DELIVERY))))
        assert len(service.asked) == 1
    have = [version for version in VERSIONS if f"openstack/{version}/vendor_data2.json" in tree]
    assert have == list(VERSIONS[5:])
    assert len({tree[f"openstack/{version}/vendor_data2.json"] for version in have}) == 1


def test_a_rehearsal_asks_nobody_and_takes_what_was_said_before() -> None:
    rehearsal = replace(DELIVERY, rehearsal=True, ingredients=None)
    with a_service(says({})) as service:
        settings = asking(f"x@{service.url}", f"new@{service.url}")
        assert documents(settings, rehearsal) == ({}, {"static": {}})
        before = replace(a_gathering(), vendor_data2=Secret('{"static": {"old": 1}, "x": [1], "gone": 2}'))
        assert documents(settings, replace(rehearsal, ingredients=before)) == ({}, {"static": {}, "x": [1]})
        assert service.asked == []


def a_gathering() -> Ingredients:
    assert DELIVERY.ingredients is not None
    return DELIVERY.ingredients


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "no JSON"),
        (b'{"a": Infinity}', "no JSON"),
        (b'"' + b"x" * MAX_BYTES + b'"', "more than"),
    ],
)
def test_a_service_that_fails_is_left_out_and_logged_or_ends_the_boot(
    answer: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with a_service(says(answer)) as bad, a_service(says({"good": True})) as good:
        targets = (f"bad@{bad.url.replace('//', '//ada:secret@')}", f"good@{good.url}")
        with caplog.at_level(logging.WARNING):
            assert documents(asking(*targets)) == ({}, {"static": {}, "good": {"good": True}})
        assert a.INSTANCE_ID in caplog.text
        assert "'bad'" in caplog.text
        assert words in caplog.text
        with pytest.raises(ChannelBroken, match=r"the vendor data service 'bad' ") as broken:
            documents(asking(*targets, failure_fatal=True))
    told = f"{caplog.text} {broken.value.message} {broken.value.detail} {asking(*targets)!r}"
    assert "secret" not in told
    assert "127.0.0.1" not in told


def test_tls_is_verified_by_the_operators_authorities(tmp_path: Path) -> None:
    certificate = a_certificate(tmp_path)
    with a_service(says({"n": 1}), certificate) as service:
        known = asking(f"x@{service.url}", ssl_certfile=certificate, failure_fatal=True)
        assert documents(known)[1]["x"] == {"n": 1}
        with pytest.raises(ChannelBroken, match="'x' cannot be reached"):
            documents(asking(f"x@{service.url}", failure_fatal=True))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"targets": ("http://nameless",)}, "targets"),
        ({"targets": ("@http://nameless",)}, "targets"),
        ({"targets": ("x@gopher://old",)}, "targets"),
        ({"targets": ("static@http://x",)}, "targets"),
        ({"targets": ("x@http://x", "x@http://y")}, "targets"),
        ({"targets": ("x@http://x",), "ssl_certfile": Path("/nowhere")}, "ssl_certfile"),
    ],
)
def test_services_that_cannot_be_asked_refuse_the_start(changes: Mapping[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        VendorData(VendorDataSettings(providers=("DynamicJSON",), **changes))
    assert refused.value.field == f"[api] vendordata_dynamic_{field}"
    assert "http" not in refused.value.message.replace("https://host:port/path", "")
