"""The daemon as a user of its own, in the groups ``injector`` and ``libvirt`` only."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Iterator

import pytest

from tests.daemon import Daemon, User, a_daemon, b64
from tests.reach import a_seat_for_anybody
from tests.system.conftest import House, furnish
from tests.system.test_tiny_guest import check_owners

USER = "injector-test"


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """One with its own primary group, of devstack/test.sh: made here, it would change /etc/passwd under other tests."""
    assert USER in {entry.pw_name for entry in pwd.getpwall()}, "devstack/test.sh makes it"
    with a_seat_for_anybody() as seat:
        yield User(USER, seat)


def prepare(daemon: Daemon, user: User) -> None:
    """What the tmpfiles.d snippet does for an installed service."""
    owner, qemu = pwd.getpwnam(user.name), grp.getgrnam("libvirt-qemu").gr_gid
    daemon.state.mkdir(mode=0o711)
    os.chown(daemon.state, owner.pw_uid, owner.pw_gid)
    for name in ("instances", "base", "images"):
        directory = daemon.state / name
        directory.mkdir()
        os.chown(directory, owner.pw_uid, qemu)
        directory.chmod(0o2711)
    shutil.chown(daemon.config, owner.pw_uid)
    daemon.log.touch()
    shutil.chown(daemon.log, owner.pw_uid)


def test_boot_receipt_delete_with_two_guests_on_one_base(user: User) -> None:
    with a_daemon({"libvirt": {"shutdown_timeout": 10}}, user=user) as daemon:
        prepare(daemon, user)
        daemon.start()
        assert os.stat(f"/proc/{daemon.pid}").st_uid == pwd.getpwnam(user.name).pw_uid
        house: House = furnish(daemon)
        ids = [daemon.boot(house.tiny, name, user_data=b64("#!/bin/sh\n:\n")) for name in ("one", "two")]
        for server_id in ids:
            daemon.wait_for_guest(server_id, "done", seconds=240)
            check_owners(daemon, server_id)
            assert {item["outcome"] for item in daemon.receipt(server_id)["items"]} <= {"read back", "witnessed"}
            assert "tiny-guest: drive=" in daemon.console(server_id)
        assert len(list((daemon.state / "base").glob("*.qcow2"))) == 1
        daemon.delete(ids[0])
        daemon.wait_until_gone(ids[0])
        check_owners(daemon, ids[1])
        daemon.act(ids[1], {"os-stop": None})
        daemon.wait_for_status(ids[1], "SHUTOFF", seconds=240)
        check_owners(daemon, ids[1])
        daemon.act(ids[1], {"os-start": None})
        daemon.wait_for_guest(ids[1], "done", seconds=240)
        daemon.delete(ids[1])
        daemon.wait_until_gone(ids[1])
        assert list((daemon.state / "instances").iterdir()) == []
