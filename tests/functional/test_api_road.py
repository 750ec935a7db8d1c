"""One boot from request to running domain in one process, asked for over REST and with the published RPC client alike.

libvirt's own test hypervisor runs the domain; overlay, drive and receipt are real.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from oslo_config import cfg

from injector import __version__
from injector.cmd import wiring
from injector.rpc import Client
from tests import builders, crafted
from tests.api_house import eventually
from tests.speakers import Document, Refusal, RestSpeaker, RpcSpeaker, Speaker
from tests.worlds import World

EVERY_BYTE = bytes(range(256))
CONFIG = """
[DEFAULT]
state_path = {state}
transport_url = {world.transport_url}
[database]
connection = {world.database}
[api]
socket = {state}/api.sock
port = 0
[libvirt]
connection_uri = test:///default
virt_type = qemu
"""


@pytest.fixture
def conf(tmp_path: Path, world: World) -> cfg.ConfigOpts:
    (tmp_path / "injector.conf").write_text(CONFIG.format(state=tmp_path / "state", world=world))
    return cfg.ConfigOpts()


@pytest.fixture
def state(tmp_path: Path, conf: cfg.ConfigOpts) -> Iterator[Path]:
    """The state directory of a house that runs."""
    settings = wiring.configure(conf, [f"--config-file={tmp_path / 'injector.conf'}"], __version__)
    house = wiring.House(settings, conf)
    house.start()
    yield settings.state_dir
    house.stop()


@pytest.fixture
def rest(state: Path) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(state / "api.sock"))
    headers = {"OpenStack-API-Version": "compute latest"}
    with httpx.Client(base_url="http://injector", headers=headers, transport=transport) as client:
        yield client


@pytest.fixture(params=["rest", "rpc"])
def ask(request: pytest.FixtureRequest, rest: httpx.Client, conf: cfg.ConfigOpts) -> Iterator[Speaker]:
    if request.param == "rest":
        yield RestSpeaker(rest)
    else:
        with Client.connect(conf, conf.transport_url) as client:
            yield RpcSpeaker(client)


@pytest.fixture
def server(ask: Speaker, rest: httpx.Client) -> Document:
    image = ask.create("image", {"name": "disk", "disk_format": "raw"})
    octets = {"Content-Type": "application/octet-stream"}
    answer = rest.put(f"/v2/images/{image['id']}/file", content=crafted.raw_disk(), headers=octets)
    assert answer.status_code == 204, answer.text
    flavor = ask.create("flavor", {"name": "tiny", "vcpus": 1, "ram": 64, "disk": 0})
    network = ask.create("network", {"name": "lab", "injector:kind": "user", "injector:forwards": [22]})
    ask.create("keypair", {"name": "laptop", "public_key": builders.PUBLIC_KEY})
    return {
        "name": "web",
        "imageRef": image["id"],
        "flavorRef": flavor["id"],
        "networks": [{"uuid": network["id"]}],
        "key_name": "laptop",
        "user_data": b64encode(EVERY_BYTE).decode(),
        "personality": [{"path": "/etc/blob", "contents": b64encode(EVERY_BYTE).decode()}],
        "metadata": {"role": "web"},
    }


def _booted(ask: Speaker, server: Document) -> Document:
    (server_id,), _ = ask.create_server(server)
    eventually(lambda: ask.server(server_id)["status"] != "BUILD", seconds=60)
    view = ask.server(server_id)
    assert view["status"] == "ACTIVE", view.get("fault")
    return view


def test_a_boot_its_receipt_and_its_end(ask: Speaker, server: Document, state: Path) -> None:
    view = _booted(ask, server)
    assert [mark["step"] for mark in view["injector:marks"]][-1] == "running"
    assert view["injector:plan"]["channel"] == "config_drive"
    assert view["injector:forwards"][0]["guest_port"] == 22
    receipt = ask.receipt(view["id"])
    assert {(item["kind"], item["name"], item["outcome"]) for item in receipt["items"]} >= {
        ("key", "laptop", "read back"),
        ("file", "/etc/blob", "read back"),
        ("user_data", "user_data", "read back"),
        ("metadata", "metadata", "read back"),
    }
    drive = (state / "instances" / view["id"] / "disk.config").read_bytes()
    assert receipt["drive_digest"] == hashlib.sha256(drive).hexdigest()
    assert EVERY_BYTE in drive
    _live(ask, view["id"])
    ask.delete_server(view["id"])
    eventually(lambda: ask.servers() == [])
    eventually(lambda: not (state / "instances" / view["id"]).exists())


def _live(ask: Speaker, server_id: str) -> None:
    def is_now(status: str) -> Any:
        return lambda: ask.server(server_id)["status"] == status

    ask.stop(server_id)
    eventually(is_now("SHUTOFF"), seconds=30)
    ask.start(server_id)
    eventually(is_now("ACTIVE"), seconds=30)
    ask.reboot(server_id, hard=True)
    eventually(is_now("ACTIVE"), seconds=30)
    assert ask.console(server_id, None) == ""


def test_what_this_host_cannot_carry_is_refused_at_once(ask: Speaker, server: Document, state: Path) -> None:
    server["personality"][0]["injector:mode"] = "0600"
    with pytest.raises(Refusal, match=r"/etc/blob.*another mode or owner") as refused:
        ask.create_server(server)
    assert refused.value.status == 409
    assert ask.servers() == []
    assert list((state / "instances").iterdir()) == []
