"""The api's behaviour suite, continued: a guest that stands still, goes on, and is made anew."""

from __future__ import annotations

from typing import Any

import pytest

from injector.model.image import DiskFormat, ImageStatus
from injector.model.payload import ItemKind, Payload
from injector.model.secret import Secret
from tests import builders
from tests.api_house import ApiHouse, eventually
from tests.operations import NOBODY, a_file, b64, booted, settled
from tests.speakers import Document, Refusal, Speaker


def looks(view: Document) -> tuple[Any, ...]:
    return (view["status"], *(view[f"OS-EXT-STS:{what}_state"] for what in ("vm", "task", "power")))


# standing still


def test_a_guest_is_paused_and_suspended_and_goes_on(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    for word, after in (
        ("pause", ("PAUSED", "paused", None, 3)),
        ("unpause", ("ACTIVE", "active", None, 1)),
        ("suspend", ("SUSPENDED", "suspended", None, 4)),
        ("resume", ("ACTIVE", "active", None, 1)),
    ):
        ask.switch(server_id, word)
        assert looks(settled(ask, server_id)) == after


@pytest.mark.parametrize(
    ("word", "during"),
    [("pause", ("ACTIVE", "active", "pausing", 1)), ("suspend", ("ACTIVE", "active", "suspending", 1))],
)
def test_what_is_under_way_is_said_and_found(
    house: ApiHouse, ask: Speaker, server: Document, word: str, during: tuple[Any, ...]
) -> None:
    server_id = booted(ask, server)
    house.compute.deaf = True
    ask.switch(server_id, word)
    assert looks(ask.server(server_id)) == during
    assert [view["id"] for view in ask.servers(status="ACTIVE")] == [server_id]
    with pytest.raises(Refusal) as busy:
        ask.switch(server_id, word)
    assert busy.value.status == 409


def test_what_cannot_stand_still_or_go_on_is_refused(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    for word in ("unpause", "resume"):
        with pytest.raises(Refusal, match="active cannot become") as refused:
            ask.switch(server_id, word)
        assert refused.value.status == 409
    (held,), _ = ask.create_server(server | {"metadata": {"fate": "hold"}})
    with pytest.raises(Refusal, match="never launched") as early:
        ask.switch(held, "pause")
    assert early.value.status == 409
    with pytest.raises(Refusal) as nobody:
        ask.switch(NOBODY, "pause")
    assert nobody.value.status == 404


def test_each_status_finds_its_servers(ask: Speaker, server: Document) -> None:
    paused, suspended = booted(ask, server), booted(ask, server)
    ask.switch(paused, "pause")
    ask.switch(suspended, "suspend")
    for server_id, status in ((paused, "PAUSED"), (suspended, "SUSPENDED")):
        settled(ask, server_id)
        assert [view["id"] for view in ask.servers(status=status)] == [server_id]
    assert ask.servers(status="REBUILD") == []


# made anew


def payload_of(house: ApiHouse, server_id: str) -> Payload:
    return house.vault.unseal(server_id, house.store.payload(server_id))


def test_a_rebuild_delivers_the_same_again(house: ApiHouse, ask: Speaker, server: Document) -> None:
    ask.create("keypair", {"name": "laptop", "public_key": builders.PUBLIC_KEY})
    asked = {
        "user_data": b64(b"#!/bin/sh"),
        "personality": [a_file() | {"injector:best_effort": True}],
        "metadata": {"role": "web"},
        "key_name": "laptop",
        "injector:best_effort": ["user_data"],
    }
    server_id = booted(ask, server | asked)
    ask.delete("keypair", "laptop")
    before, items = payload_of(house, server_id), house.store.instance(server_id).items
    other = house.an_image()
    view, password = ask.rebuild(server_id, {"imageRef": other.id})
    assert (view["id"], view["image"]["id"], view["key_name"]) == (server_id, other.id, "laptop")
    assert password is not None
    assert len(password) == 12
    after = payload_of(house, server_id)
    assert (after.random_seed, after.user_data, after.files) == (before.random_seed, before.user_data, before.files)
    assert after.admin_password == Secret(password) != before.admin_password
    view = settled(ask, server_id)
    assert (view["status"], view["metadata"], view["injector:attempt"]) == ("ACTIVE", {"role": "web"}, 2)
    instance = house.store.instance(server_id)
    assert (instance.image, instance.items) == (other, items)
    assert {item.kind: item.required for item in items} == {
        ItemKind.KEY: True,
        ItemKind.FILE: False,
        ItemKind.METADATA: True,
        ItemKind.USER_DATA: False,
    }
    kinds = [item["kind"] for item in ask.receipt(server_id)["items"]]
    assert sorted(kinds) == ["file", "key", "metadata", "user_data"]


def test_what_a_rebuild_names_takes_the_place_of_what_there_was(
    house: ApiHouse, ask: Speaker, server: Document
) -> None:
    for name in ("laptop", "desk"):
        ask.create("keypair", {"name": name, "public_key": builders.PUBLIC_KEY})
    first = {"personality": [a_file("/etc/one")], "user_data": b64(b"#!/bin/sh"), "metadata": {"role": "web"}}
    server_id = booted(ask, server | first | {"key_name": "laptop", "injector:keys": ["desk"]})
    asked = {
        "imageRef": server["imageRef"],
        "name": "renamed",
        "personality": [a_file("/etc/two")],
        "user_data": b64(b"#cloud-config\n{}"),
        "metadata": {"tier": "1"},
        "key_name": "desk",
        "adminPass": "geheim",
        "preserve_ephemeral": False,
        "OS-DCF:diskConfig": "MANUAL",
    }
    view, password = ask.rebuild(server_id, asked)
    assert password == "geheim"
    assert "geheim" not in repr(ask.server(server_id))
    view = settled(ask, server_id)
    assert (view["name"], view["OS-EXT-SRV-ATTR:hostname"], view["metadata"]) == ("renamed", "web", {"tier": "1"})
    assert view["injector:keys"] == ["desk"]
    payload = payload_of(house, server_id)
    assert [file.path for file in payload.files] == ["/etc/two"]
    assert (payload.user_data, payload.admin_password) == (Secret(b"#cloud-config\n{}"), Secret("geheim"))
    assert {(item.kind, item.name) for item in house.store.instance(server_id).items} == {
        (ItemKind.KEY, "desk"),
        (ItemKind.FILE, "/etc/two"),
        (ItemKind.METADATA, "metadata"),
        (ItemKind.USER_DATA, "user_data"),
        (ItemKind.PASSWORD, "password"),
    }
    nothing: Document = {"personality": [], "user_data": None, "metadata": {}, "key_name": None}
    _, made = ask.rebuild(server_id, {"imageRef": server["imageRef"]} | nothing)
    settled(ask, server_id)
    instance, payload = house.store.instance(server_id), payload_of(house, server_id)
    assert (instance.keys, instance.items, payload.user_data, payload.files) == ((), (), None, ())
    assert payload.admin_password == Secret(str(made)), "a given one is not delivered for ever"


def test_a_rebuild_looks_like_one_while_it_goes_on(house: ApiHouse, ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    ask.switch(server_id, "pause")
    settled(ask, server_id)
    with pytest.raises(Refusal, match="paused cannot become rebuilding") as refused:
        ask.rebuild(server_id, {"imageRef": server["imageRef"]})
    assert refused.value.status == 409
    ask.switch(server_id, "unpause")
    settled(ask, server_id)
    house.compute.deaf = True
    view, _ = ask.rebuild(server_id, {"imageRef": server["imageRef"]})
    assert looks(view)[:3] == looks(ask.server(server_id))[:3] == ("REBUILD", "active", "rebuilding")
    assert [one["id"] for one in ask.servers(status="rebuild")] == [server_id]
    with pytest.raises(Refusal, match="in use: server") as needed:
        ask.delete("image", server["imageRef"])
    assert needed.value.status == 409
    with pytest.raises(Refusal) as busy:
        ask.rebuild(server_id, {"imageRef": server["imageRef"]})
    assert busy.value.status == 409


def test_a_server_that_is_off_or_in_error_is_made_anew_and_runs(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    ask.stop(server_id)
    eventually(lambda: ask.server(server_id)["status"] == "SHUTOFF")
    ask.rebuild(server_id, {"imageRef": server["imageRef"], "metadata": {"fate": "fail"}})
    view = settled(ask, server_id)
    assert (view["status"], "backing file" in view["fault"]["message"]) == ("ERROR", True)
    ask.rebuild(server_id, {"imageRef": server["imageRef"], "metadata": {}})
    assert settled(ask, server_id)["status"] == "ACTIVE"


def test_a_refused_rebuild_changes_nothing(house: ApiHouse, ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server | {"user_data": b64(b"#!/bin/sh")})
    before, instance = payload_of(house, server_id), house.store.instance(server_id)
    queued = house.an_image(status=ImageStatus.QUEUED, virtual_size=None, size=None, sha256=None)
    no_agent = house.an_image(properties={"injector_agent": "no"})
    for named, status, wrong in (
        ("imageRef", 400, {"imageRef": NOBODY}),
        ("imageRef", 400, {"imageRef": ""}),
        ("not active", 400, {"imageRef": queued.id}),
        ("aki", 400, {"imageRef": house.an_image(disk_format=DiskFormat.KERNEL).id}),
        ("too small", 400, {"imageRef": house.an_image(virtual_size=100 * 1024**3).id}),
        ("key_name", 400, {"key_name": "nobody"}),
        ("user_data", 400, {"user_data": "%%% rubbish %%%"}),
        ("cloud_config_yaml", 400, {"user_data": b64(b"#cloud-config\na: [")}),
        (r"personality\[0\].contents", 400, {"personality": [{"path": "/a"}]}),
        ("[Pp]ersonality", 403, {"personality": [a_file(f"/{number}") for number in range(6)]}),
        ("metadata", 403, {"metadata": {str(number): "" for number in range(129)}}),
        ("'/etc/motd' cannot be delivered: .*mode or owner", 409, {"personality": [a_file(mode="0600")]}),
        ("user-data cannot be delivered: .*no agent", 409, {"imageRef": no_agent.id}),
        ("description", 400, {"description": "front"}),
        ("hostname", 400, {"hostname": "other"}),
        ("preserve_ephemeral", 400, {"preserve_ephemeral": True}),
        ("OS-DCF:diskConfig", 400, {"OS-DCF:diskConfig": "AUTO"}),
        ("colour", 400, {"colour": "blue"}),
    ):
        with pytest.raises(Refusal, match=named) as refused:
            ask.rebuild(server_id, {"imageRef": server["imageRef"]} | wrong)
        assert refused.value.status == status
    assert payload_of(house, server_id) == before
    assert house.store.instance(server_id) == instance


def test_a_refused_rebuild_shows_no_secret(ask: Speaker, server: Document) -> None:
    server_id = booted(ask, server)
    for secret in ("adminPass", "user_data"):
        with pytest.raises(Refusal) as refused:
            ask.rebuild(server_id, {"imageRef": server["imageRef"], secret: {"hidden": "swordfish"}})
        assert "swordfish" not in refused.value.message
