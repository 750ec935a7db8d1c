"""One worker an instance; rings during the work are answered after it; closing waits."""

from __future__ import annotations

import threading
import time

import pytest

from injector.compute.lanes import Lanes


def assert_set(event: threading.Event) -> None:
    assert event.wait(5)


def test_a_ring_during_the_work_means_look_again_once() -> None:
    lanes, started, go = Lanes(2, 2), threading.Event(), threading.Event()
    looks: list[str] = []

    def look(instance_id: str) -> None:
        looks.append(instance_id)
        started.set()
        assert go.wait(5)

    lanes.enter("a", build=True, look=look)
    assert started.wait(5)
    for _ in range(3):
        lanes.enter("a", build=False, look=look)
    assert lanes.busy("a")
    go.set()
    deadline = time.monotonic() + 5
    while not lanes.idle and time.monotonic() < deadline:
        time.sleep(0.005)
    assert looks == ["a", "a"]
    lanes.close()


def test_actions_do_not_wait_for_builds() -> None:
    lanes, go, acted = Lanes(1, 1), threading.Event(), threading.Event()
    lanes.enter("a", build=True, look=lambda _: assert_set(go))
    lanes.enter("b", build=False, look=lambda _: acted.set())
    assert acted.wait(5)
    go.set()
    lanes.close()


def test_work_that_raises_does_not_block_its_instance() -> None:
    lanes, done = Lanes(1, 1), threading.Event()

    def bad(_: str) -> None:
        raise ValueError("bug")

    lanes.enter("a", build=False, look=bad)
    deadline = time.monotonic() + 5
    while lanes.busy("a") and time.monotonic() < deadline:
        time.sleep(0.005)
    lanes.enter("a", build=False, look=lambda _: done.set())
    assert done.wait(5)
    lanes.close()


def test_closing_waits_and_takes_no_more() -> None:
    lanes = Lanes(1, 1)
    ended: list[str] = []

    def look(instance_id: str) -> None:
        time.sleep(0.1)
        ended.append(instance_id)

    lanes.enter("a", build=True, look=look)
    lanes.close()
    assert ended == ["a"]
    lanes.enter("b", build=True, look=look)
    assert ended == ["a"]


def test_a_bug_in_the_work_is_logged_and_an_end_is_not(caplog: pytest.LogCaptureFixture) -> None:
    def bad(_: str) -> None:
        raise ValueError("bug")

    for look, logged in ((lambda _: None, 0), (bad, 1)):
        lanes = Lanes(1, 1)
        lanes.enter("a", build=False, look=look)
        lanes.close()
        assert len(caplog.records) == logged
        assert lanes.idle is True


def test_closing_forgets_what_has_not_begun_and_looks_no_more() -> None:
    lanes, started, go = Lanes(1, 1), threading.Event(), threading.Event()
    looks: list[str] = []

    def look(instance_id: str) -> None:
        looks.append(instance_id)
        started.set()
        assert go.wait(5)

    lanes.enter("a", build=True, look=look)
    assert started.wait(5)
    lanes.enter("b", build=True, look=look)
    lanes.enter("a", build=True, look=look)
    closing = threading.Thread(target=lanes.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    go.set()
    closing.join(5)
    assert looks == ["a"]
