"""What the parameters of a list ask for."""

from __future__ import annotations

import pytest

from injector.api import query
from injector.api.query import Selection, ServerQuery
from injector.errors import InvalidRequest, NotFound
from injector.model.instance import State


def test_nothing_asked_is_a_page_of_everything() -> None:
    assert query.servers({}) == ServerQuery()
    assert query.images({}) == query.networks({}) == query.flavors({}) == query.keypairs({}) == Selection()


def test_servers() -> None:
    asked = {"name": "web", "status": "active", "host": "h", "limit": "5", "marker": "m", "all_tenants": "True"}
    active = frozenset({State.ACTIVE, State.STOPPING, State.REFRESHING, State.PAUSING, State.SUSPENDING})
    assert query.servers(asked | {"deleted": "False", "sort_key": "created_at", "sort_dir": "desc"}) == ServerQuery(
        "web", "ACTIVE", active, "h", None, 5, "m", False, True
    )
    assert query.servers({"status": "DELETED"}).deleted
    assert query.servers({"status": "RESCUE"}).states == frozenset()
    assert query.servers({"limit": "999999999"}).limit == query.PAGE


def test_every_state_is_found_under_a_status() -> None:
    own = query.STATUSES.keys() - {"UNKNOWN"}
    found = [query.servers({"status": status}).states for status in own]
    assert frozenset().union(*(states or () for states in found)) == frozenset(State) - {State.DELETING}


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "-1"},
        {"limit": "x"},
        {"limit": ""},
        {"limit": "²"},
        {"deleted": "2"},
        {"colour": "x"},
        {"sort_dir": "asc"},
    ],
)
def test_what_is_not_understood_is_refused_by_name(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        query.servers(parameters)
    assert refused.value.field == next(iter(parameters))


@pytest.mark.parametrize(
    ("parameters", "matching"),
    [
        ({}, {"a", "b", "c"}),
        ({"name": "one"}, {"a", "b"}),
        ({"id": "a"}, {"a"}),
        ({"id": "in:a,c,x"}, {"a", "c"}),
        ({"name": "in:one,two", "id": "b"}, {"b"}),
        ({"name": "in:"}, set()),
    ],
)
def test_selections(parameters: dict[str, str], matching: set[str]) -> None:
    names = {"a": "one", "b": "one", "c": "two"}
    asked = query.images(parameters)
    assert {identity for identity, name in names.items() if asked.matches(name, identity)} == matching


def test_pages() -> None:
    records = ["a", "b", "c"]
    assert query.page(records, Selection(limit=2), str) == ("a", "b")
    assert query.page(records, Selection(limit=2, marker="b"), str) == ("c",)
    assert query.page(records, Selection(limit=0), str) == ()
    with pytest.raises(NotFound, match="marker"):
        query.page(records, Selection(marker="x"), str)
