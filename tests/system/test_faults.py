"""Each fault once, while guests are made, changed and deleted: nothing is lost, runs twice, gets stuck or stays behind.

``tox -e faults`` has more of each.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.daemon import STATE_ROOT
from tests.faults.case import Pace, Stage, a_stage, keep_logs
from tests.faults.kinds import KINDS
from tests.faults.private import private_servers
from tests.faults.sightings import Sightings
from tests.own_libvirt import OwnLibvirt

SEED = int(os.environ.get("INJECTOR_SEED", "2"))
PORT = 18940
# The long run has the broker down for longer, and waits longer for guests to speak.
PACE = Pace(outage=8.0, words=15.0)

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with private_servers(PORT) as servers, a_stage(servers, PACE) as found:
        yield found


DOMAIN = """
<domain type="qemu">
  <name>injector-5ca1ab1e-0000-4000-8000-0000000000aa</name>
  <uuid>5ca1ab1e-0000-4000-8000-0000000000aa</uuid>
  <memory unit="MiB">32</memory>
  <os><type machine="q35">hvm</type></os>
</domain>
"""


def test_a_guest_that_runs_on_two_hosts_at_once_is_seen(tmp_path: Path) -> None:
    """The proof that the column of those that ran twice can have another number than 0."""
    definition = tmp_path / "domain.xml"
    definition.write_text(DOMAIN)
    with tempfile.TemporaryDirectory(dir=STATE_ROOT) as directory, ExitStack() as undo:
        hosts = {name: OwnLibvirt(Path(directory) / name) for name in ("one", "other")}
        for host in hosts.values():
            undo.callback(host.end)
            host.start()
            virsh(host, "create", definition)
            undo.callback(virsh, host, "destroy", "5ca1ab1e-0000-4000-8000-0000000000aa")
        sightings = Sightings(hosts)
        sightings.look()
        assert list(sightings.twice) == ["injector-5ca1ab1e-0000-4000-8000-0000000000aa"]


def virsh(host: OwnLibvirt, *words: str | Path) -> None:
    subprocess.run(["virsh", "--connect", host.uri, *words], check=True, capture_output=True)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_runs_twice_gets_stuck_or_stays_behind(kind: str, stage: Stage, tmp_path: Path) -> None:
    result = stage.run(kind, SEED, 0)
    assert result.clean, (result, keep_logs(stage.rig, tmp_path))
