"""Choosing hosts among 10, 1,000 and 10,000: for one guest, for a hundred at once, and when there is none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from injector.db import Store
from injector.dispatcher.placement import Placement
from injector.errors import NoHost
from injector.model.boot import BootRequest
from injector.settings import DispatcherSettings
from tests import builders
from tests.bench import _crowd
from tests.servers import Kind

SIZES = (10, 1000, 10_000)
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
ROUNDS = 15
_DOWN_AFTER = 3000.0
_Question = Callable[[Store, Placement], object]


def run() -> list[dict[str, Any]]:
    return [row for kind in KINDS for row in _of_database(kind)]


def _of_database(kind: Kind) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with ExitStack() as undo:
        stores = {size: undo.enter_context(_crowd.a_store(kind)) for size in SIZES}
        for size, store in stores.items():
            _crowd.add_hosts(store, size)
        # So long that nobody falls silent while this runs.
        settings = DispatcherSettings(host_down_after=_DOWN_AFTER)
        placements = {size: Placement(store, settings) for size, store in stores.items()}
        for name, ask in _QUESTIONS.items():
            questions = {size: partial(ask, stores[size], placements[size]) for size in SIZES}
            found += _crowd.rows(f"choosing_{name}_{kind}", "hosts", questions, ROUNDS)
    return found


def _request(**changes: Any) -> BootRequest:
    return builders.a_boot_request(nics=(), **changes)


def _one(_store: Store, placement: Placement) -> None:
    placement.plan(builders.a_context(), (_request(),), 1)


def _one_in_a_zone(_store: Store, placement: Placement) -> None:
    placement.plan(builders.a_context(), (_request(availability_zone="zone-1"),), 1)


def _a_hundred(_store: Store, placement: Placement) -> None:
    placed = placement.plan(builders.a_context(), (_request(),) * 100, 100)
    assert len(placed) == 100


def _no_room(_store: Store, placement: Placement) -> None:
    _nobody(placement, _request(flavor=builders.a_flavor(ram=2**20)))


def _rare_kind(_store: Store, placement: Placement) -> None:
    request = _request(flavor=builders.a_flavor(extra_specs={"capabilities:arch": "aarch64"}))
    placement.plan(builders.a_context(), (request,), 1)


def _no_such_kind(_store: Store, placement: Placement) -> None:
    _nobody(placement, _request(flavor=builders.a_flavor(extra_specs={"capabilities:arch": "riscv64"})))


def _nobody(placement: Placement, request: BootRequest) -> None:
    with suppress(NoHost):
        placement.plan(builders.a_context(), (request,), 1)
        raise AssertionError("there is a host for it")


def _silent(store: Store, _placement: Placement) -> None:
    assert store.silent_hosts(_DOWN_AFTER)


_QUESTIONS: dict[str, _Question] = {
    "1": _one,
    "1_in_a_zone": _one_in_a_zone,
    "100": _a_hundred,
    "1_of_a_rare_kind": _rare_kind,
    "no_room": _no_room,
    "no_such_kind": _no_such_kind,
    "silent_hosts": _silent,
}
