"""Config drives of a server over both APIs: refreshed, compared, verified."""

from __future__ import annotations

from typing import Any

import pytest

from injector.model.instance import State
from injector.model.plan import ChannelKind, Plan
from tests import builders
from tests.api_house import ApiHouse, eventually
from tests.operations import NOBODY, booted, settled
from tests.speakers import Document, Refusal, Speaker


def refreshed(ask: Speaker, server_id: str, **wanted: Any) -> Document:
    """The server once it is given the drive."""
    ask.refresh(server_id, **wanted)
    return settled(ask, server_id)


def test_a_refresh_says_what_it_means_and_then_that_the_guest_has_it(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"metadata": {"role": "web"}})
    ask.set_metadata(server_id, {"role": "db"}, False)
    begun = ask.refresh(server_id)
    assert (begun["generation"], begun["policy"], begun["server_id"]) == (2, "keep-id", server_id)
    assert "does not read the drive" in begun["meaning"]
    assert "at once" in begun["when"]
    eventually(lambda: ask.server(server_id)["OS-EXT-STS:task_state"] is None)
    view = ask.server(server_id)
    assert (view["injector:generation"], view["injector:drive_in_guest"], view["status"]) == (2, "now", "ACTIVE")
    assert ask.receipt(server_id)["drive_digest"] == ask.generations(server_id)[1]["drive_digest"]


def test_a_new_id_is_told_to_the_guest_and_is_not_the_servers(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    assert "runs again" in ask.refresh(server_id, policy="new-id")["meaning"]
    eventually(lambda: ask.server(server_id)["injector:generation"] == 2)
    first, second = ask.generations(server_id)
    assert first["uuid"] == server_id != second["uuid"]
    assert "takes up that instance" in ask.refresh(server_id, to=1)["meaning"]
    eventually(lambda: ask.server(server_id)["injector:generation"] == 1)
    assert [one["current"] for one in ask.generations(server_id)] == [True, False]


def test_generations_are_compared_by_name_and_digest(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"metadata": {"role": "geheim"}})
    refreshed(ask, server_id)
    assert ask.compare(server_id, 2, 2) == []
    changes = {one["what"]: one["change"] for one in ask.compare(server_id, 1, 2)}
    assert changes == {"metadata": "changed", "made at": "changed"}
    assert "geheim" not in repr(ask.generations(server_id))
    with pytest.raises(Refusal, match="3 is not kept; there is: 1, 2") as refused:
        ask.compare(server_id, 1, 3)
    assert refused.value.status == 404


def test_as_many_generations_are_kept_as_the_operator_says(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    for _ in range(6):
        refreshed(ask, server_id)
    assert [one["number"] for one in ask.generations(server_id)] == [3, 4, 5, 6, 7]
    with pytest.raises(Refusal, match="Generation 1") as refused:
        ask.refresh(server_id, to=1)
    assert refused.value.status == 404
    assert ask.server(server_id)["injector:generation"] == 7


def test_a_server_that_is_off_is_refreshed_for_its_next_start(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    ask.stop(server_id)
    eventually(lambda: ask.server(server_id)["status"] == "SHUTOFF")
    assert "is off" in ask.refresh(server_id)["when"]
    eventually(lambda: ask.server(server_id)["injector:generation"] == 2)
    view = ask.server(server_id)
    assert (view["status"], view["injector:drive_in_guest"]) == ("SHUTOFF", "when it is started")
    ask.start(server_id)
    eventually(lambda: ask.server(server_id)["injector:drive_in_guest"] == "now")


def test_a_medium_that_cannot_be_changed_comes_with_the_next_cold_start(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"metadata": {"fate": "virtio"}})
    view = refreshed(ask, server_id)
    assert view["injector:generation"] == 2
    assert "cold start" in view["injector:drive_in_guest"]
    assert [one["inserted"] for one in ask.generations(server_id)] == [True, False]
    ask.reboot(server_id, hard=False)
    eventually(lambda: ask.server(server_id)["injector:drive_in_guest"] == "now")


def test_a_refresh_that_fails_says_why_and_changes_nothing(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"metadata": {"fate": "full"}})
    view = refreshed(ask, server_id)
    assert (view["status"], view["injector:generation"], view["injector:fault"]) == ("ACTIVE", 1, "the disk is full")
    assert len(ask.generations(server_id)) == 1


def test_what_cannot_be_refreshed_is_refused(house: ApiHouse, ask: Speaker, server: Document) -> None:
    bare = builders.an_instance(
        project_id="admin", nics=(), state=State.ACTIVE, launched_at=builders.NOON, plan=Plan(ChannelKind.NONE, "why")
    )
    house.store.add_instances((bare,))
    with pytest.raises(Refusal, match="no config drive: why") as refused:
        ask.refresh(bare.id)
    assert refused.value.status == 409
    assert ask.generations(bare.id) == []
    (held,), _ = ask.create_server(server | {"metadata": {"fate": "hold"}})
    for ask_for in (ask.refresh, ask.verify):
        with pytest.raises(Refusal) as busy:
            ask_for(held)
        assert busy.value.status == 409
    server_id = booted(ask, server)
    for wrong in ({"policy": "other-id"}, {"to": 0}, {"policy": "keep-id", "to": 1}):
        with pytest.raises(Refusal) as nonsense:
            ask.refresh(server_id, **wrong)
        assert nonsense.value.status == 400


def test_verify_tells_each_difference(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    assert ask.verify(server_id) == {
        "server_id": server_id,
        "generation": 1,
        "intact": True,
        "differences": [],
        "made_again": None,
    }
    spoiled = booted(ask, server | {"metadata": {"fate": "spoiled"}})
    found = ask.verify(spoiled)
    assert (found["intact"], found["differences"]) == (False, ["user-data: another content"])


def test_a_diff_says_what_a_refresh_now_would_change(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"metadata": {"role": "web"}})
    assert ask.diff(server_id) == []
    ask.set_metadata(server_id, {"role": "db"}, replace=False)
    assert ask.diff(server_id) == [{"what": "openstack/latest/meta_data.json#/meta", "change": "changed"}]
    with pytest.raises(Refusal) as refusal:
        ask.diff(NOBODY)
    assert refusal.value.status == 404
