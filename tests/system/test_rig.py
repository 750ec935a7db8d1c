"""A rig with real guests: on every host, and gone at the end whatever has happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.caller import b64
from tests.rig import Layout, Rig, a_rig
from tests.system import leftovers

pytestmark = pytest.mark.servers

SMALL = Layout(hosts=2, dispatchers=1, quorum=False)


class Trouble(Exception):
    """What a test that fails in the middle raises."""


def boot_on_both(rig: Rig) -> list[str]:
    rig.start()
    made = rig.furnish()
    networks = [{"uuid": made.network}]
    spoken = b64("#!/bin/sh\necho hello from the rig\n")
    return [rig.boot(made.tiny, f"guest-{number}", networks=networks, user_data=spoken) for number in range(2)]


def test_guests_speak_on_every_host_and_nothing_is_left() -> None:
    with a_rig(SMALL) as rig:
        for server_id in boot_on_both(rig):
            rig.wait_for_guest(server_id, "done")
            assert "hello from the rig" in rig.console(server_id)
        found = rig.leftovers()
        assert len(found.directories) == len(found.domains) == len(found.emulators) == 2
        for host in rig.computes:
            assert len(rig.leftovers_of(host).domains) == 1
        rig.empty()
        assert rig.left_by_injection() == frozenset()


def fail_in_the_middle(directories: list[Path]) -> None:
    with a_rig(SMALL) as rig:
        directories.append(rig.directory)
        for server_id in boot_on_both(rig):
            rig.wait_for_status(server_id, "ACTIVE")
        rig.computes["rig-1"].freeze()
        rig.api.kill()
        raise Trouble


def test_nothing_of_a_rig_that_failed_runs_on() -> None:
    directories: list[Path] = []
    with pytest.raises(Trouble):
        fail_in_the_middle(directories)
    (directory,) = directories
    assert not directory.exists()
    assert leftovers.of_host(directory) == leftovers.NOTHING
    assert leftovers.injection(directory, []) == frozenset()
