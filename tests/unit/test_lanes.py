"""One worker an instance; a ring during the work is answered after it, one for a build that waits at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from injector.compute.lanes import Build, Lanes
from injector.errors import HostError


class Worker:
    """Looks that are counted and held up, and builds that are; ``go`` lets them end."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.built: list[str] = []
        self.started = threading.Event()
        self.go = threading.Event()

    def look(self, instance_id: str) -> None:
        self.looks.append(instance_id)
        self._hold()

    def look_for_a_build(self, instance_id: str) -> Build:
        self.looks.append(instance_id)
        return lambda: self._build(instance_id)

    def _build(self, instance_id: str) -> None:
        self.built.append(instance_id)
        self._hold()

    def _hold(self) -> None:
        self.started.set()
        assert self.go.wait(5)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def lanes(worker: Worker) -> Iterator[Lanes]:
    lanes = Lanes(1, 1)
    yield lanes
    worker.go.set()
    lanes.close()


def wait_until_idle(lanes: Lanes) -> None:
    deadline = time.monotonic() + 5
    while not lanes.idle:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def bad(_: str) -> None:
    raise ValueError("bug")


def test_rings_during_a_look_mean_one_look_more(lanes: Lanes, worker: Worker) -> None:
    lanes.enter("a", worker.look)
    assert worker.started.wait(5)
    for _ in range(3):
        lanes.enter("a", worker.look)
    assert lanes.busy("a")
    worker.go.set()
    wait_until_idle(lanes)
    assert worker.looks == ["a", "a"]


def test_rings_during_a_build_mean_one_look_after_it(lanes: Lanes, worker: Worker) -> None:
    answers: list[Build | None] = [worker.look_for_a_build("a"), None]
    looked = threading.Event()

    def look(_: str) -> Build | None:
        looked.set()
        return answers.pop(0)

    lanes.enter("a", look)
    assert worker.started.wait(5)
    looked.clear()
    for _ in range(3):
        lanes.enter("a", look)
    assert not looked.wait(0.05)
    worker.go.set()
    wait_until_idle(lanes)
    assert answers == []
    assert looked.is_set()


def test_actions_do_not_wait_for_builds(lanes: Lanes, worker: Worker) -> None:
    acted = threading.Event()
    lanes.enter("a", worker.look_for_a_build)
    assert worker.started.wait(5)
    lanes.enter("b", lambda _: acted.set())
    assert acted.wait(5)


def test_a_ring_for_a_queued_build_is_answered_without_waiting_for_its_turn(lanes: Lanes, worker: Worker) -> None:
    """A delete, say: the record is looked at again, and the build that it asked for before is forgotten."""
    deleted = threading.Event()
    lanes.enter("a", worker.look_for_a_build)
    assert worker.started.wait(5)
    answers: list[Build | None] = [worker.look_for_a_build("b")]

    def look(_: str) -> Build | None:
        if answers:
            return answers.pop()
        deleted.set()
        return None

    lanes.enter("b", look)
    while answers:
        time.sleep(0.001)
    lanes.enter("b", look)
    assert deleted.wait(5)
    worker.go.set()
    wait_until_idle(lanes)
    assert worker.built == ["a"]


@pytest.mark.parametrize("looks_badly", [True, False])
def test_work_that_raises_does_not_block_its_instance(lanes: Lanes, looks_badly: bool) -> None:
    done = threading.Event()
    lanes.enter("a", bad if looks_badly else lambda _: lambda: bad("a"))
    wait_until_idle(lanes)
    lanes.enter("a", lambda _: done.set())
    assert done.wait(5)


def test_closing_waits_and_takes_no_more(lanes: Lanes, worker: Worker) -> None:
    lanes.enter("a", worker.look_for_a_build)
    assert worker.started.wait(5)
    closing = threading.Thread(target=lanes.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    worker.go.set()
    closing.join(5)
    assert worker.built == ["a"]
    lanes.enter("b", worker.look_for_a_build)
    assert worker.looks == ["a"]


def test_a_bug_in_the_work_is_logged_and_an_end_is_not(caplog: pytest.LogCaptureFixture) -> None:
    for look, logged in ((lambda _: None, 0), (bad, 1)):
        lanes = Lanes(1, 1)
        lanes.enter("a", look)
        lanes.close()
        assert len(caplog.records) == logged
        assert lanes.idle is True


def test_a_host_that_is_in_the_way_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    def look(_: str) -> None:
        raise HostError("no room for it", detail="vda")

    for work in (look, bad):
        lanes = Lanes(1, 1)
        lanes.enter("a", work)
        lanes.close()
    said = {(record.levelname, "vda" in record.getMessage(), record.exc_info is None) for record in caplog.records}
    assert said == {("WARNING", True, True), ("ERROR", False, False)}


def test_closing_forgets_what_has_not_begun_and_looks_no_more(lanes: Lanes, worker: Worker) -> None:
    lanes.enter("a", worker.look)
    assert worker.started.wait(5)
    lanes.enter("b", worker.look)
    lanes.enter("a", worker.look)
    closing = threading.Thread(target=lanes.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    worker.go.set()
    closing.join(5)
    assert worker.looks == ["a"]


def test_a_build_found_while_closing_is_not_begun(lanes: Lanes, worker: Worker) -> None:
    def look(_: str) -> Build:
        worker.look("a")
        return worker.look_for_a_build("a")

    lanes.enter("a", look)
    assert worker.started.wait(5)
    closing = threading.Thread(target=lanes.close)
    closing.start()
    time.sleep(0.05)
    worker.go.set()
    closing.join(5)
    assert worker.built == []
