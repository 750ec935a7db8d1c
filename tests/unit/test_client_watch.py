"""Waiting: when a wait is over, what it comes to, and what is told on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from injector.client import watch
from injector.client.endpoint import Credential, parse_endpoint
from injector.client.exits import Exit, Failure, Unreachable
from injector.client.progress import Silent
from injector.client.session import Session
from injector.client.watch import Ending, Goal, Story, Watch, judge_boot, judge_power
from tests.canned_api import CannedApi, fault

ID = "5ca1ab1e-0000-4000-8000-000000000001"
SHOW = f"/v2.1/servers/{ID}"


def a_view(status: str = "ACTIVE", guest: str = "unknown", /, **more: Any) -> dict[str, Any]:
    known = {"state": guest, "detail": "", "witness": None, "at": None}
    return {"id": ID, "name": "vm", "status": status, "injector:guest": known, "injector:request_id": "req-1"} | more


def marks(*steps: str) -> list[dict[str, str]]:
    return [{"step": step, "at": f"2026-03-01T12:00:0{second}+00:00"} for second, step in enumerate(steps)]


@pytest.mark.parametrize(
    ("view", "goal", "expected"),
    [
        (a_view("BUILD"), Goal.RUNNING, None),
        (a_view("ACTIVE"), Goal.RUNNING, Exit.OK),
        (a_view("SHUTOFF"), Goal.RUNNING, Exit.OK),
        (a_view("ERROR"), Goal.RUNNING, Exit.BOOT_FAILED),
        (a_view("DELETED"), Goal.RUNNING, Exit.BOOT_FAILED),
        (a_view("REBUILD"), Goal.RUNNING, None),
        (a_view("UNKNOWN"), Goal.RUNNING, None),
        (a_view("UNKNOWN", "done"), Goal.GUEST, None),
        (a_view("BUILD"), Goal.GUEST, None),
        (a_view("ACTIVE"), Goal.GUEST, None),
        (a_view("ACTIVE", "booting"), Goal.GUEST, None),
        (a_view("ACTIVE", "done"), Goal.GUEST, Exit.OK),
        (a_view("SHUTOFF", "done"), Goal.GUEST, Exit.OK),
        (a_view("ACTIVE", "degraded"), Goal.GUEST, Exit.GUEST_DEGRADED),
        (a_view("ACTIVE", "error"), Goal.GUEST, Exit.GUEST_ERROR),
        (a_view("SHUTOFF", "booting"), Goal.GUEST, Exit.GUEST_ERROR),
        (a_view("ERROR", "done"), Goal.GUEST, Exit.BOOT_FAILED),
        (a_view("ACTIVE", **{"OS-EXT-STS:task_state": "deleting"}), Goal.RUNNING, Exit.BOOT_FAILED),
    ],
)
def test_when_a_boot_is_over(view: dict[str, Any], goal: Goal, expected: Exit | None) -> None:
    ending = judge_boot(view, goal)
    code = None if ending is None else (ending.failure.code if ending.failure else Exit.OK)
    assert code == expected


def test_the_reason_of_an_error_and_the_request_that_asked_for_it_are_told() -> None:
    ending = judge_boot(a_view("ERROR", fault={"message": "the image is corrupt"}), Goal.RUNNING)
    assert ending is not None
    assert ending.failure is not None
    assert ending.failure.line() == f"error: server vm ({ID}) ended in ERROR: the image is corrupt (request req-1)"


@pytest.mark.parametrize(
    ("view", "wanted", "expected"),
    [
        (a_view("ACTIVE", **{"OS-EXT-STS:task_state": "powering-off"}), "SHUTOFF", None),
        (a_view("SHUTOFF", **{"OS-EXT-STS:task_state": None}), "SHUTOFF", Exit.OK),
        (a_view("UNKNOWN"), "SHUTOFF", None),
        (a_view("PAUSED"), "PAUSED", Exit.OK),
        (a_view("ACTIVE"), "SHUTOFF", Exit.REFUSED),
    ],
)
def test_when_a_power_action_is_over(view: dict[str, Any], wanted: str, expected: Exit | None) -> None:
    ending = judge_power(view, wanted)
    code = None if ending is None else (ending.failure.code if ending.failure else Exit.OK)
    assert code == expected


def told(*views: dict[str, Any], prefix: str = "") -> list[str]:
    story = Story(prefix)
    return [line for view in views for line in story.news(view)]


def test_each_phase_is_told_once_with_its_time() -> None:
    lines = told(
        a_view("BUILD"),
        a_view("BUILD", **{"injector:marks": marks("schedule", "image")}),
        a_view("BUILD", **{"injector:marks": marks("schedule", "image")}),
        a_view("ACTIVE", **{"injector:marks": marks("schedule", "image", "start", "running")}),
    )
    assert [line.split() for line in lines] == [
        ["schedule", "1.00", "s"],
        ["image", "1.00", "s"],
        ["start", "1.00", "s"],
        ["running", "3.00", "s", "in", "all"],
    ]


def test_what_the_guest_says_is_told_when_it_changes_with_its_witness() -> None:
    running = {"injector:marks": marks("schedule", "running")}
    done = {"state": "done", "witness": "agent", "at": "2026-03-01T12:00:41+00:00"}
    lines = told(a_view(**running), a_view(**running | {"injector:guest": done}), prefix="vm: ")
    assert lines[-1] == "vm: guest      done      41.00 s after the request (agent)"
    assert len(lines) == 3


def test_another_attempt_is_told_and_begins_anew() -> None:
    first, second = marks("schedule", "image"), marks("disk", "define")
    lines = told(a_view("BUILD", **{"injector:marks": first}), a_view("BUILD", **{"injector:marks": second}))
    assert lines == ["schedule     1.00 s", "another attempt", "disk         1.00 s"]


class Listener(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[CannedApi]:
    with CannedApi(tmp_path / "api.sock") as canned:
        yield canned


@pytest.fixture
def a_watch(api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watch]:
    monkeypatch.setattr(watch, "FAST", 0.01)
    monkeypatch.setattr(watch, "SLOW", 0.01)
    session = Session(parse_endpoint(api.endpoint), Credential(None))
    return lambda timeout=10.0, progress=None: Watch(session, progress or Silent(), timeout)


def shows(api: CannedApi, *views: dict[str, Any]) -> None:
    api.answer("GET", SHOW, *({"server": view} for view in views))


def test_a_boot_is_watched_until_it_runs(api: CannedApi, a_watch: Callable[..., Watch]) -> None:
    running = a_view(**{"injector:marks": marks("schedule", "running")})
    shows(api, a_view("BUILD"), a_view("BUILD", **{"injector:marks": marks("schedule")}), running)
    listener = Listener()
    views, failures = a_watch(progress=listener).boot([a_view("BUILD")], Goal.RUNNING)
    assert (views, failures) == ([running], [])
    assert len(listener.lines) == 2


def test_a_wait_ends_at_its_timeout(api: CannedApi, a_watch: Callable[..., Watch]) -> None:
    shows(api, a_view("ACTIVE", "booting"))
    started = time.monotonic()
    _, failures = a_watch(timeout=0.2).boot([a_view()], Goal.GUEST)
    assert [failure.code for failure in failures] == [Exit.TIMED_OUT]
    assert "booting" in failures[0].message
    assert time.monotonic() - started < 5


def test_a_daemon_that_is_restarted_meanwhile_is_waited_for(api: CannedApi, a_watch: Callable[..., Watch]) -> None:
    shows(api, a_view("ACTIVE"))
    api.stop()
    back = threading.Timer(0.3, api.start)
    back.start()
    _, failures = a_watch().boot([a_view("BUILD")], Goal.RUNNING)
    back.join()
    assert failures == []


def test_a_daemon_that_stays_away_is_given_up(
    api: CannedApi, a_watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.1)
    api.answer("GET", SHOW, fault(503, "the bus does not answer", "serviceUnavailable"))
    with pytest.raises(Unreachable, match="the bus does not answer"):
        a_watch().boot([a_view("BUILD")], Goal.RUNNING)


def test_a_power_action_that_comes_to_rest_elsewhere_fails(api: CannedApi, a_watch: Callable[..., Watch]) -> None:
    moving = a_view("ACTIVE", **{"OS-EXT-STS:task_state": "powering-off"})
    shows(api, moving, a_view("ACTIVE", fault={"message": "it would not"}))
    with pytest.raises(Failure, match="is ACTIVE and not SHUTOFF: it would not"):
        a_watch().power(moving, "SHUTOFF")


def test_a_deletion_is_over_when_there_is_nothing_left(api: CannedApi, a_watch: Callable[..., Watch]) -> None:
    going = {"server": a_view("ACTIVE", **{"OS-EXT-STS:task_state": "deleting"})}
    api.answer("GET", SHOW, going, fault(404, "gone", "itemNotFound"))
    a_watch().gone(a_view())
    assert len(api.asked) == 2


def test_a_success_is_an_ending_without_failure() -> None:
    assert judge_boot(a_view("ACTIVE"), Goal.RUNNING) == Ending()
