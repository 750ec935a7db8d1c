"""The api's behaviour suite, continued: hosts, the operator's word on them, and guests whose host is silent."""

from __future__ import annotations

import pytest

from tests.api_house import HOST, ApiHouse, eventually
from tests.operations import NOBODY, booted, settled
from tests.speakers import Document, Refusal, Speaker

OTHER = "host-2"


def test_a_host_says_what_it_is_and_has_promised(house: ApiHouse, ask: Speaker, server: Document) -> None:
    booted(ask, server)
    (host,) = ask.hosts()
    assert (host["name"], host["virt"]["virt_type"], host["policy"]["force_config_drive"]) == (HOST, "qemu", True)
    assert "file" in host["carriages"][0]["kinds"]
    assert (host["enabled"], host["disabled_reason"], host["state"]) == (True, None, "up")
    assert host["silent_seconds"] < 60
    assert host["usage"] == {"guests": 1, "vcpus": 1, "ram": 512, "disk": 3}
    assert (host["room"]["vcpus"], host["room"]["disk"]) == (64, 100)
    house.silence(HOST)
    silent = ask.host(HOST)
    assert (silent["state"], silent["silent_seconds"] > 3500) == ("down", True)
    with pytest.raises(Refusal) as refused:
        ask.host("nowhere")
    assert refused.value.status == 404


def test_hosts_are_paged_by_name(house: ApiHouse, ask: Speaker) -> None:
    for name in ("host-3", OTHER):
        house.another_host(name)
    assert [host["name"] for host in ask.hosts()] == [HOST, OTHER, "host-3"]
    assert [host["name"] for host in ask.hosts(limit="2")] == [HOST, OTHER]
    assert [host["name"] for host in ask.hosts(marker=OTHER)] == ["host-3"]
    with pytest.raises(Refusal, match="marker") as refused:
        ask.hosts(marker="nowhere")
    assert refused.value.status == 404
    with pytest.raises(Refusal, match="colour"):
        ask.hosts(colour="blue")


def test_a_page_of_hosts_leads_to_the_next(house: ApiHouse) -> None:
    house.another_host(OTHER)
    page = house.rest().get("/v2.1/injector-hosts", params={"limit": 1}).json()
    (link,) = page["hosts_links"]
    (host,) = house.rest().get(link["href"]).json()["hosts"]
    assert (page["hosts"][0]["name"], host["name"]) == (HOST, OTHER)


