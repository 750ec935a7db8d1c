"""What is too slow to be started for each file of tests, each kind of database, and the api with its two ways in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.db import Store, open_store
from tests import builders
from tests.api_house import ApiHouse
from tests.guest_appliance import Slots, slots
from tests.servers import Kind, a_database, empty
from tests.speakers import Document, RestSpeaker, RpcSpeaker, Speaker
from tests.worlds import World


@pytest.fixture(scope="session")
def appliance_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slots]:
    """An appliance is started only when a test asks for it."""
    with slots(tmp_path_factory.mktemp("slots")) as running:
        yield running


@pytest.fixture(
    scope="session",
    params=["sqlite", *(pytest.param(kind, marks=pytest.mark.servers) for kind in ("postgresql", "mariadb"))],
)
def database_kind(request: pytest.FixtureRequest) -> Kind:
    """One after the other, every kind of database that a store runs on."""
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="session")
def database(database_kind: Kind) -> Iterator[str]:
    """The URL of a database of that kind, its tables at the newest migration."""
    with a_database(database_kind) as url:
        open_store(url).close()
        yield url


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """Empty but for one network."""
    opened = open_store(database, migrate=False)
    with opened._engine.begin() as connection:
        empty(connection)
    opened.add_network(builders.a_network())
    yield opened
    opened.close()


@pytest.fixture
def house(tmp_path: Path, world: World) -> Iterator[ApiHouse]:
    with ApiHouse(tmp_path, world=world) as running:
        yield running


@pytest.fixture(params=["rest", "rpc"])
def ask(request: pytest.FixtureRequest, house: ApiHouse) -> Speaker:
    return RestSpeaker(house.rest()) if request.param == "rest" else RpcSpeaker(house.client)


@pytest.fixture
def server(house: ApiHouse) -> Document:
    """The least that a create call needs."""
    return {"name": "web", "imageRef": house.an_image().id, "flavorRef": house.a_flavor().id, "networks": "none"}
