"""The api's behaviour suite, continued: a create call that comes again makes nothing twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from injector.api.operations.repeat import HEADER
from tests.api_house import ApiHouse, eventually
from tests.operations import NOBODY, booted
from tests.speakers import Document, Refusal, Speaker


@pytest.fixture
def named(server: Document) -> Document:
    return server | {"injector:client_token": "nightly 17"}


def test_the_same_request_again_is_answered_with_what_it_made(ask: Speaker, named: Document) -> None:
    asked = named | {"min_count": 2}
    first, password = ask.create_server(asked)
    assert password is not None
    again, told = ask.create_server(dict(reversed(asked.items())))
    assert again == first
    assert told is None, "a made password is told once"
    assert len(ask.servers()) == 2


def test_a_password_of_ones_own_is_told_again(ask: Speaker, named: Document) -> None:
    asked = named | {"adminPass": "geheim"}
    assert ask.create_server(asked) == ask.create_server(asked)


def test_another_request_with_the_same_token_is_a_conflict(ask: Speaker, named: Document) -> None:
    ask.create_server(named)
    for other in ({"name": "other"}, {"adminPass": "geheim"}, {"metadata": {"a": "b"}}, {"max_count": 2}):
        with pytest.raises(Refusal, match="used for another request") as refused:
            ask.create_server(named | other)
        assert refused.value.status == 409
    assert len(ask.servers()) == 1
    assert len(ask.create_server(named | {"injector:client_token": "nightly 18", "name": "other"})[0]) == 1


def test_what_a_request_named_may_be_gone_when_it_comes_again(house: ApiHouse, ask: Speaker, named: Document) -> None:
    server_id = booted(ask, named)
    ask.delete("image", named["imageRef"])
    ask.delete("flavor", named["flavorRef"])
    assert ask.create_server(named)[0] == [server_id]


def test_a_server_that_was_deleted_is_not_made_again(house: ApiHouse, ask: Speaker, named: Document) -> None:
    server_id = booted(ask, named)
    ask.delete_server(server_id)
    eventually(lambda: ask.servers() == [])
    over_rest = house.rest().post("/v2.1/servers", json={"server": named})
    assert (over_rest.status_code, over_rest.json()["server"]["id"]) == (202, server_id)
    (view,) = house.client.create_servers(named).servers
    assert (view["id"], view["status"]) == (server_id, "DELETED")
    assert ask.servers() == []


def test_a_token_is_one_s_own(house: ApiHouse, ask: Speaker, named: Document) -> None:
    first, _ = ask.create_server(named)
    assert house.store.instances_of_token("engines", named["injector:client_token"]) is None
    known = house.store.instances_of_token("admin", named["injector:client_token"])
    assert known is not None
    assert [instance.id for instance in known[1]] == first
    assert known[0].startswith("hmac-sha256:"), "a plain digest would confirm a guess"


@pytest.mark.parametrize("token", ["", " x", "x" * 65, "a\nb", "na\u00efve", 7])
def test_what_no_token_is(ask: Speaker, server: Document, token: Any) -> None:
    with pytest.raises(Refusal, match="injector:client_token") as refused:
        ask.create_server(server | {"injector:client_token": token})
    assert refused.value.status == 400


def test_a_refused_request_leaves_its_token_free(ask: Speaker, named: Document) -> None:
    with pytest.raises(Refusal):
        ask.create_server(named | {"imageRef": NOBODY})
    assert len(ask.create_server(named)[0]) == 1


def test_the_same_request_many_times_at_once_makes_one_server(house: ApiHouse, named: Document) -> None:
    made: list[tuple[str, str | None]] = []

    def ask_once() -> None:
        answer = house.client.create_servers(named)
        made.append((answer.servers[0]["id"], answer.admin_password))

    threads = [threading.Thread(target=ask_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert len({server_id for server_id, _ in made}) == 1
    assert len([password for _, password in made if password is not None]) == 1
    assert len(house.client.servers()) == 1


def test_over_rest_a_header_says_it_too(house: ApiHouse, server: Document) -> None:
    rest = house.rest()
    rest.headers[HEADER] = "nightly 17"
    first = rest.post("/v2.1/servers", json={"server": server})
    again = rest.post("/v2.1/servers", json={"server": server | {"injector:client_token": "nightly 17"}})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["server"]["id"] == again.json()["server"]["id"]
    assert first.headers["Location"] == again.headers["Location"]
    both = rest.post("/v2.1/servers", json={"server": server | {"injector:client_token": "other"}})
    assert both.status_code == 400
    assert "not the same" in both.json()["badRequest"]["message"]