def test_a_disabled_host_gets_no_guests_and_keeps_those_it_has(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    view = ask.disable_host(HOST, "a fan")
    assert (view["enabled"], view["disabled_reason"]) == (False, "a fan")
    with pytest.raises(Refusal) as refused:
        ask.create_server(server)
    assert refused.value.status == 503
    ask.stop(server_id)
    eventually(lambda: ask.server(server_id)["status"] == "SHUTOFF")
    enabled, shown = ask.enable_host(HOST), ask.host(HOST)
    assert enabled.pop("silent_seconds") <= shown.pop("silent_seconds")
    assert enabled == shown
    assert (shown["enabled"], shown["disabled_reason"]) == (True, None)
    booted(ask, server)


def test_a_drained_host_keeps_what_runs_and_loses_what_does_not_yet(
    house: ApiHouse, ask: Speaker, server: Document
) -> None:
    running = booted(ask, server)
    (held,), _ = ask.create_server(server | {"metadata": {"fate": "hold"}})
    house.another_host(OTHER)
    assert ask.drain_host(HOST, "a fan") == [running]
    assert ask.host(HOST)["disabled_reason"] == "a fan"
    eventually(lambda: ask.server(held)["OS-EXT-SRV-ATTR:host"] == OTHER)
    assert ask.server(running)["OS-EXT-SRV-ATTR:host"] == HOST


def test_guests_leave_a_dead_host_on_the_operator_s_word_only(house: ApiHouse, ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    house.another_host(OTHER)
    for word in (ask.evacuate_host, ask.forget_host):
        with pytest.raises(Refusal, match="alive") as refused:
            word(HOST)
        assert refused.value.status == 409
    house.silence(HOST)
    with pytest.raises(Refusal) as used:
        ask.forget_host(HOST)
    assert used.value.status == 409
    assert ask.evacuate_host(HOST) == [server_id]
    eventually(lambda: ask.server(server_id)["status"] == "ACTIVE")
    assert ask.server(server_id)["OS-EXT-SRV-ATTR:host"] == OTHER
    ask.forget_host(HOST)
    assert [host["name"] for host in ask.hosts()] == [OTHER]


@pytest.mark.parametrize("reason", ["", "x" * 256, "a\nb", 7])
def test_a_reason_is_one_line(ask: Speaker, reason: str) -> None:
    with pytest.raises(Refusal, match="reason") as refused:
        ask.disable_host(HOST, reason)
    assert refused.value.status == 400
    assert ask.host(HOST)["enabled"]


def test_nobody_is_asked_about_a_host_that_is_not_known(ask: Speaker) -> None:
    for word in (ask.enable_host, ask.evacuate_host, ask.forget_host):
        with pytest.raises(Refusal, match="nowhere") as refused:
            word("nowhere")
        assert refused.value.status == 404


def test_a_zone_is_available_while_a_host_in_it_takes_guests(house: ApiHouse) -> None:
    house.another_host(OTHER, availability_zone="attic")
    house.silence(OTHER)
    zones = house.rest().get("/v2.1/os-availability-zone").json()["availabilityZoneInfo"]
    assert [(zone["zoneName"], zone["zoneState"]["available"]) for zone in zones] == [("attic", False), ("nova", True)]


# guests whose host is silent


def test_a_guest_on_a_silent_host_is_unknown_until_it_is_heard_again(
    house: ApiHouse, ask: Speaker, server: Document
) -> None:
    server_id = booted(ask, server)
    before = ask.server(server_id)
    assert (before["status"], before["injector:host_state"]) == ("ACTIVE", "up")
    house.silence(HOST)
    for view in (ask.server(server_id), ask.servers()[0]):
        assert (view["status"], view["injector:host_state"]) == ("UNKNOWN", "down")
        assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:task_state"]) == ("active", None)
        assert view["OS-EXT-STS:power_state"] == 0
    ask.stop(server_id)
    assert ask.server(server_id)["OS-EXT-STS:task_state"] in ("powering-off", None)
    house.compute.start()
    settled(ask, server_id)
    assert ask.server(server_id)["status"] == "SHUTOFF"


def test_what_is_certain_stays_so(house: ApiHouse, ask: Speaker, server: Document) -> None:
    off, failed, held, starting = (
        booted(ask, server),
        booted(ask, server | {"metadata": {"fate": "fail"}}),
        *ask.create_server(server | {"metadata": {"fate": "hold"}})[0],
        *ask.create_server(server | {"metadata": {"fate": "start"}})[0],
    )
    ask.stop(off)
    eventually(lambda: ask.server(off)["status"] == "SHUTOFF")
    eventually(lambda: ask.server(starting)["OS-EXT-STS:task_state"] == "spawning")
    house.silence(HOST)
    seen = {view["id"]: (view["status"], view["injector:host_state"]) for view in ask.servers()}
    assert (seen[off], seen[failed], seen[held]) == (("SHUTOFF", "down"), ("ERROR", "down"), ("BUILD", "down"))
    assert seen[starting] == ("UNKNOWN", "down"), "it was allowed to start, and may run"
    assert ask.server(starting)["OS-EXT-STS:vm_state"] == "building"


def test_unknown_servers_are_found_by_that_and_by_nothing_else(house: ApiHouse, ask: Speaker, server: Document) -> None:
    lost = [booted(ask, server) for _ in range(3)]
    house.another_host(OTHER)
    ask.disable_host(HOST, None)
    here = booted(ask, server)
    assert ask.servers(status="UNKNOWN") == []
    house.silence(HOST)
    assert [view["id"] for view in ask.servers(status="unknown")] == lost[::-1]
    assert [view["id"] for view in ask.servers(status="UNKNOWN", limit="2")] == lost[:0:-1]
    assert [view["id"] for view in ask.servers(status="UNKNOWN", marker=lost[2], limit="1")] == [lost[1]]
    assert ask.servers(status="UNKNOWN", host=OTHER) == []
    assert [view["id"] for view in ask.servers(status="ACTIVE")] == [here]
    assert [view["id"] for view in ask.servers(status="ACTIVE", limit="1")] == [here]
    house.silence(OTHER)
    assert [view["id"] for view in ask.servers(status="UNKNOWN")] == [here, *lost[::-1]]
    with pytest.raises(Refusal) as refused:
        ask.servers(status="UNKNOWN", marker=NOBODY)
    assert refused.value.status == 404
