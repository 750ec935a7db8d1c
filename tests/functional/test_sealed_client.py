"""The published client over a bus that somebody listens on: what is secret passes sealed, whatever key is in use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from injector.api.rpc import TOPIC, ApiEndpoint
from injector.errors import InvalidRequest, KeyUnknown
from injector.model.context import Context
from injector.model.secret import Secret
from injector.rpc import BootOptions, Client, File, RebuildOptions
from injector.rpc.bus import Bus
from injector.rpc.sealing import Opener, Sealer
from tests.api_house import HOST, ApiHouse, eventually
from tests.worlds import World

OLD, NEW = b"o" * 32, b"n" * 32
PASSWORD, FILE, USER_DATA = "tr0ub4dor", b"zw1tterwolf", b"#!/bin/sh\n# qu1ckbrownfox\n"
GIVEN = BootOptions(networks="none", user_data=USER_DATA, files=(File("/etc/word", FILE),), admin_password=PASSWORD)


class Tapped(Bus):
    """A bus that keeps all that is said on it."""

    said: list[str]

    def call(self, topic: str, method: str, /, **arguments: Any) -> Any:
        reply = super().call(topic, method, **arguments)
        self.said.append(json.dumps([topic, method, {**arguments, "context": None}, reply]))
        return reply


class Front:
    """An api of its own in front of the house, on a bus with a tap."""

    def __init__(self, house: ApiHouse, transport_url: str) -> None:
        self.house = house
        self.bus = Tapped.open(cfg.ConfigOpts(), transport_url)
        self.bus.said = []
        self.client = Client(self.bus)
        self.image, self.flavor = house.an_image().id, house.a_flavor().id
        self._served: list[Any] = []

    def serve(self, *keys: bytes) -> None:
        """With these keys only from now on."""
        self.answer_with(Opener(keys))

    def answer_with(self, opener: Opener) -> None:
        for served in self._served:
            served.stop()
            served.wait()
        endpoint = ApiEndpoint(self.house.operations, opener, sealed_only=True)
        self._served = [self.bus.serve(TOPIC, HOST, endpoint)]

    @property
    def said(self) -> str:
        return "\n".join(self.bus.said)


@pytest.fixture
def front(tmp_path: Path, world: World, transport_url: str) -> Iterator[Front]:
    with ApiHouse(tmp_path, world=world) as house:
        front = Front(house, transport_url)
        front.serve(OLD)
        yield front
        front.bus.close()


def test_what_a_boot_is_given_passes_sealed(front: Front) -> None:
    booted = front.client.boot("keeper", front.image, front.flavor, GIVEN)
    front.client.preview("keeper", front.image, front.flavor, GIVEN)
    (server,) = booted.servers
    front.client.show(server["id"])
    payload = front.house.vault.unseal(server["id"], front.house.store.payload(server["id"]))
    assert (payload.user_data, payload.admin_password) == (Secret(USER_DATA), Secret(PASSWORD))
    assert booted.admin_password == PASSWORD
    assert "keeper" in front.said, "the tap hears"
    for secret in (PASSWORD.encode(), FILE, USER_DATA):
        for spelled in (secret.decode(), json.dumps(secret.decode())[1:-1], secret.hex()):
            assert spelled not in front.said
    for document in GIVEN.document(front.image), *GIVEN.document(front.image)["personality"]:
        for encoded in (document.get("user_data"), document.get("contents")):
            assert encoded is None or encoded not in front.said


def test_a_password_that_was_made_comes_back_sealed(front: Front) -> None:
    booted = front.client.boot("keeper", front.image, front.flavor, BootOptions(networks="none"))
    assert booted.admin_password
    assert booted.admin_password not in front.said


def test_so_does_all_of_a_rebuild(front: Front) -> None:
    (server,) = front.client.boot("keeper", front.image, front.flavor, BootOptions(networks="none")).servers
    eventually(lambda: front.client.show(server["id"])["status"] == "ACTIVE")
    given = RebuildOptions(user_data=USER_DATA, files=(File("/etc/word", FILE),))
    begun = front.client.rebuild(server["id"], options=given)
    payload = front.house.vault.unseal(server["id"], front.house.store.payload(server["id"]))
    assert (payload.user_data, payload.admin_password) == (Secret(USER_DATA), Secret(str(begun.admin_password)))
    assert front.client.show(server["id"])["name"] == "keeper"
    for secret in (str(begun.admin_password), USER_DATA.decode(), given.document()["user_data"]):
        assert secret not in front.said
        assert json.dumps(secret)[1:-1] not in front.said


def test_the_key_is_asked_for_once_and_again_after_a_rotation(front: Front) -> None:
    for keys in ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,)):
        front.serve(*keys)
        for _ in range(2):
            front.client.preview("keeper", front.image, front.flavor, GIVEN)
    assert front.said.count('"sealing_key"') == 2


class Forgetful(Opener):
    """Tells a key that it does not hold."""

    def __init__(self) -> None:
        super().__init__([NEW])
        self.told_key = Opener([OLD]).told()

    def told(self) -> dict[str, Any]:
        return self.told_key


def test_a_key_that_stays_unknown_ends_in_an_error(front: Front) -> None:
    front.answer_with(Forgetful())
    with pytest.raises(KeyUnknown, match="ask for its key again"):
        front.client.boot("keeper", front.image, front.flavor, GIVEN)
    assert len(front.bus.said) == 2, "asked for twice, told twice"


def test_in_clear_it_is_refused_where_others_see_it(front: Front) -> None:
    body = {"server": {"name": "web", "imageRef": front.image, "flavorRef": front.flavor, "networks": "none"}}
    for method in ("create_servers", "preview_server"):
        with pytest.raises(InvalidRequest, match="use the client of this release"):
            front.bus.call(TOPIC, method, version="1.0", body=body)
    assert front.client.servers() == []
    with pytest.raises(InvalidRequest, match="use the client of this release"):
        front.bus.call(TOPIC, "act", version="1.0", server_id="x", body={"rebuild": {"adminPass": PASSWORD}})


def test_in_clear_it_is_taken_where_nobody_does(front: Front) -> None:
    endpoint = ApiEndpoint(front.house.operations, Opener([OLD]), sealed_only=False)
    body = {"server": {"name": "web", "imageRef": front.image, "flavorRef": front.flavor, "networks": "none"}}
    assert endpoint.preview_server(Context(), body)["hostname"] == "web"
    assert endpoint.create_servers(Context(), body)["admin_password"]


def test_an_action_may_be_sealed(front: Front) -> None:
    (server,) = front.client.boot("keeper", front.image, front.flavor, GIVEN).servers
    eventually(lambda: front.client.show(server["id"])["status"] == "ACTIVE")
    opened = Opener([OLD])
    endpoint = ApiEndpoint(front.house.operations, opened, sealed_only=True)
    question = Sealer(opened.told()).seal("act", {"os-stop": None})
    sealed = endpoint.act(Context(), server["id"], sealed=question.document)
    assert isinstance(sealed, dict)
    assert question.answer(sealed) is None
