"""What every message bus promises, whatever transport carries it; another transport joins by adding its URL."""

from __future__ import annotations

import gc
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from oslo_config import cfg

from injector import errors
from injector.model.context import Context
from injector.rpc.bus import Bus
from injector.rpc.scope import current_context
from tests.servers import a_vhost

VERSION = "1.2"


class Station:
    """An endpoint that notes what reached it."""

    version = VERSION
    methods = (
        "echo", "note", "who", "relay", "answer_with", "fail", "has_a_bug", "spoil", "meet", "hold",
    )  # fmt: skip

    def __init__(self) -> None:
        self.noted: list[Any] = []
        self.seen = threading.Condition()
        self.barrier = threading.Barrier(8)
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.error: BaseException = errors.NotFound("unset")
        self.result: Any = None
        self.onward: Callable[[], Any] | None = None

    def echo(self, value: Any) -> Any:
        return value

    def note(self, value: Any) -> None:
        with self.seen:
            self.noted.append(value)
            self.seen.notify_all()

    def who(self, context: Context) -> list[Any]:
        logged_as = current_context()
        assert logged_as is not None
        return [context.request_id, context.user_id, context.project_id, logged_as.request_id]

    def relay(self) -> Any:
        assert self.onward is not None
        return self.onward()

    def answer_with(self) -> Any:
        return self.result

    def fail(self) -> None:
        raise self.error

    def has_a_bug(self) -> None:
        raise KeyError("/var/lib/secret")

    def spoil(self, value: dict[str, Any]) -> Any:
        value["spoilt"] = True
        self.result = value
        return value

    def meet(self) -> bool:
        """Returns only if eight callers are inside at the same time."""
        self.barrier.wait(timeout=10)
        return True

    def hold(self, value: Any) -> Any:
        with self.seen:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.entered.release()
        self.gate.wait(timeout=10)
        with self.seen:
            self.at_once -= 1
        self.note(value)
        return value

    def wait_for_notes(self, count: int) -> list[Any]:
        with self.seen:
            assert self.seen.wait_for(lambda: len(self.noted) >= count, timeout=10), self.noted
            return list(self.noted)


class Unshown:
    version = VERSION
    methods = ("shown",)

    def shown(self) -> str:
        return "shown"

    def hidden(self) -> str:
        return "hidden"


@pytest.fixture(scope="module", params=["local", pytest.param("rabbit", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "local":
        yield "local:///contract"
    else:
        with a_vhost() as url:
            yield url


@pytest.fixture
def new_bus(url: str) -> Iterator[Callable[[], Bus]]:
    opened: list[Bus] = []

    def open_one() -> Bus:
        conf = cfg.ConfigOpts()
        conf([], project="injector")
        opened.append(Bus.open(conf, url))
        return opened[-1]

    yield open_one
    for bus in opened:
        bus.close()


@pytest.fixture
def bus(new_bus: Callable[[], Bus]) -> Bus:
    return new_bus()


@pytest.fixture
def topic() -> str:
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def station(bus: Bus, topic: str) -> Station:
    station = Station()
    bus.serve(topic, "host-1", station)
    return station


@pytest.fixture
def ask(bus: Bus, topic: str, station: Station) -> Callable[..., Any]:
    def call(method: str, **arguments: Any) -> Any:
        return bus.call(topic, method, version="1.0", **arguments)

    return call


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, 2**70, "", "Grüße\x00\n\u2028", [], {}, {"a": [1, {"b": None}]}, ["x"] * 1000],
    ids=repr,
)
def test_a_plain_value_arrives_and_returns_as_it_was(ask: Callable[..., Any], value: object) -> None:
    assert ask("echo", value=value) == value


def test_a_tuple_arrives_as_a_list(ask: Callable[..., Any]) -> None:
    assert ask("echo", value=(1, (2, 3))) == [1, [2, 3]]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"bytes", "value is a bytes"),
        ({"a": [1, {2}]}, r"value\.a\[1\] is a set"),
        (object(), "value is a object"),
        (Context(), "value is a Context"),
        (float("nan"), "value is nan"),
        ({1: "one"}, "value has a key that is a int"),
    ],
)
def test_what_is_no_json_is_refused_and_not_sent(
    bus: Bus, topic: str, station: Station, value: object, named: str
) -> None:
    for send in (bus.call, bus.cast, bus.broadcast):
        with pytest.raises(TypeError, match=named):
            send(topic, "note", version="1.0", value=value)
    bus.call(topic, "note", version="1.0", value="the next one")
    assert station.noted == ["the next one"]


