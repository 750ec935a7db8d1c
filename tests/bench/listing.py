"""Listing with pages among 10, 1,000 and 100,000 instances: from the store, and over REST from a real server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from injector.db import Store
from injector.model.instance import State
from injector.settings import DispatcherSettings
from tests.api_house import ApiHouse, api_settings
from tests.bench import _crowd
from tests.servers import Kind, a_database

SIZES = (10, 1000, 100_000)
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
ROUNDS = 9
PROJECT = "admin"
_PAGE = 1000
_HOSTS = 100
_DOWN_AFTER = 3000.0


@dataclass(frozen=True)
class _Installation:
    """``ids``: of all instances, the newest first."""

    store: Store
    rest: httpx.Client
    ids: list[str]

    def marker(self, part: float) -> str:
        """Of a page that begins behind this part of all."""
        return self.ids[min(int(part * len(self.ids)), len(self.ids) - 1)]


_Question = Callable[[_Installation], object]


def run() -> list[dict[str, Any]]:
    return [row for kind in KINDS for row in _of_database(kind)]


def _of_database(kind: Kind) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with ExitStack() as undo:
        there = {size: _installation(kind, size, undo) for size in SIZES}
        for name, ask in {**_OF_STORE, **_OVER_REST}.items():
            questions = {size: partial(ask, there[size]) for size in SIZES}
            found += _crowd.rows(f"listing_{name}_{kind}", "instances", questions, ROUNDS)
    return found


def _installation(kind: Kind, size: int, undo: ExitStack) -> _Installation:
    directory = Path(undo.enter_context(tempfile.TemporaryDirectory()))
    url = undo.enter_context(a_database(kind))
    # So long that nobody falls silent while this runs.
    settings = replace(
        api_settings(directory), database_connection=url, dispatcher=DispatcherSettings(host_down_after=_DOWN_AFTER)
    )
    house = undo.enter_context(ApiHouse(directory, settings))
    _crowd.add_hosts(house.store, _HOSTS)
    ids = _crowd.add_instances(house.store, size, _HOSTS, PROJECT)
    return _Installation(house.store, undo.enter_context(house.rest()), ids)


def _store(part: float | None = None, **filters: Any) -> _Question:
    def ask(there: _Installation) -> None:
        marker = None if part is None else there.marker(part)
        there.store.instances(PROJECT, limit=_PAGE, marker=marker, **filters)

    return ask


def _rest(part: float | None = None, **filters: str) -> _Question:
    def ask(there: _Installation) -> None:
        marker = {} if part is None else {"marker": there.marker(part)}
        answer = there.rest.get("/v2.1/servers/detail", params={"limit": "100", **filters, **marker})
        assert answer.status_code == 200, answer.text

    return ask


_OF_STORE: dict[str, _Question] = {
    "store_first": _store(),
    "store_middle": _store(0.5),
    "store_last": _store(0.99),
    "store_active": _store(states=frozenset({State.ACTIVE})),
    "store_error_middle": _store(0.5, states=frozenset({State.ERROR})),
    "store_name": _store(name="web-7"),
    "store_host": _store(host=_crowd.host_name(7)),
}
"""Pages of 1,000 of one project, as the store reads them."""

_OVER_REST: dict[str, _Question] = {
    "rest_first": _rest(),
    "rest_middle": _rest(0.5),
    "rest_last": _rest(0.99),
    "rest_active": _rest(status="ACTIVE"),
    "rest_error_middle": _rest(0.5, status="ERROR"),
    "rest_unknown": _rest(status="UNKNOWN"),
    "rest_name": _rest(name="web-7"),
    "rest_host": _rest(host=_crowd.host_name(7)),
    "rest_all_tenants": _rest(all_tenants="1"),
}
"""Pages of 100 with all details, as a client gets them."""
