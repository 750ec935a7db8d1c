"""Which tests run and in which order, and the worlds that they run in.

The matrix runs only when it is asked for, what touches neither bus nor database in one world only; long files come
before short ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import worlds
from tests.servers import Lender
from tests.worlds import World, a_transport, a_world

# Beside guests under emulation an example may take seconds, and so may making it.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _elsewhere(item)]
    if "matrix" not in config.option.markexpr:
        left_out += [item for item in items if item.get_closest_marker("matrix")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]
    if hasattr(config, "workerinput"):
        # Side by side, a file is one piece of work: a long one that begins last is waited for by everybody.
        longest: dict[Path, float] = {}
        for item in items:
            longest[item.path] = max(longest.get(item.path, 0), _limit(item))
        items.sort(key=lambda item: ("system" not in item.path.parts, -longest[item.path]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Guests side by side starve each other: all of tests/system is one piece of work, beside it goes the rest."""
    from xdist.scheduler import LoadFileScheduling

    class Lanes(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "tests/system" if nodeid.startswith("tests/system/") else str(super()._split_scope(nodeid))

    return Lanes(config, log)


def _elsewhere(item: pytest.Item) -> bool:
    """It runs in the world that is called local, and this is another."""
    name = getattr(item, "originalname", None)
    callspec = getattr(item, "callspec", None)
    world = callspec.params.get("world_name") if callspec else None
    return name in worlds.ONCE.get(item.path.name, ()) and world not in (None, "local")


def _limit(item: pytest.Item) -> float:
    """Seconds, as its mark ``timeout`` has them; nothing for the usual limit."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else 0.0


def _parameters() -> list[object]:
    return [pytest.param(name, marks=[pytest.mark.servers] if name != "local" else []) for name in worlds.chosen()]


@pytest.fixture(scope="session")
def lender() -> Iterator[Lender]:
    with Lender() as lender:
        yield lender


@pytest.fixture(scope="module", params=_parameters())
def world_name(request: pytest.FixtureRequest) -> worlds.Name:
    name: worlds.Name = request.param
    return name


@pytest.fixture
def world(world_name: worlds.Name, lender: Lender, tmp_path: Path) -> Iterator[World]:
    with a_world(world_name, lender, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def module_world(world_name: worlds.Name, lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(world_name, lender, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def fresh_database(world_name: worlds.Name, lender: Lender) -> Iterator[str]:
    """The URL of one without a row, at the newest migration."""
    with lender.database(worlds.DATABASES[world_name]) as url:
        yield url


@pytest.fixture
def transport_url(world_name: worlds.Name) -> Iterator[str]:
    """Of a bus on which nobody is yet."""
    with a_transport(world_name) as url:
        yield url
