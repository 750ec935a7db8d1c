"""What a guest has against what it would be given now, on libvirt's own test hypervisor with real drives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_house import eventually
from tests.daemon import Daemon, a_daemon_without_guests, b64
from tests.worlds import World


@pytest.fixture
def daemon(tmp_path: Path, world: World) -> Iterator[Daemon]:
    with a_daemon_without_guests(tmp_path, world.with_options({})) as running:
        yield running


def differences(daemon: Daemon, server_id: str) -> dict[str, str]:
    found = daemon.call("GET", f"/v2.1/servers/{server_id}/injector-diff")["differences"]
    return {one["what"]: one["change"] for one in found}


def test_a_diff_is_empty_until_the_record_moves_on_and_after_a_refresh(daemon: Daemon) -> None:
    image = daemon.call("GET", "/v2/images")["images"][0]["id"]
    server_id = daemon.boot(
        image, metadata={"role": "web", "old": "x"}, user_data=b64("#!/bin/sh\n"), adminPass="geheim"
    )
    daemon.wait_for_status(server_id, "ACTIVE")
    assert differences(daemon, server_id) == {}
    daemon.call("PUT", f"/v2.1/servers/{server_id}/metadata", {"metadata": {"role": "db", "new": "y"}})
    assert differences(daemon, server_id) == {
        "openstack/latest/meta_data.json#/meta/new": "added",
        "openstack/latest/meta_data.json#/meta/old": "removed",
        "openstack/latest/meta_data.json#/meta/role": "changed",
    }
    daemon.act(server_id, {"injector:refresh": {"policy": "keep-id"}})
    eventually(lambda: daemon.server(server_id)["injector:generation"] == 2)
    assert differences(daemon, server_id) == {}
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    assert daemon.http.get(f"/v2.1/servers/{server_id}/injector-diff").status_code == 404