def test_a_result_that_is_no_json_is_the_far_sides_bug(ask: Callable[..., Any], station: Station) -> None:
    station.result = {"raw": b"bytes"}
    with pytest.raises(errors.InternalError):
        ask("answer_with")


def test_caller_and_endpoint_share_no_object(ask: Callable[..., Any], station: Station) -> None:
    sent = {"kept": [1]}
    got = ask("spoil", value=sent)
    got["kept"].append(2)
    assert sent == {"kept": [1]}
    assert station.result == {"kept": [1], "spoilt": True}


def test_a_cast_returns_before_it_is_handled(bus: Bus, topic: str, station: Station) -> None:
    bus.cast(topic, "hold", version="1.0", value="held")
    assert station.entered.acquire(timeout=10)
    assert station.noted == []
    station.gate.set()
    assert station.wait_for_notes(1) == ["held"]


def test_a_named_server_gets_what_is_for_it_and_others_do_not(bus: Bus, topic: str, station: Station) -> None:
    other = Station()
    bus.serve(topic, "host-2", other)
    for number in range(6):
        bus.call(topic, "note", version="1.0", server="host-2", value=number)
    assert (station.noted, other.noted) == ([], [0, 1, 2, 3, 4, 5])


def test_servers_of_a_topic_take_turns(bus: Bus, topic: str, station: Station) -> None:
    other = Station()
    bus.serve(topic, "host-2", other)
    for number in range(10):
        bus.call(topic, "note", version="1.0", value=number)
    assert len(station.noted) == len(other.noted) == 5
    assert sorted(station.noted + other.noted) == list(range(10))


def test_a_broadcast_reaches_each_server_once(bus: Bus, topic: str, station: Station) -> None:
    other = Station()
    bus.serve(topic, "host-2", other)
    bus.broadcast(topic, "note", version="1.0", value="all")
    for each in (station, other):
        each.wait_for_notes(1)
        bus.call(topic, "note", version="1.0", server="host-1", value="after")
    assert station.noted == ["all", "after", "after"]
    assert other.noted == ["all"]


def test_another_connection_reaches_the_same_stations(new_bus: Callable[[], Bus], topic: str, station: Station) -> None:
    assert new_bus().call(topic, "echo", version="1.0", value="across") == "across"


