"""What ``rabbit://`` promises beyond every bus: queues as they are configured, and connections that may be cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from operator import lt
from pathlib import Path
from typing import Any

import httpx
import pytest
from oslo_config import cfg

from injector import errors
from injector.rpc.bus import Bus
from tests.api_house import eventually
from tests.servers import a_vhost, management_client

pytestmark = pytest.mark.servers

CLASSIC, QUORUM = ("classic", False), ("quorum", True)
LASTING = ("classic", True)


OpenBus = Callable[..., AbstractContextManager[Bus]]


class Plain:
    version = "1.0"
    methods = ("echo",)

    def echo(self, value: Any) -> Any:
        return value


class Broker:
    """One virtual host, as its management shows it."""

    def __init__(self, url: str, management: httpx.Client) -> None:
        self.url = url
        self.vhost = url.rpartition("/")[2]
        self._management = management

    def queues(self) -> list[dict[str, Any]]:
        return self._ask(f"queues/{self.vhost}")

    def cut(self) -> int:
        """End every connection there is; how many."""
        names = [one["name"] for one in self._ask(f"vhosts/{self.vhost}/connections")]
        for name in names:
            # It may have ended by itself.
            self._management.delete(f"api/connections/{name}", headers={"X-Reason": "a test"})
        return len(names)

    def _ask(self, path: str) -> list[dict[str, Any]]:
        answer = self._management.get(f"api/{path}").raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


@pytest.fixture
def broker() -> Iterator[Broker]:
    with a_vhost() as url, management_client() as management:
        yield Broker(url, management)


@pytest.fixture
def open_bus(broker: Broker, tmp_path: Path) -> OpenBus:
    @contextmanager
    def opened(*options: str) -> Iterator[Bus]:
        file = tmp_path / "injector.conf"
        file.write_text("[oslo_messaging_rabbit]\n" + "".join(f"{option} = true\n" for option in options))
        conf = cfg.ConfigOpts()
        Bus.register(conf)
        conf([f"--config-file={file}"], project="injector")
        bus = Bus.open(conf, broker.url)
        try:
            yield bus
        finally:
            bus.close()

    return opened


def echo(bus: Bus, value: Any, timeout: float = 10) -> Any:
    return bus.call("topic", "echo", version="1.0", timeout=timeout, value=value)


@pytest.mark.parametrize(
    ("options", "of_stations", "of_the_moment"),
    [
        ((), CLASSIC, CLASSIC),
        (("amqp_durable_queues",), LASTING, CLASSIC),
        (("amqp_durable_queues", "rabbit_quorum_queue"), QUORUM, CLASSIC),
        (("rabbit_quorum_queue", "rabbit_transient_quorum_queue"), QUORUM, QUORUM),
    ],
    ids=["as it comes", "durable", "quorum", "all quorum"],
)
def test_queues_are_as_they_are_configured(
    open_bus: OpenBus,
    broker: Broker,
    options: tuple[str, ...],
    of_stations: tuple[str, bool],
    of_the_moment: tuple[str, bool],
) -> None:
    """Type and durability: of a topic and of a server of it; of the replies to one caller and of broadcasts."""
    with open_bus(*options) as bus:
        bus.serve("topic", "one", Plain())
        assert [echo(bus, number) for number in range(20)] == list(range(20))
        bus.broadcast("topic", "echo", version="1.0", value="all")
        found = {queue["name"]: (queue["type"], queue["durable"]) for queue in broker.queues()}
    assert (found.pop("topic"), found.pop("topic.one")) == (of_stations, of_stations)
    assert {name.partition("_")[0]: kind for name, kind in found.items()} == {
        "reply": of_the_moment,
        "topic": of_the_moment,
    }


def test_cut_connections_cost_the_calls_that_were_on_them_at_most(open_bus: OpenBus, broker: Broker) -> None:
    """Each is answered, or fails in bounded time; what was served is served again, and nobody has to be restarted."""
    over = threading.Event()
    answered = [0] * 4

    def keep_calling(bus: Bus, caller: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                assert echo(bus, [caller, number], timeout=2) == [caller, number]
            except errors.BusUnavailable:
                continue
            answered[caller] += 1

    def more_than(before: list[int]) -> bool:
        return all(map(lt, before, answered))

    with open_bus() as station, open_bus() as other, ThreadPoolExecutor(4) as callers:
        station.serve("topic", "one", Plain())
        calling = [callers.submit(keep_calling, other, caller) for caller in range(4)]
        try:
            for _ in range(2):
                eventually(lambda: broker.cut() >= 3, 30)
                eventually(partial(more_than, list(answered)), 60)
        finally:
            over.set()
        for each in calling:
            each.result(timeout=30)


def test_an_idle_service_ends_promptly(open_bus: OpenBus) -> None:
    """The library would have both its listener and its reader of replies sleep for nearly four more seconds here."""
    with open_bus() as bus:
        bus.serve("topic", "one", Plain())
        echo(bus, 1)
        time.sleep(4.3)
        begun = time.monotonic()
        bus.close()
        assert time.monotonic() - begun < 3
