"""The lint at the door: refusals before anything is recorded, warnings kept with the server, secrets in neither."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from injector.model.finding import Check, Severity, severities
from injector.settings import LintSettings
from tests import builders
from tests.api_house import ApiHouse, api_settings
from tests.speakers import Document, Refusal, RestSpeaker, RpcSpeaker, Speaker

SECRET = "hunter2-correct-horse"
SCHEMA = {"type": "object", "properties": {"packages": {"type": "array"}}}


def a_house(directory: Path, **said: Severity) -> ApiHouse:
    schema = directory / "schema-cloud-config-v1.json"
    schema.write_text(json.dumps(SCHEMA))
    policy = severities({Check(name): severity for name, severity in said.items()})
    return ApiHouse(directory, replace(api_settings(directory), lint=LintSettings(policy, schema)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[ApiHouse]:
    with a_house(tmp_path) as running:
        yield running


@pytest.fixture(params=["rest", "rpc"])
def ask(request: pytest.FixtureRequest, house: ApiHouse) -> Speaker:
    return RestSpeaker(house.rest()) if request.param == "rest" else RpcSpeaker(house.client)


def server(house: ApiHouse, user_data: str | None = None, **more: object) -> Document:
    flavor = next(iter(house.store.flavors()), None) or house.a_flavor()
    least = {"name": "web", "imageRef": house.an_image().id, "flavorRef": flavor.id, "networks": "none"}
    return least | ({} if user_data is None else {"user_data": b64(user_data)}) | more


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_what_cannot_work_is_refused_all_at_once_and_nothing_is_kept(house: ApiHouse, ask: Speaker) -> None:
    files = [{"path": "/sys/x", "contents": b64("x")}, {"path": "/etc/../x", "contents": b64("x")}]
    with pytest.raises(Refusal, match=r"user_data: .*\[user_data_header\]") as refused:
        ask.create_server(server(house, f"users:\n- {SECRET}\n", personality=files))
    message = str(refused.value)
    assert "personality[0].path: " in message
    assert "[file_pseudo]; personality[1].path: " in message
    assert SECRET not in message
    assert refused.value.status == 400
    assert ask.servers() == []


def test_bad_yaml_is_refused_by_line_and_column(house: ApiHouse, ask: Speaker) -> None:
    """harvester/harvester#10980: saving is not blocked."""
    with pytest.raises(Refusal, match=r"line 2, column 12: .*\[cloud_config_yaml\]") as refused:
        ask.create_server(server(house, f"#cloud-config\npassword: a: {SECRET}\n"))
    assert SECRET not in str(refused.value)


def test_what_is_doubtful_is_kept_shown_and_logged(
    house: ApiHouse, ask: Speaker, caplog: pytest.LogCaptureFixture
) -> None:
    user_data = f"#cloud-config\npackages: {SECRET}\npassword: {SECRET}\n"
    files = [{"path": "/run/x", "contents": b64("x")}]
    with caplog.at_level(logging.INFO):
        # Otherwise refused for the password, which a Linux guest would not take beside its own.
        body = server(house, user_data, personality=files, adminPass=SECRET)
        (server_id,), _ = ask.create_server(body | {"injector:best_effort": ["password"]})
    findings = ask.server(server_id)["injector:findings"]
    assert [(one["check"], one["field"]) for one in findings] == [
        ("file_volatile", "personality[0].path"),
        ("cloud_config_schema_failed", "user_data"),
        ("password_overridden", "adminPass"),
    ]
    assert findings[1]["message"] == "line 2: packages: it must be of type array"
    assert [one.check.value for one in house.store.instance(server_id).findings] == [one["check"] for one in findings]
    assert "lint: user_data: line 2: packages: it must be of type array [cloud_config_schema_failed]" in caplog.text
    assert SECRET not in caplog.text + repr(findings)


def test_nothing_is_said_of_what_is_right(house: ApiHouse, ask: Speaker) -> None:
    key = {"name": "laptop", "public_key": builders.PUBLIC_KEY}
    house.rest().post("/v2.1/os-keypairs", json={"keypair": key}).raise_for_status()
    (server_id,), _ = ask.create_server(server(house, "#cloud-config\npackages: []\n", key_name="laptop"))
    assert ask.server(server_id)["injector:findings"] == []


def test_the_operator_decides_what_is_made_of_a_finding(tmp_path: Path) -> None:
    with a_house(
        tmp_path, user_data_header=Severity.WARN, file_empty=Severity.DENY, user_data_format=Severity.OFF
    ) as house:
        ask = RestSpeaker(house.rest())
        (server_id,), _ = ask.create_server(server(house, "# cloud-config\na: b\n"))
        assert [one["check"] for one in ask.server(server_id)["injector:findings"]] == ["user_data_header"]
        with pytest.raises(Refusal, match=r"personality\[0\].contents: /etc/x is empty"):
            ask.create_server(server(house, personality=[{"path": "/etc/x", "contents": ""}]))
        (server_id,), _ = ask.create_server(server(house, "hello"))
        assert ask.server(server_id)["injector:findings"] == []


def test_a_boot_is_not_told_of_a_missing_schema_unless_the_operator_denies_it(tmp_path: Path) -> None:
    for said in (Severity.WARN, Severity.DENY):
        directory = tmp_path / said.value
        directory.mkdir()
        with a_house(directory, cloud_config_unchecked=said) as house:
            (directory / "schema-cloud-config-v1.json").unlink()
            ask = RestSpeaker(house.rest())
            if said is Severity.DENY:
                with pytest.raises(Refusal, match="cloud-init's schema is not installed here"):
                    ask.create_server(server(house, "#cloud-config\na: b\n"))
                continue
            (server_id,), _ = ask.create_server(server(house, "#cloud-config\na: b\n"))
            assert ask.server(server_id)["injector:findings"] == []
