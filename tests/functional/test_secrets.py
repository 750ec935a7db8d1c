"""A guess cannot be confirmed: nothing that is shown, logged or stored in the open tells a short secret apart."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from injector.errors import BusUnavailable
from injector.rpc.bus import Bus
from tests.daemon import Daemon, a_daemon_without_guests, b64
from tests.traces import traces

# Short enough to be guessed, rare enough to be found.
PASSWORD, FILE, USER_DATA = "tr0ub4dor", b"zw1tterwolf", b"#!/bin/sh\n# qu1ckbrownfox\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with a_daemon_without_guests(tmp_path_factory.mktemp("image"), debug=True) as running:
        yield running


def asked(daemon: Daemon) -> dict[str, Any]:
    image = daemon.call("GET", "/v2/images")["images"][0]["id"]
    return {
        "name": "keeper",
        "imageRef": image,
        "flavorRef": "1",
        "networks": "none",
        "adminPass": PASSWORD,
        "user_data": b64(USER_DATA),
        "personality": [{"path": "/etc/word", "contents": b64(FILE)}],
    }


def test_nothing_shown_logged_or_stored_in_the_open_tells_a_secret(daemon: Daemon) -> None:
    server = asked(daemon)
    preview = daemon.call("POST", "/v2.1/servers/injector-preview", {"server": server})
    made = daemon.call("POST", "/v2.1/servers", {"server": server}, 202)["server"]["id"]
    shown = [preview, daemon.wait_for_status(made, "ACTIVE"), daemon.receipt(made)]
    stored = [path.read_bytes() for path in daemon.state.iterdir() if path.is_file()]
    stored += [path.read_bytes() for path in (daemon.state / "instances" / made).iterdir() if path.suffix == ".json"]
    seen = json.dumps(shown).encode() + daemon.log.read_bytes() + b"".join(stored)
    assert b"/etc/word" in seen, "the look reaches what it is meant to search"
    for secret in (PASSWORD.encode(), FILE, USER_DATA):
        assert [trace for trace in traces(secret) if trace in seen] == []


def test_one_secret_has_another_digest_in_every_preview_and_on_every_server(daemon: Daemon) -> None:
    server = asked(daemon)
    digests: list[str] = []
    for _ in range(2):
        preview = daemon.call("POST", "/v2.1/servers/injector-preview", {"server": server})["preview"]
        digests += [file["digest"] for file in preview["files"] if file["path"].endswith("user_data")][:1]
        made = daemon.call("POST", "/v2.1/servers", {"server": server}, 202)["server"]["id"]
        daemon.wait_for_status(made, "ACTIVE")
        digests += [item["digest"] for item in daemon.receipt(made)["items"] if item["kind"] == "user_data"]
    assert len(digests) == len(set(digests)) == 4


@pytest.mark.parametrize("mark", "/#?")
def test_a_broker_password_that_breaks_its_url_is_not_quoted(mark: str) -> None:
    with pytest.raises(BusUnavailable, match="%-encoded") as refusal:
        Bus.open(cfg.ConfigOpts(), f"rabbit://injector:{PASSWORD}{mark}rest@broker:5672/")
    assert PASSWORD not in "".join([str(refusal.value.detail), *traceback.format_exception(refusal.value)])
