"""`injector host …`: what is asked for, and what is shown of the answer."""

from __future__ import annotations

import io
from typing import Any

import pytest

from injector.client.exits import Exit
from tests.canned_api import REQUEST_ID, CannedApi, fault
from tests.commands import DETAIL, Run, a_server

HOSTS = "/v2.1/injector-hosts"

HOST: dict[str, Any] = {
    "name": "h1",
    "virt": {"virt_type": "qemu", "cpu_mode": "maximum", "reason": "KVM aborted", "proven": False},
    "carriages": [{"channel": "config_drive", "kinds": ["file", "key"], "any_mode": False}],
    "policy": {"a": 1},
    "state": "down",
    "enabled": False,
    "usage": {"guests": 1, "vcpus": 1, "ram": 512, "disk": 3},
    "room": {"vcpus": 64, "ram": 8192, "disk": 100},
    "back_ends": [
        {"name": "guestfs", "available": False, "reason": "python3-guestfs is not installed"},
        {"name": "ext", "available": True, "reason": None},
    ],
}


def test_the_host(run: Run, api: CannedApi) -> None:
    api.answer("GET", HOSTS, {"hosts": [HOST]})
    api.answer("GET", f"{HOSTS}/h1", {"host": HOST})
    assert run("host", "show", "-f", "json").json["virt"] == HOST["virt"]
    table = run("host", "show", "h1").out
    assert "qemu, cpu mode maximum, KVM not proven: KVM aborted" in table
    assert table.index("guestfs: not available: python3-guestfs is not installed") < table.index("ext: available")
    assert "disk=3" in table


def test_the_hosts(run: Run, api: CannedApi) -> None:
    api.answer("GET", HOSTS, {"hosts": [HOST, {"name": "h2"}]})
    first, second = run("host", "list", "-f", "json").json
    assert (first["Name"], first["State"], first["Enabled"], first["Guests"]) == ("h1", "down", False, 1)
    assert (first["RAM"], first["Virtualisation"]) == ([512, 8192], "qemu")
    assert (first["Back ends"], second["Back ends"]) == (HOST["back_ends"], [])
    table = run("host", "list").out
    assert "ext, not guestfs" in table
    assert "512/8192" in table


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ([], "no host has reported itself yet"),
        ([HOST, HOST | {"name": "h2"}], "say which host: h1, h2"),
    ],
)
def test_the_host_must_be_known(run: Run, api: CannedApi, hosts: list[Any], says: str) -> None:
    api.answer("GET", HOSTS, {"hosts": hosts})
    result = run("host", "show")
    assert (result.code, result.err) == (Exit.REFUSED, f"error: {says}\n")


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("enable",), {"enable": None}),
        (("disable",), {"disable": {"reason": None}}),
        (("disable", "--reason", "a fan"), {"disable": {"reason": "a fan"}}),
        (("drain", "--reason", "a fan"), {"drain": {"reason": "a fan"}}),
        (("evacuate", "--yes-it-is-dead"), {"evacuate": None}),
    ],
)
def test_what_is_to_become_of_a_host(run: Run, api: CannedApi, words: tuple[str, ...], body: dict[str, Any]) -> None:
    api.answer("POST", f"{HOSTS}/a%2Fb/action", {"servers": []}, status=202)
    result = run("host", *words, "a/b")
    assert (result.code, result.out) == (Exit.OK, "")
    assert api.said("POST")[0].json == body


def test_a_host_is_forgotten(run: Run, api: CannedApi) -> None:
    api.answer("DELETE", f"{HOSTS}/h1", None, status=204)
    api.answer("DELETE", f"{HOSTS}/h2", fault(409, "there are servers on it", "conflictingRequest"))
    result = run("host", "forget", "h2", "h1")
    assert (result.code, result.err) == (Exit.REFUSED, f"error: there are servers on it (request {REQUEST_ID})\n")
    assert len(api.said("DELETE")) == 2


def a_page(*servers: dict[str, Any]) -> dict[str, Any]:
    return {"servers": list(servers)}


def test_a_drain_tells_what_is_left_and_waits_for_builds(run: Run, api: CannedApi) -> None:
    api.answer("POST", f"{HOSTS}/h1/action", {"servers": ["one", "two"]}, status=202)
    building, nothing = a_page(a_server(status="BUILD")), a_page()
    api.answer("GET", DETAIL, building, nothing, nothing, nothing)
    result = run("host", "drain", "--wait", "h1")
    assert (result.code, result.err) == (Exit.OK, "h1: 2 servers left: one, two\n")
    looks = [asked.query for asked in api.asked if asked.path == DETAIL]
    assert [look["status"] for look in looks] == ["BUILD", "REBUILD"] * 2
    assert all((look["host"], look["all_tenants"]) == ("h1", "1") for look in looks)


def test_a_drain_is_not_waited_for_for_ever(run: Run, api: CannedApi) -> None:
    api.answer("POST", f"{HOSTS}/h1/action", {"servers": ["one"]}, status=202)
    api.answer("GET", DETAIL, {"servers": [a_server(status="BUILD")]})
    result = run("host", "drain", "--wait", "--timeout", "0.05", "h1")
    assert result.code == Exit.TIMED_OUT
    assert "there are still builds" in result.err


@pytest.mark.parametrize(("typed", "code"), [("h1\n", Exit.OK), ("yes\n", Exit.REFUSED), ("", Exit.REFUSED)])
def test_an_evacuation_wants_the_name_of_the_host(run: Run, api: CannedApi, typed: str, code: Exit) -> None:
    api.answer("POST", f"{HOSTS}/h1/action", {"servers": ["one"]}, status=202)
    result = run("host", "evacuate", "h1", typed=typed)
    assert result.code == code
    assert "would run twice" in result.err
    assert len(api.said("POST")) == (code == Exit.OK)
    assert ("1 server made anew elsewhere: one" in result.err) == (code == Exit.OK)


def test_a_script_must_say_that_the_host_is_dead(run: Run, api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("h1\n"))
    result = run("host", "evacuate", "h1")
    assert result.code == Exit.USAGE
    assert "--yes-it-is-dead" in result.err
    assert api.asked == []
