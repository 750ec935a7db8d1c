"""Services of two releases together: what an older dispatcher does not know it is not asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from injector import wire
from injector.errors import InternalError, VersionMismatch
from injector.model.boot import Rebuild
from injector.model.instance import State
from injector.rpc.bus import Bus
from injector.rpc.dispatcher import TOPIC, DispatcherClient, DispatcherEndpoint
from tests import builders

CONTEXT = builders.a_context()


class OldDispatcher:
    """One of version 1.0 on the bus: it takes the arguments of then, and no others."""

    version = "1.0"
    methods = ("act", "set_metadata", "report", "host_report")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def act(self, instance_id: str, state: str) -> dict[str, Any]:
        self.asked.append(f"{state} {instance_id}")
        packed = builders.an_instance(state=State(state))
        return {"type": "Instance", "version": 1, "data": _as_then(packed)}

    def set_metadata(self, instance_id: str, metadata: dict[str, str]) -> dict[str, Any]:
        self.asked.append(f"{metadata} of {instance_id}")
        return {"type": "Instance", "version": 1, "data": _as_then(builders.an_instance(metadata=metadata))}

    def report(self, host: str, instance_id: str, attempt: int, report: dict[str, Any]) -> bool:
        self.asked.append(f"{report['type']} of {host}, attempt {attempt}")
        return True

    def host_report(self, facts: dict[str, Any]) -> None:
        self.asked.append(f"host {facts['data']['name']}")


def _as_then(instance: Any) -> dict[str, Any]:
    data: dict[str, Any] = wire.pack(instance)["data"]
    return {name: value for name, value in data.items() if name not in ("allowed", "launched", "calls", "asked_zone")}


@pytest.fixture
def bus(transport_url: str) -> Iterator[Bus]:
    opened = Bus.open(cfg.ConfigOpts(), transport_url)
    yield opened
    opened.close()


def test_one_that_is_held_back_speaks_to_an_older_dispatcher(bus: Bus) -> None:
    old = OldDispatcher()
    bus.serve(TOPIC, "old", old)
    client = DispatcherClient(bus, "1.0")
    assert client.act(CONTEXT, "one", State.STOPPING).state is State.STOPPING
    assert client.set_metadata(CONTEXT, "one", {"a": "1"}, before={}).metadata == {"a": "1"}
    assert client.report("h", "one", 1, builders.a_settlement())
    assert not client.host_alive("h")  # so the whole report follows
    client.host_report(builders.some_host_facts(name="h"))
    assert old.asked == ["stopping one", "{'a': '1'} of one", "Settled of h, attempt 1", "host h"]


def test_what_came_later_is_refused_without_asking(bus: Bus) -> None:
    client = DispatcherClient(bus, "1.0")
    with pytest.raises(VersionMismatch, match="held at version"):
        client.rebuild(CONTEXT, "one", Rebuild(builders.an_image()))
    with pytest.raises(VersionMismatch):
        client.drain_host(CONTEXT, "h", None)


def test_one_that_is_not_held_back_is_refused_by_an_older_dispatcher_before_anything_is_done(bus: Bus) -> None:
    old = OldDispatcher()
    bus.serve(TOPIC, "old", old)
    with pytest.raises(VersionMismatch, match="another release"):
        DispatcherClient(bus).act(CONTEXT, "one", State.STOPPING)
    assert old.asked == []


def test_an_older_compute_is_understood_by_todays_dispatcher(bus: Bus) -> None:
    class Todays:
        def report(self, host: str, instance_id: str, attempt: int, report: object, call: str) -> bool:
            return (host, instance_id, attempt, call) == ("h", "one", 1, "")

    bus.serve(TOPIC, "new", DispatcherEndpoint(Todays()))  # type: ignore[arg-type]
    then = {"type": "Settled", "version": 1, "data": {"state": "stopped", "at": "2026-03-01T12:00:00Z"}}
    asked: dict[str, Any] = {"host": "h", "instance_id": "one", "attempt": 1, "report": then}
    assert bus.call(TOPIC, "report", version="1.0", **asked) is True
    with pytest.raises(InternalError):
        bus.call(TOPIC, "report", version="1.0", **(asked | {"report": then | {"type": "Unheard"}}))
