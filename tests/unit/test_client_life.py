"""Pause, suspend and rebuild as commands, and what is said while a host is silent."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from injector.client.exits import Exit
from tests.canned_api import CannedApi, fault
from tests.commands import BOOT, EVERY_BYTE, ID, IMAGE, SERVERS, Run, a_server

ACTION = f"{SERVERS}/{ID}/action"
SHOW = f"{SERVERS}/{ID}"
SILENT = {"OS-EXT-SRV-ATTR:host": "h1", "injector:host_state": "down"}


@pytest.mark.parametrize(
    ("word", "status"), [("pause", "PAUSED"), ("unpause", "ACTIVE"), ("suspend", "SUSPENDED"), ("resume", "ACTIVE")]
)
def test_a_guest_stands_still_and_goes_on(run: Run, api: CannedApi, word: str, status: str) -> None:
    api.answer("POST", ACTION, None, status=202)
    busy = a_server(**{"OS-EXT-STS:task_state": "busy"})
    api.answer("GET", SHOW, {"server": busy}, {"server": a_server(status=status)})
    result = run(word, "--wait", "vm")
    assert (result.code, result.out, result.err) == (Exit.OK, "", "")
    assert api.said("POST")[0].json == {word: None}


def rebuilds(api: CannedApi, *then: dict[str, Any]) -> None:
    api.answer("GET", f"/v2/images/{IMAGE}", {"id": IMAGE, "name": "debian"})
    api.answer("POST", ACTION, {"server": a_server(status="REBUILD") | {"adminPass": "s3cret"}}, status=202)
    if then:
        api.answer("GET", SHOW, *({"server": view} for view in then))


def test_a_plain_rebuild_names_the_image_it_has_and_nothing_else(run: Run, api: CannedApi) -> None:
    rebuilds(api)
    result = run("rebuild", "vm", "-f", "json")
    assert (result.code, result.json["status"], result.json["admin_pass"]) == (Exit.OK, "REBUILD", "s3cret")
    assert api.said("POST")[0].json == {"rebuild": {"imageRef": IMAGE}}


def test_every_flag_of_rebuild_reaches_the_request(run: Run, api: CannedApi, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(EVERY_BYTE)
    rebuilds(api)
    blob = b64encode(EVERY_BYTE).decode()
    run(
        *("rebuild", "vm", "--image", "debian", "--name", "new", "--key-name", "desk", "--key-name", "laptop"),
        *("--user-data", str(tmp_path / "blob"), "--file", f"/etc/x={tmp_path / 'blob'},mode=0600"),
        *("--meta", "a=b", "--admin-pass", "geheim", "--best-effort", "key"),
    )
    assert api.said("POST")[0].json["rebuild"] == {
        "imageRef": IMAGE,
        "name": "new",
        "key_name": "desk",
        "injector:keys": ["laptop"],
        "user_data": blob,
        "personality": [{"path": "/etc/x", "contents": blob, "injector:mode": "0600"}],
        "metadata": {"a": "b"},
        "adminPass": "geheim",
        "injector:best_effort": ["key"],
    }


def test_a_rebuild_takes_its_password_from_stdin(run: Run, api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilds(api)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"geheim\n")))
    run("rebuild", "vm", "--admin-pass", "-")
    assert api.said("POST")[0].json["rebuild"]["adminPass"] == "geheim"


def test_nothing_is_something_to_ask_for(run: Run, api: CannedApi) -> None:
    rebuilds(api)
    run("rebuild", "vm", "--no-key", "--no-user-data", "--no-files", "--no-meta")
    nothing: dict[str, Any] = {
        "key_name": None,
        "injector:keys": [],
        "user_data": None,
        "personality": [],
        "metadata": {},
    }
    assert api.said("POST")[0].json["rebuild"] == {"imageRef": IMAGE} | nothing
    with pytest.raises(SystemExit) as ended:
        run("rebuild", "vm", "--no-key", "--key-name", "desk")
    assert ended.value.code == Exit.USAGE


def test_a_rebuild_is_waited_for_and_its_password_never_lost(run: Run, api: CannedApi) -> None:
    rebuilds(api, a_server(status="REBUILD"), a_server())
    result = run("rebuild", "vm", "--wait", "-f", "json")
    assert (result.code, result.json["status"], result.json["admin_pass"]) == (Exit.OK, "ACTIVE", "s3cret")
    rebuilds(api, a_server(status="ERROR", fault={"message": "no such file"}))
    result = run("rebuild", "vm", "--wait", "-f", "json")
    assert (result.code, result.json["admin_pass"]) == (Exit.BOOT_FAILED, "s3cret")
    assert "ended in ERROR: no such file" in result.err
    api.answer("GET", SHOW, fault(404, "gone", "itemNotFound"))
    result = run("rebuild", "vm", "--wait", "-f", "json")
    assert (result.code, result.json["admin_pass"]) == (Exit.REFUSED, "s3cret")


def test_a_wait_tells_once_that_a_host_is_silent(run: Run, api: CannedApi) -> None:
    api.answer("POST", ACTION, None, status=202)
    api.answer("GET", "/v2.1/injector-hosts/h1", {"host": {"silent_seconds": 93.4}})
    unknown = {"server": a_server(status="UNKNOWN", **SILENT)}
    api.answer("GET", SHOW, unknown, unknown, {"server": a_server(status="SHUTOFF")})
    result = run("stop", "--wait", "vm")
    assert (result.code, result.err) == (Exit.OK, "vm: host h1 is silent for 93 s\n")


def test_a_wait_that_ends_in_vain_says_why(run: Run, api: CannedApi) -> None:
    api.answer("GET", SHOW, {"server": a_server(status="UNKNOWN", **SILENT)})
    result = run(*BOOT, "--wait", "--timeout", "0.05")
    assert result.code == Exit.TIMED_OUT
    assert "it is UNKNOWN, its guest unknown; host h1 is silent" in result.err


def test_a_boot_says_the_caller_s_own_word_for_it(run: Run, api: CannedApi) -> None:
    run(*BOOT, "--client-token", "nightly-17")
    (asked,) = (one for one in api.said("POST") if one.path == SERVERS)
    assert asked.json["server"]["injector:client_token"] == "nightly-17"
