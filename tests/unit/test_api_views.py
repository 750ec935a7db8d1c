"""What callers see: golden documents, and every state in Nova's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from injector.api.microversion import Microversion
from injector.api.views import delivery, flavors, hosts, images, keypairs, limits, networks, servers, versions
from injector.api.views.viewpoint import Viewpoint
from injector.model.finding import Check, Finding
from injector.model.generation import Refresh
from injector.model.guest import GuestState, GuestVerdict
from injector.model.host import BackEnd, HostRecord, Room, Usage
from injector.model.image import DiskFormat
from injector.model.instance import Fault, Instance, Mark, State, Step
from injector.model.network import Address, Forward, NetworkKind, Route
from injector.model.payload import ItemKind
from injector.model.plan import Carriage, ChannelKind, LeftOut, Plan
from injector.model.receipt import Outcome, PassedOver, Receipt, ReceiptItem
from injector.model.secret import Secret
from injector.settings import Quotas
from tests import builders, goldens

LATER = builders.NOON + timedelta(seconds=1, microseconds=500)
OLD = Viewpoint("http://api", Microversion(2, 1))
NEW = Viewpoint("http://api")

FILE = builders.an_item(mode=0o600, owner="ada")
KEY = builders.an_item(ItemKind.KEY, "laptop", size=80, required=False)
DUAL = builders.a_network(
    name="dual",
    kind=NetworkKind.BRIDGE,
    source="br0",
    mtu=1400,
    forwards=(22, 80),
    subnets=(
        builders.a_subnet(routes=(Route("192.0.2.0/24", "10.0.2.1"),)),
        builders.a_subnet(cidr="fd00::/64", gateway=None, dns=(), pool_first=None, pool_last=None),
        builders.a_dhcp_subnet(),
    ),
)
NIC = builders.a_nic(
    network=DUAL,
    addresses=(
        Address(DUAL.subnets[0], "10.0.2.15"),
        Address(DUAL.subnets[1], "fd00::1"),
        Address(DUAL.subnets[2]),
    ),
)
SERVER = builders.an_instance(
    state=State.ACTIVE,
    host="host-1",
    kernel=builders.an_image(id="5ca1ab1e-1111-4000-8000-000000000002", disk_format=DiskFormat.KERNEL),
    key=builders.a_key(),
    metadata={"role": "web"},
    findings=(Finding(Check.FILE_EMPTY, "personality[0].contents", "/etc/motd is empty"),),
    items=(FILE, KEY),
    nics=(NIC, builders.a_nic(mac="52:54:00:00:00:02")),
    forwards=(Forward(NIC.mac, 22, 20022),),
    plan=builders.a_plan(items=(FILE,), left_out=(LeftOut(KEY, "nobody carries it"),)),
    guest=GuestVerdict(GuestState.DEGRADED, "it is late", "agent", LATER),
    marks=(Mark(Step.SCHEDULE, builders.NOON), Mark(Step.RUNNING, LATER)),
    launched_at=LATER,
)
RECEIPT = builders.a_receipt(
    items=(
        ReceiptItem(ItemKind.FILE, "/etc/motd", 5, Outcome.READ_BACK, "hmac-sha256:00", "content/0000", 0o600),
        ReceiptItem(ItemKind.KEY, "laptop", 80, Outcome.LEFT_OUT, reason="nobody carries it"),
    )
)
INJECTED = Receipt(
    ChannelKind.PARTITION,
    "no config drive is wanted",
    (ReceiptItem(ItemKind.FILE, "/etc/motd", 5, Outcome.READ_BACK, "hmac-sha256:00", "/etc/motd", 0o600),),
    back_end="guestfs",
    filesystem="ext4",
    passed_over=(PassedOver("ext", "it uses encrypt, which it does not edit"),),
)
INTO_PARTITION = Plan(
    ChannelKind.PARTITION,
    "no config drive is wanted: ext4, partition 1, by its label",
    (FILE,),
    filesystem="ext4",
    partition=1,
    back_ends=("ext", "guestfs"),
)
FACTS = builders.some_image_facts(selinux="targeted", doubt="partition 15 (vfat) is not read by ext")
HOST = builders.some_host_facts(
    carriages=(
        builders.a_drive_carriage(),
        Carriage(ChannelKind.PARTITION, frozenset({ItemKind.FILE}), any_mode=True, back_ends=("ext",)),
    ),
    back_ends=(BackEnd("ext", True), BackEnd("guestfs", False, "python3-guestfs is not installed")),
)

RECORD = HostRecord(HOST, Usage(2, 3, 1024, 6), Room(64, 8192, 100), False, "a fan", 12.34)

GOLDEN: dict[str, Callable[[], Any]] = {
    "server-2.56": lambda: servers.detail(SERVER, NEW),
    "server-2.1": lambda: servers.detail(SERVER, OLD),
    "server-brief": lambda: servers.brief(SERVER, NEW),
    "server-created": lambda: servers.created((SERVER,), Secret("told once"), NEW),
    "server-receipt": lambda: servers.receipt(SERVER.id, RECEIPT),
    "server-receipt-partition": lambda: servers.receipt(SERVER.id, INJECTED),
    "plan-partition": lambda: delivery.show_plan(INTO_PARTITION),
    "keypair-2.1": lambda: keypairs.brief(builders.a_key(), OLD),
    "keypair-2.56": lambda: keypairs.detail(builders.a_key(), NEW),
    "flavor-2.1": lambda: flavors.detail(builders.a_flavor(), OLD),
    "flavor-2.56": lambda: flavors.detail(builders.a_flavor(), NEW),
    "image": lambda: images.detail(builders.an_image(properties={"hw_machine_type": "q35"})),
    "image-looked-into": lambda: images.detail(builders.an_image(), FACTS),
    "network": lambda: networks.detail(DUAL),
    "host": lambda: hosts.detail(RECORD, 60),
    "limits-2.1": lambda: limits.absolute(Quotas(), Usage(2, 3, 1024), OLD),
    "limits-2.56": lambda: limits.absolute(Quotas(), Usage(2, 3, 1024), NEW),
    "version": lambda: versions.detail("http://api"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_document_is_the_golden_one(name: str) -> None:
    goldens.agrees(f"api/{name}.json", json.dumps(GOLDEN[name](), indent=2) + "\n")


def test_no_secret_of_a_record_is_shown() -> None:
    text = json.dumps(servers.detail(SERVER, NEW))
    assert "ciphertext" not in text
    assert "key_id" not in text


STATES: dict[State, tuple[str, str, str | None, int]] = {
    State.BUILDING: ("BUILD", "building", "scheduling", 0),
    State.ACTIVE: ("ACTIVE", "active", None, 1),
    State.STOPPING: ("ACTIVE", "active", "powering-off", 1),
    State.STOPPED: ("SHUTOFF", "stopped", None, 4),
    State.STARTING: ("SHUTOFF", "stopped", "powering-on", 4),
    State.REBOOTING: ("REBOOT", "active", "rebooting", 1),
    State.REBOOTING_HARD: ("HARD_REBOOT", "active", "rebooting_hard", 1),
    State.REFRESHING: ("ACTIVE", "active", "refreshing", 1),
    State.PAUSING: ("ACTIVE", "active", "pausing", 1),
    State.PAUSED: ("PAUSED", "paused", None, 3),
    State.UNPAUSING: ("PAUSED", "paused", "unpausing", 3),
    State.SUSPENDING: ("ACTIVE", "active", "suspending", 1),
    State.SUSPENDED: ("SUSPENDED", "suspended", None, 4),
    State.RESUMING: ("SUSPENDED", "suspended", "resuming", 4),
    State.REBUILDING: ("REBUILD", "active", "rebuilding", 1),
    State.ERROR: ("ERROR", "error", None, 0),
    State.DELETING: ("ACTIVE", "active", "deleting", 1),
    State.DELETED: ("DELETED", "deleted", None, 0),
}


@pytest.mark.parametrize("state", State)
def test_every_state_in_nova_s_words(state: State) -> None:
    launched = None if state is State.BUILDING else LATER
    view = servers.detail(builders.an_instance(state=state, launched_at=launched), NEW)
    shown = tuple(view[f"OS-EXT-STS:{key}_state"] for key in ("vm", "task", "power"))
    assert (view["status"], *shown) == STATES[state]


def test_a_rebuild_tells_how_far_it_is() -> None:
    seen = []
    for step in Step:
        marks = (Mark(step, builders.NOON),)
        view = servers.detail(builders.an_instance(state=State.REBUILDING, launched_at=LATER, marks=marks), NEW)
        assert view["status"] == "REBUILD"
        seen.append(view["OS-EXT-STS:task_state"])
    assert list(dict.fromkeys(seen)) == ["rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"]


UNSURE = frozenset(State) - {State.STOPPED, State.SUSPENDED, State.ERROR, State.DELETING, State.DELETED}


@pytest.mark.parametrize("state", State)
def test_what_may_run_on_a_silent_host_is_unknown(state: State) -> None:
    instance = builders.an_instance(state=state, host="host-1", allowed=1, launched_at=LATER)
    known, view = servers.detail(instance, NEW), servers.detail(instance, NEW, frozenset({"host-1"}))
    assert (view["status"] == "UNKNOWN") == (state in UNSURE)
    assert (known["injector:host_state"], view["injector:host_state"]) == ("up", "down")
    for kept in ("OS-EXT-STS:vm_state", "OS-EXT-STS:task_state"):
        assert view[kept] == known[kept]


def test_what_was_not_allowed_to_start_is_known_not_to_run() -> None:
    silent = frozenset({"host-1"})
    held = builders.an_instance(host="host-1", attempt=2, allowed=1)
    assert servers.detail(held, NEW, silent)["status"] == "BUILD"
    nowhere = servers.detail(builders.an_instance(host=None), NEW, silent)
    assert (nowhere["status"], nowhere["injector:host_state"]) == ("BUILD", None)


def test_a_server_that_is_off_looks_off_while_it_is_refreshed() -> None:
    asked = Refresh(2, LATER, running=False)
    view = servers.detail(builders.an_instance(state=State.REFRESHING, launched_at=LATER, refresh=asked), NEW)
    assert (view["status"], view["OS-EXT-STS:task_state"]) == ("SHUTOFF", "refreshing")


@pytest.mark.parametrize(
    ("state", "inserted", "said"),
    [
        (State.ACTIVE, 2, "now"),
        (State.ACTIVE, 1, "with the next cold start"),
        (State.STOPPED, 2, "when it is started"),
    ],
)
def test_when_the_guest_has_its_drive_is_said(state: State, inserted: int, said: str) -> None:
    instance = builders.an_instance(state=state, launched_at=LATER, generation=2, inserted=inserted)
    assert servers.detail(instance, NEW)["injector:drive_in_guest"].startswith(said)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"launched_at": None}, "BUILD"),
        ({"fault": Fault(503, "full", LATER)}, "ERROR"),
        ({"launched_at": LATER}, "ACTIVE"),
    ],
)
def test_a_server_being_deleted_keeps_the_look_it_had(changes: dict[str, Any], status: str) -> None:
    view = servers.detail(builders.an_instance(state=State.DELETING, **changes), NEW)
    assert (view["status"], view["OS-EXT-STS:task_state"]) == (status, "deleting")


def test_a_build_tells_how_far_it_is() -> None:
    seen = []
    for step in Step:
        view = servers.detail(builders.an_instance(marks=(Mark(step, builders.NOON),)), NEW)
        assert view["OS-EXT-STS:task_state"] in ("scheduling", "block_device_mapping", "spawning")
        seen.append(view["progress"])
    assert seen == sorted(set(seen))
    assert 0 <= seen[0] <= seen[-1] < 100


def test_addresses_and_faults_are_shown_when_they_mean_something() -> None:
    fault = Fault(409, "the image is corrupt", LATER)
    building = servers.detail(builders.an_instance(fault=fault), NEW)
    assert building["addresses"] == {}
    assert "fault" not in building
    failed = servers.detail(builders.an_instance(state=State.ERROR, fault=fault), NEW)
    assert failed["fault"] == {"code": 409, "created": "2026-03-01T12:00:01Z", "message": "the image is corrupt"}


def test_config_drive_is_what_was_decided_once_it_is() -> None:
    def shown(**changes: Any) -> Any:
        return servers.detail(builders.an_instance(**changes), NEW)["config_drive"]

    assert shown(config_drive=True) == "True"
    assert shown(config_drive=False) == ""
    assert shown(config_drive=False, plan=builders.a_plan()) == "True"
    assert shown(config_drive=True, plan=builders.a_plan(drive_bus=None)) == ""


def test_a_host_is_not_told_but_compared() -> None:
    def host_id(**changes: Any) -> Any:
        return servers.detail(builders.an_instance(**changes), NEW)["hostId"]

    assert host_id(host=None) == ""
    assert host_id(host="a") == host_id(host="a", id="other") != host_id(host="b")
    assert host_id(host="a") != host_id(host="a", project_id="other")


@pytest.mark.parametrize(
    ("value", "view"),
    [
        (builders.a_network(), networks.detail(builders.a_network())),
        (builders.an_image(), images.detail(builders.an_image())),
        (FACTS, images.detail(builders.an_image(), FACTS)["injector_facts"]),
        (FACTS.partitions[0], images.detail(builders.an_image(), FACTS)["injector_facts"]["partitions"][0]),
        (HOST, hosts.detail(RECORD, 60)),
        (HOST.carriages[1], hosts.detail(RECORD, 60)["carriages"][1]),
        (INTO_PARTITION, delivery.show_plan(INTO_PARTITION)),
        (INJECTED, servers.receipt(SERVER.id, INJECTED)),
    ],
)
def test_no_field_of_a_record_is_forgotten(value: Any, view: dict[str, Any]) -> None:
    renamed = {"sha256": "os_hash_value", "properties": "id"}
    for field in fields(value):
        name = renamed.get(field.name, field.name)
        assert name in view or f"injector:{name}" in view


def test_links_escape_what_a_caller_named() -> None:
    (link, _) = NEW.links("flavors", "a b/c?")
    assert link["href"] == "http://api/v2.1/flavors/a%20b%2Fc%3F"
    assert Viewpoint().links("servers", "x")[0]["href"] == "/v2.1/servers/x"


def test_instances_have_no_field_the_view_was_not_told_of() -> None:
    """A new field of the record wants a decision: shown, or named here as not for callers."""
    hidden = {"payload", "items", "asked_metadata", "tried", "revision", "receipt", "ramdisk", "launch_index"}
    hidden |= {"generations_made", "allowed", "launched", "calls", "asked_zone"}
    shown = {"id", "name", "hostname", "project_id", "user_id", "reservation_id", "image", "flavor", "created_at"}
    shown |= {
        "updated_at",
        "kernel",
        "key",
        "more_keys",
        "metadata",
        "nics",
        "disk_tag",
        "forwards",
        "config_drive",
        "availability_zone",
        "state",
    }
    shown |= {
        "host",
        "attempt",
        "plan",
        "generation",
        "inserted",
        "refresh",
        "guest",
        "fault",
        "marks",
        "launched_at",
        "terminated_at",
        "request_id",
        "findings",
    }
    assert {field.name for field in fields(Instance)} == hidden | shown