@pytest.mark.parametrize("kind", errors.BY_NAME.values(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_house_arrives_as_it_was_raised(
    ask: Callable[..., Any], station: Station, kind: type[errors.InjectorError]
) -> None:
    station.error = kind("no such key", field="server.key_name", detail="/etc/injector/secret")
    with pytest.raises(errors.InjectorError) as caught:
        ask("fail")
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.field) == ("no such key", "server.key_name")
    assert caught.value.detail is None


def test_the_detail_of_an_error_is_logged_where_it_was_raised(
    ask: Callable[..., Any], station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    station.error = errors.NoSpace("the host is full", detail="/srv/pool has 0 bytes")
    with pytest.raises(errors.NoSpace):
        ask("fail")
    assert "/srv/pool has 0 bytes" in caplog.text


def test_a_bug_arrives_clean_and_its_traceback_stays_there(
    ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    context = Context()
    with pytest.raises(errors.InternalError) as caught:
        ask("has_a_bug", context=context)
    assert context.request_id in caught.value.message
    assert "secret" not in caught.value.message
    assert "KeyError: '/var/lib/secret'" in caplog.text
    assert caplog.text.count("Traceback") == 1


def test_a_failing_cast_is_logged_and_the_server_goes_on(
    bus: Bus, topic: str, station: Station, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    station.error = errors.NotFound("no such instance")
    with caplog.at_level(logging.WARNING):
        bus.cast(topic, "fail", version="1.0")
        bus.cast(topic, "note", version="1.0", value="after")
        station.wait_for_notes(1)
        _until(lambda: "NotFound: no such instance" in caplog.text)
    assert ask("echo", value=1) == 1


@pytest.mark.parametrize("name", ["hidden", "absent", "target", "version", "__class__", "_handlers"])
def test_only_declared_methods_can_be_called(bus: Bus, topic: str, name: str) -> None:
    bus.serve(topic, "host-1", Unshown())
    assert bus.call(topic, "shown", version="1.0") == "shown"
    with pytest.raises(errors.InternalError, match=f"no operation {name}"):
        bus.call(topic, name, version="1.0")


def test_arguments_the_method_does_not_take_are_a_bug(ask: Callable[..., Any]) -> None:
    with pytest.raises(errors.InternalError):
        ask("echo", value=1, surplus=2)


@pytest.mark.parametrize("version", ["1.0", "1.1", VERSION])
def test_an_older_minor_version_is_answered(bus: Bus, topic: str, station: Station, version: str) -> None:
    assert bus.call(topic, "echo", version=version, value=1) == 1


@pytest.mark.parametrize("version", ["1.3", "2.0", "0.9"])
def test_a_newer_minor_or_another_major_version_is_refused(
    bus: Bus, topic: str, station: Station, version: str
) -> None:
    with pytest.raises(errors.VersionMismatch, match=f"{topic} on host-1 .*note.*{version}"):
        bus.call(topic, "note", version=version, server="host-1", value=1)
    assert station.noted == []


def test_a_call_nobody_answers_in_time_says_so(bus: Bus, topic: str, station: Station) -> None:
    begun = time.monotonic()
    with pytest.raises(errors.BusUnavailable, match=f"{topic} did not answer hold in time"):
        bus.call(topic, "hold", version="1.0", timeout=0.3, value="late")
    assert 0.3 <= time.monotonic() - begun < 3
    station.gate.set()
    station.wait_for_notes(1)


def test_a_late_answer_is_not_taken_for_another(bus: Bus, topic: str, station: Station) -> None:
    with pytest.raises(errors.BusUnavailable):
        bus.call(topic, "hold", version="1.0", timeout=0.2, value="late")
    station.gate.set()
    assert [bus.call(topic, "echo", version="1.0", value=n) for n in range(20)] == list(range(20))


def test_a_call_to_a_topic_nobody_serves_fails(bus: Bus, topic: str, station: Station) -> None:
    with pytest.raises(errors.BusUnavailable):
        bus.call(f"{topic}-absent", "echo", version="1.0", timeout=0.3, value=1)
    with pytest.raises(errors.BusUnavailable):
        bus.call(topic, "echo", version="1.0", server="host-absent", timeout=0.3, value=1)


def test_a_stopped_server_is_given_nothing(bus: Bus, topic: str) -> None:
    station = Station()
    server = bus.serve(topic, "host-1", station)
    server.stop()
    server.wait()
    with pytest.raises(errors.BusUnavailable):
        bus.call(topic, "note", version="1.0", timeout=0.3, value=1)
    assert station.noted == []


def test_slow_calls_run_side_by_side(ask: Callable[..., Any]) -> None:
    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(lambda _: ask("meet"), range(8)))


def test_no_more_run_at_once_than_there_are_workers(bus: Bus, topic: str) -> None:
    station = Station()
    bus.serve(topic, "host-1", station, workers=2)
    for number in range(6):
        bus.cast(topic, "hold", version="1.0", value=number)
    for _ in range(2):
        assert station.entered.acquire(timeout=10)
    assert not station.entered.acquire(timeout=0.1)
    station.gate.set()
    assert sorted(station.wait_for_notes(6)) == list(range(6))
    assert station.most_at_once == 2


def test_calls_of_one_thread_are_handled_in_order(ask: Callable[..., Any], station: Station) -> None:
    for number in range(200):
        ask("note", value=number)
    assert station.noted == list(range(200))


def test_every_cast_arrives_once_and_with_one_worker_in_order(bus: Bus, topic: str) -> None:
    """With several workers the order is nobody's promise, so stations report by calls."""
    station = Station()
    bus.serve(topic, "host-1", station, workers=1)
    for number in range(300):
        bus.cast(topic, "note", version="1.0", server="host-1", value=number)
    assert station.wait_for_notes(300) == list(range(300))


def test_stopping_drains_what_was_taken(bus: Bus, topic: str) -> None:
    station = Station()
    server = bus.serve(topic, "host-1", station, workers=1)
    with ThreadPoolExecutor(3) as callers:
        answers = [callers.submit(bus.call, topic, "hold", version="1.0", value=n) for n in range(3)]
        assert station.entered.acquire(timeout=10)
        time.sleep(0.1)  # the other two are on their way and cannot be seen
        server.stop()
        assert not any(answer.done() for answer in answers)
        station.gate.set()
        server.wait()
        assert len(station.noted) == 3
        assert [answer.result(timeout=10) for answer in answers] == [0, 1, 2]


def test_a_call_that_races_a_stop_is_answered_or_refused(bus: Bus, topic: str) -> None:
    refusals: list[str] = []
    # A broker keeps what is sent between two servers until the caller's time is up; inside a process nobody waits.
    patience = 0.3 if bus.remote else 5.0

    def keep_calling() -> int:
        for number in range(10_000):
            try:
                bus.call(topic, "echo", version="1.0", timeout=patience, value=number)
            except errors.BusUnavailable as error:
                refusals.append(error.message)
                return number
        return 10_000

    for _ in range(10):
        server = bus.serve(topic, "host-1", Station())
        with ThreadPoolExecutor(4) as callers:
            answered = [callers.submit(keep_calling) for _ in range(4)]
            time.sleep(0.02)
            server.stop()
            server.wait()
            assert all(each.result(timeout=10) < 10_000 for each in answered)
    assert bus.remote or not any("in time" in refusal for refusal in refusals)
    bus.serve(topic, "host-1", Station())
    assert bus.call(topic, "echo", version="1.0", value="served again") == "served again"


def test_an_idle_server_ends_promptly(bus: Bus, topic: str, ask: Callable[..., Any]) -> None:
    """The library's own pool takes up to a second for it."""
    server = bus.serve(topic, "host-2", Station())
    for _ in range(8):
        ask("echo", value=1)
    begun = time.monotonic()
    server.stop()
    server.wait()
    assert time.monotonic() - begun < 0.5


def test_a_closed_bus_leaves_no_thread(new_bus: Callable[[], Bus], topic: str) -> None:
    before = set(threading.enumerate())
    bus = new_bus()
    bus.serve(topic, "host-1", Station())
    bus.call(topic, "echo", version="1.0", value=1)
    bus.close()
    assert set(threading.enumerate()) <= before


def test_a_thousand_calls_leave_nothing_behind(ask: Callable[..., Any]) -> None:
    def thousand() -> tuple[int, int]:
        for number in range(1000):
            ask("echo", value=number)
        gc.collect()
        return threading.active_count(), len(gc.get_objects())

    threads_before, objects_before = thousand()
    threads_after, objects_after = thousand()
    # Over a broker another worker may be started; a leak would be a thousand.
    assert threads_after - threads_before < 10
    assert objects_after - objects_before < 300


def test_timed_out_calls_leave_nothing_behind(bus: Bus, topic: str, station: Station) -> None:
    # To send a message through a broker takes longer than a millisecond, and what fails then is the connection.
    calls, patience = (40, 0.05) if bus.remote else (150, 0.001)

    def give_up() -> None:
        for _ in range(calls):
            with pytest.raises(errors.BusUnavailable):
                bus.call(topic, "echo", version="1.0", timeout=patience, server="host-absent", value=1)
        gc.collect()

    give_up()
    before = len(gc.get_objects())
    give_up()
    assert len(gc.get_objects()) - before < 100


def test_the_context_of_a_request_travels_with_it(ask: Callable[..., Any]) -> None:
    for number in range(3):
        context = Context(f"req-{number}", "ada", "looms")
        assert ask("who", context=context) == [f"req-{number}", "ada", "looms", f"req-{number}"]


def test_a_request_goes_on_to_the_next_station(bus: Bus, topic: str, station: Station, ask: Callable[..., Any]) -> None:
    station.onward = lambda: ask("who")
    assert ask("relay", context=Context("req-1", "ada", "looms")) == ["req-1", "ada", "looms", "req-1"]


def test_a_call_of_no_request_gets_an_id_of_its_own(ask: Callable[..., Any]) -> None:
    first, second = ask("who"), ask("who")
    assert first[0].startswith("req-")
    assert first[0] != second[0]
    assert current_context() is None


def test_lines_logged_while_handling_carry_the_request(
    bus: Bus, topic: str, station: Station, ask: Callable[..., Any]
) -> None:
    seen: list[tuple[str, str | None]] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            context = current_context()
            seen.append((record.getMessage(), context.request_id if context else None))

    collector = Collector()
    logging.getLogger("injector").addHandler(collector)
    try:
        with pytest.raises(errors.InternalError):
            ask("has_a_bug", context=Context("req-7"))
    finally:
        logging.getLogger("injector").removeHandler(collector)
    assert seen == [(f"{topic} has_a_bug failed", "req-7")]


def test_a_parameter_the_bus_keeps_for_itself_is_refused_when_serving(bus: Bus, topic: str) -> None:
    class Clashing:
        version = VERSION
        methods = ("move",)

        def move(self, server: str) -> None: ...

    with pytest.raises(ValueError, match="move has a parameter the bus keeps for itself: server"):
        bus.serve(topic, "host-1", Clashing())


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
