"""What ``local://`` promises beyond every bus, and what it keeps of the library's contract for drivers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from injector import errors
from injector.rpc.bus import Bus
from injector.rpc.local import OUTSIDE, broker_of
from injector.rpc.native import messaging, metrics_options, tracing_options


class Raw:
    """An endpoint in the library's own manner."""

    def echo(self, ctxt: dict[str, Any], value: Any) -> Any:
        return value

    def fail(self, ctxt: dict[str, Any]) -> None:
        raise errors.NotFound("gone")

    def unserialisable(self, ctxt: dict[str, Any]) -> Any:
        endless: list[Any] = []
        endless.append(endless)
        return endless


class Plain:
    version = "1.0"
    methods = ("echo",)

    def echo(self, value: Any) -> Any:
        return value


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], project="injector")
    conf.register_opts(metrics_options, group="oslo_messaging_metrics")
    conf.register_opts(tracing_options, group="oslo_messaging_tracing")
    return conf


@pytest.fixture
def url() -> str:
    return f"local:///{uuid.uuid4()}"


@pytest.fixture
def server(conf: cfg.ConfigOpts, url: str) -> Iterator[Any]:
    transport = messaging.get_rpc_transport(conf, url)
    with pytest.warns(DeprecationWarning, match="executor"):
        server = messaging.get_rpc_server(
            transport, messaging.Target(topic="raw", server="one"), [Raw()], executor="threading"
        )
    server.start()
    yield server
    server.stop()
    server.wait()


def _client(conf: cfg.ConfigOpts, url: str, **options: Any) -> Any:
    transport = messaging.get_rpc_transport(conf, url, **options)
    return messaging.get_rpc_client(transport, messaging.Target(topic="raw"), timeout=5)


def test_the_library_s_own_server_and_client_work_on_it(server: Any, conf: cfg.ConfigOpts, url: str) -> None:
    assert _client(conf, url).call({}, "echo", value={"a": [1]}) == {"a": [1]}


def test_the_listener_stops_at_once(server: Any) -> None:
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 0.05


def test_a_remote_exception_is_rebuilt_only_from_allowed_modules(server: Any, conf: cfg.ConfigOpts, url: str) -> None:
    with pytest.raises(errors.NotFound):
        _client(conf, url, allowed_remote_exmods=["injector.errors"]).call({}, "fail")
    with pytest.raises(messaging.RemoteError, match="NotFound gone"):
        _client(conf, url).call({}, "fail")


def test_a_reply_that_is_no_json_fails_instead_of_timing_out(server: Any, conf: cfg.ConfigOpts, url: str) -> None:
    begun = time.monotonic()
    with pytest.raises((ValueError, RecursionError)):
        _client(conf, url).call({}, "unserialisable")
    assert time.monotonic() - begun < 4


def test_a_message_nobody_listens_for_is_refused_at_once(server: Any, conf: cfg.ConfigOpts, url: str) -> None:
    client = _client(conf, url)
    for send in (client.prepare(topic="absent").call, client.prepare(server="absent").cast):
        with pytest.raises(messaging.MessageDeliveryFailure, match="nobody listens for"):
            send({}, "echo", value=1)
    client.prepare(topic="absent", fanout=True).cast({}, "echo", value=1)


def test_notifications_are_refused(conf: cfg.ConfigOpts, url: str) -> None:
    transport = messaging.get_notification_transport(conf, url)
    with pytest.raises(NotImplementedError, match="no notifications"):
        transport._send_notification(messaging.Target(topic="t"), {}, {}, 2.0)
    listener = messaging.get_notification_listener(transport, [messaging.Target(topic="t")], [Raw()])
    with pytest.raises(NotImplementedError, match="no notifications"):
        listener.start()


def test_an_outside_program_is_refused_when_it_connects(conf: cfg.ConfigOpts, url: str) -> None:
    with pytest.raises(errors.BusUnavailable) as caught:
        Bus.connect(conf, url)
    assert caught.value.message == OUTSIDE


def test_an_outside_program_that_calls_all_the_same_is_refused_too(conf: cfg.ConfigOpts, url: str) -> None:
    bus = Bus.open(conf, url)
    for send in (bus.call, bus.cast, bus.broadcast):
        with pytest.raises(errors.BusUnavailable) as caught:
            send("topic", "echo", version="1.0", value=1)
        assert caught.value.message == OUTSIDE


def test_a_program_inside_may_connect_until_the_last_server_stops(conf: cfg.ConfigOpts, url: str) -> None:
    station = Bus.open(conf, url)
    server = station.serve("topic", "one", Plain())
    client = Bus.connect(conf, url)
    assert client.call("topic", "echo", version="1.0", value=1) == 1
    server.stop()
    with pytest.raises(errors.BusUnavailable):
        Bus.connect(conf, url)
    station.close()


def test_virtual_hosts_do_not_hear_each_other(conf: cfg.ConfigOpts, url: str) -> None:
    station = Bus.open(conf, url)
    station.serve("topic", "one", Plain())
    other = Bus.open(conf, f"{url}-other")
    with pytest.raises(errors.BusUnavailable):
        other.call("topic", "echo", version="1.0", value=1)
    station.close()


def test_the_url_without_a_name_is_one_exchange_however_it_is_written() -> None:
    assert broker_of(None) is broker_of("")


def test_a_host_in_the_url_is_refused(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(errors.BusUnavailable, match="local:// takes no host") as caught:
        Bus.open(conf, "local://controller/")
    assert caught.value.field == "transport_url"


def test_an_unknown_transport_is_refused(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(errors.BusUnavailable, match="nosuchbus"):
        Bus.open(conf, "nosuchbus://")


def test_a_broker_that_is_down_is_an_error_in_bounded_time(conf: cfg.ConfigOpts) -> None:
    bus = Bus.open(conf, "rabbit://guest:guest@127.0.0.1:1/")
    with pytest.raises(errors.BusUnavailable, match="the message bus does not answer"):
        bus.call("topic", "echo", version="1.0", timeout=1, value=1)
    with pytest.raises(errors.BusUnavailable, match="the message bus does not answer"):
        bus.cast("topic", "echo", version="1.0", value=1)


def test_waiting_costs_no_processor_time(conf: cfg.ConfigOpts, url: str) -> None:
    bus = Bus.open(conf, url)
    bus.serve("topic", "one", Plain())
    for _ in range(50):
        bus.call("topic", "echo", version="1.0", value=1)
    begun = time.process_time()
    time.sleep(1)
    assert time.process_time() - begun < 0.02
    bus.close()


def test_workers_are_started_as_they_are_needed(conf: cfg.ConfigOpts, url: str) -> None:
    """The library's own pool would have started one for each of these calls."""
    bus = Bus.open(conf, url)
    before = threading.active_count()
    bus.serve("topic", "one", Plain(), workers=50)
    for _ in range(50):
        bus.call("topic", "echo", version="1.0", value=1)
    assert threading.active_count() - before < 10
    bus.close()


def test_no_eventlet_in_the_process() -> None:
    program = """
import sys
from oslo_config import cfg
from injector.rpc.bus import Bus
class Plain:
    version, methods = "1.0", ("echo",)
    def echo(self, value): return value
conf = cfg.ConfigOpts()
conf([], project="injector")
bus = Bus.open(conf, "local://")
bus.serve("topic", "one", Plain())
assert bus.call("topic", "echo", version="1.0", value=1) == 1
bus.close()
Bus.open(conf, "rabbit://guest:guest@127.0.0.1:1/").close()
print([name for name in sys.modules if name.partition(".")[0] in ("eventlet", "greenlet")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
