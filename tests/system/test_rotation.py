"""A key is replaced under a running installation, in the order the manual says: nothing of a guest's is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from injector.cmd import manage
from tests.daemon import Daemon, a_daemon, b64
from tests.system.test_drives import refresh, settled

Document = dict[str, Any]


class Installation:
    """A daemon whose key files are changed by its operator, each time with a restart."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.old = daemon.state / "secrets.key"
        self.new = daemon.state / "new.key"
        self._config = daemon.config.read_text()

    def use(self, *keys: Path) -> None:
        files = ",".join(map(str, keys))
        self.daemon.config.write_text(f"{self._config}[secrets]\nkey_files = {files}\n")
        assert self.daemon.stop() == 0
        self.daemon.start()

    def manage(self, *words: str) -> int:
        return manage.main([f"--config-file={self.daemon.config}", *words])


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """On a real hypervisor, whose guests outlive the daemon; they find nothing to boot from."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    with a_daemon() as running:
        running.start()
        running.add_image("empty", disk, "raw")
        running.add_flavor("1", ram=64)
        yield Installation(running)


def a_guest(daemon: Daemon, name: str) -> str:
    image = daemon.call("GET", "/v2/images")["images"][0]["id"]
    asked: Document = {
        "adminPass": "tr0ub4dor",
        "user_data": b64(b"#!/bin/sh\n# qu1ckbrownfox\n"),
        "personality": [{"path": "/etc/word", "contents": b64(b"zw1tterwolf")}],
    }
    guest = daemon.boot(image, name, **asked)
    daemon.wait_for_status(guest, "ACTIVE")
    return guest


def intact(daemon: Daemon, guest: str) -> bool:
    return bool(daemon.call("GET", f"/v2.1/servers/{guest}/injector-verify")["verify"]["intact"])


def secret_digests(daemon: Daemon, guest: str) -> set[str]:
    return {item["digest"] for item in daemon.receipt(guest)["items"] if str(item["digest"]).startswith("hmac")}


def test_a_guest_outlives_the_key_it_was_sealed_under(installation: Installation) -> None:
    daemon, old, new = installation.daemon, installation.old, installation.new
    guest = a_guest(daemon, "elder")
    before = secret_digests(daemon, guest)
    assert installation.manage("secrets", "new-key", str(new)) == 0
    installation.use(old, new)
    assert intact(daemon, guest)
    installation.use(new, old)
    assert intact(daemon, guest)
    between = a_guest(daemon, "between")
    assert installation.manage("secrets", "rotate") == 0
    old.unlink()
    installation.use(new)
    for one in (guest, between):
        assert intact(daemon, one)
        assert daemon.call("GET", f"/v2.1/servers/{one}/injector-diff")["differences"] == []
    assert refresh(daemon, guest)["injector:generation"] == 2
    assert intact(daemon, guest)
    assert secret_digests(daemon, guest).isdisjoint(before), "the new key digests"
    compared = daemon.call("GET", f"/v2.1/servers/{guest}/injector-generations?compare=1,2")["differences"]
    assert [one["what"] for one in compared if "secret" in one["what"] or "/etc/word" in one["what"]] == []
    assert {one["what"] for one in compared} == {"made at"}
    rebuilt = daemon.act(guest, {"rebuild": {"imageRef": daemon.server(guest)["image"]["id"]}})
    assert rebuilt["server"]["id"] == guest
    settled(daemon, guest)
    daemon.wait_for_status(guest, "ACTIVE")
    assert intact(daemon, guest)
    assert {item["kind"] for item in daemon.receipt(guest)["items"]} >= {"user_data", "file", "password"}
