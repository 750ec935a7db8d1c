"""Three computes, two dispatchers and an api over RabbitMQ and PostgreSQL boot thirty guests, asked in every way."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from injector.rpc import BootOptions, Card, File
from tests.caller import b64
from tests.rig import Layout, Rig, Tinies, a_rig
from tests.system.conftest import INJECTING

GUESTS = 30
CONTENT = b"delivered\n"
# All that a program of somebody else's knows: the bus, and the published client.
PROGRAM = """
import sys
from oslo_config import cfg
from injector.rpc import BootOptions, Client
url, config, image = sys.argv[1:]
conf = cfg.ConfigOpts()
conf([f"--config-file={config}"])
with Client.connect(conf, url) as client:
    made = client.boot("elsewhere", image, "1", BootOptions(networks="none", config_drive=True))
    print(made.servers[0]["id"])
"""

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Thirty:
    """The rig, its images, and its guests as they are shown once all have been made."""

    rig: Rig
    tinies: Tinies
    servers: list[Any]


@pytest.fixture(scope="module")
def thirty() -> Iterator[Thirty]:
    """A third each over RPC into a drive, over REST into a partition, and by one request for all of them."""
    with a_rig(Layout(hosts=3, options=INJECTING)) as rig:
        rig.start()
        tinies = rig.furnish_both()
        with rig.rpc_client() as client:
            for number in range(GUESTS // 3):
                cards = (Card(tinies.network),)
                files = (File("/etc/injected", CONTENT),)
                options = BootOptions(networks=cards, files=files, config_drive=True)
                client.boot(f"rpc-{number}", tinies.drive, "1", options)
        asked: dict[str, Any] = {"networks": [{"uuid": tinies.network}], "personality": [_file()]}
        for number in range(GUESTS // 3):
            rig.boot(tinies.partition, f"rest-{number}", **asked)
        rig.boot_many(
            tinies.drive, "batch", min_count=10, max_count=10, return_reservation_id=True, config_drive=True, **asked
        )
        for server in rig.servers():
            rig.wait_for_status(server["id"], "ACTIVE", seconds=600)
        yield Thirty(rig, tinies, rig.servers())


def _file() -> dict[str, str]:
    return {"path": "/etc/injected", "contents": b64(CONTENT)}


def test_they_are_spread_by_load(thirty: Thirty) -> None:
    hosts = Counter(server["OS-EXT-SRV-ATTR:host"] for server in thirty.servers)
    assert hosts.total() == GUESTS
    assert set(hosts) == set(thirty.rig.computes)
    # Two dispatchers may each give a guest to a host before they know of the other's.
    assert max(hosts.values()) - min(hosts.values()) <= 3, hosts


def test_each_got_what_was_asked_by_the_channel_that_was_asked(thirty: Thirty) -> None:
    for server in thirty.servers:
        receipt = thirty.rig.receipt(server["id"])
        assert receipt["channel"] == ("partition" if server["name"].startswith("rest") else "config_drive")
        assert {item["name"]: item["outcome"] for item in receipt["items"]}["/etc/injected"] == "read back"


def test_a_program_of_somebody_elses_boots_one_with_the_published_client(thirty: Thirty, tmp_path: Path) -> None:
    rig = thirty.rig
    words = [sys.executable, "-c", PROGRAM, rig.bus, str(rig.client_config()), thirty.tinies.drive]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    server = rig.wait_for_status(done.stdout.strip(), "ACTIVE", seconds=120)
    assert server["name"] == "elsewhere"
    assert server["injector:plan"]["channel"] == "config_drive"
