"""The services on a real broker and database and libvirt's own test hypervisor: together, alone, late, restarted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from injector.db import open_store
from tests.api_house import eventually
from tests.rig import IN_PROCESS, Furniture, Layout, Rig, Service, a_rig

pytestmark = pytest.mark.servers

OFTEN = {"dispatcher": {"ring_interval": 1}}
ALONE = Layout(hosts=1, dispatchers=1, hypervisor=IN_PROCESS, quorum=False)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with a_rig(hosts=2, apis=2, hypervisor=IN_PROCESS, options=OFTEN) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def furniture(rig: Rig) -> Furniture:
    return rig.furnish()


def boot(rig: Rig, furniture: Furniture, name: str) -> str:
    return rig.boot(furniture.tiny, name, networks=[{"uuid": furniture.network}])


def test_hosts_share_the_work_and_have_the_image_from_the_api(rig: Rig, furniture: Furniture) -> None:
    booted = [rig.wait_for_status(boot(rig, furniture, f"one of {n}"), "ACTIVE") for n in range(4)]
    hosts = [server["OS-EXT-SRV-ATTR:host"] for server in booted]
    assert sorted(hosts) == ["rig-1", "rig-1", "rig-2", "rig-2"]
    for host in rig.computes.values():
        assert [path.name for path in (host.state / "base").glob("*.raw")]
        assert not (host.state / "images").exists()
    rig.empty()


def test_apis_share_their_images(rig: Rig, furniture: Furniture) -> None:
    with rig.client(api=1) as other:
        known = other.get(f"/v2/images/{furniture.tiny}").json()
        content = other.get(f"/v2/images/{furniture.tiny}/file").content
    assert hashlib.sha256(content).hexdigest() == known["os_hash_value"]


def test_a_dispatcher_has_nothing_on_disk(rig: Rig, furniture: Furniture) -> None:
    assert [dispatcher.state.exists() for dispatcher in rig.dispatchers] == [False, False]


def test_one_dispatcher_is_enough(rig: Rig, furniture: Furniture) -> None:
    for dispatcher in rig.dispatchers:
        dispatcher.kill()
        rig.wait_for_status(boot(rig, furniture, f"without {dispatcher.name}"), "ACTIVE")
        dispatcher.start()
    rig.empty()


def test_without_a_dispatcher_all_is_shown_and_what_is_asked_waits_for_one(rig: Rig, furniture: Furniture) -> None:
    running = boot(rig, furniture, "shown")
    rig.wait_for_status(running, "ACTIVE")
    for dispatcher in rig.dispatchers:
        dispatcher.kill()
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(boot, rig, furniture, "patient")
        assert rig.server(running)["status"] == "ACTIVE"
        for dispatcher in rig.dispatchers:
            dispatcher.start()
        rig.wait_for_status(asked.result(90), "ACTIVE")
    assert len(rig.servers()) == 2
    rig.empty()


def test_what_a_frozen_host_was_given_is_done_when_it_is_thawed(rig: Rig, furniture: Furniture) -> None:
    """And a host that is stopped meanwhile takes its work up at its next start."""
    for host in rig.computes.values():
        host.freeze()
    given = [boot(rig, furniture, f"late {n}") for n in range(2)]
    rig.computes["rig-1"].thaw()
    rig.computes["rig-2"].kill()
    rig.computes["rig-2"].start()
    for server_id in given:
        rig.wait_for_status(server_id, "ACTIVE")
    rig.empty()


def test_a_compute_holds_its_state_alone(rig: Rig) -> None:
    second = Service("compute", "second", rig.directory, *rig.computes["rig-1"].options)
    second.start(wait=False)
    assert second.wait() == 1
    assert "another injector runs on this state directory" in second.words()


def test_services_wait_for_their_database_and_for_a_dispatcher() -> None:
    with a_rig(ALONE) as rig:
        (compute,), (dispatcher,) = rig.computes.values(), rig.dispatchers
        for service in (compute, rig.api, dispatcher):
            service.start(wait=False)
        eventually(lambda: "waiting for the database: " in rig.api.news(), 60)
        eventually(lambda: "waiting for the database: " in dispatcher.news(), 60)
        eventually(lambda: "waiting for a dispatcher: " in compute.news(), 60)
        open_store(rig.database).close()
        for service in (compute, rig.api, dispatcher):
            service.wait_until_up()
        rig.wait_for_hosts(rig.computes)


def test_a_service_that_waits_for_its_database_ends_at_once() -> None:
    with a_rig(ALONE) as rig:
        rig.api.start(wait=False)
        eventually(lambda: "waiting for the database: " in rig.api.news(), 60)
        assert rig.api.stop() == 0
