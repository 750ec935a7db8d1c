"""Who is asked how it is, for how long, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from injector.compute import watch
from injector.compute.watch import Watch
from injector.model.guest import GuestState, GuestVerdict
from injector.model.instance import Instance, State
from injector.model.report import Report, Witnessed
from injector.settings import ComputeSettings
from tests import builders as a

BOOTING = GuestVerdict(GuestState.BOOTING, "", "agent")
BY_CONSOLE = GuestVerdict(GuestState.DONE, "by console", "console")
BY_AGENT = GuestVerdict(GuestState.DONE, "by agent", "agent")
GUEST = a.an_instance(state=State.ACTIVE, generation=3)


class Speaking:
    """A driver whose guest says this, one word a question and the last one again and again, and shows two items."""

    def __init__(self, *words: GuestVerdict | None) -> None:
        self._words = list(words)
        self.asked = 0

    def witness(self, _instance: Instance) -> GuestVerdict | None:
        self.asked += 1
        return self._words.pop(0) if len(self._words) > 1 else self._words[0]

    def witnessed(self, _instance: Instance) -> tuple[int, ...]:
        return (0, 2)


@contextmanager
def restarted(driver: Any, timeout: float = 5) -> Iterator[tuple[Watch, list[Report]]]:
    """A watch that knows of no guest."""
    told: list[Report] = []

    def tell(_instance: Instance, report: Report) -> bool:
        told.append(report)
        return True

    watched = Watch(driver, tell, ComputeSettings(witness_interval=0.01, witness_timeout=timeout))
    watched.start()
    try:
        yield watched, told
    finally:
        watched.stop()


@contextmanager
def watching(driver: Any) -> Iterator[list[Report]]:
    with restarted(driver) as (watched, told):
        watched.begin(GUEST)
        yield told


def wait_for(told: list[Report], count: int) -> None:
    deadline = time.monotonic() + 5
    while len(told) < count:
        assert time.monotonic() < deadline, told
        time.sleep(0.005)


def test_what_the_agent_shows_at_the_end_goes_with_its_word() -> None:
    driver = Speaking(None, BOOTING, BOOTING, BY_AGENT)
    with watching(driver) as told:
        wait_for(told, 2)
        time.sleep(0.05)
    assert told == [Witnessed(BOOTING), Witnessed(BY_AGENT, 3, (0, 2))]
    assert driver.asked == 4


def test_a_console_that_was_quicker_does_not_silence_the_agent() -> None:
    with watching(Speaking(BY_CONSOLE, BOOTING, BY_CONSOLE, BY_AGENT)) as told:
        wait_for(told, 2)
    assert told == [Witnessed(BY_CONSOLE), Witnessed(BY_AGENT, 3, (0, 2))]


def test_where_only_the_console_speaks_nothing_is_witnessed_and_it_is_asked_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "_SECOND_WORD_SECONDS", 0.05)
    driver = Speaking(BY_CONSOLE)
    with watching(driver) as told:
        wait_for(told, 1)
        time.sleep(0.3)
        asked = driver.asked
        time.sleep(0.1)
        assert driver.asked == asked
    assert told == [Witnessed(BY_CONSOLE)]


def test_a_guest_in_error_shows_nothing() -> None:
    failed = GuestVerdict(GuestState.ERROR, "scripts-user", "agent")
    with watching(Speaking(failed)) as told:
        wait_for(told, 1)
    assert told == [Witnessed(failed)]


@pytest.mark.parametrize("hours", [-1, 1, 24 * 365])
def test_a_guest_is_asked_on_after_a_restart_whatever_another_hosts_clock_says(hours: float) -> None:
    booting = replace(GUEST, updated_at=datetime.now(UTC) - timedelta(hours=hours))
    with restarted(Speaking(BOOTING, BY_AGENT)) as (watched, told):
        watched.go_on(booting)
        wait_for(told, 2)
    assert told == [Witnessed(BOOTING), Witnessed(BY_AGENT, 3, (0, 2))]


def test_one_that_does_not_speak_is_asked_on_once_a_boot() -> None:
    driver = Speaking(None)
    ahead = replace(GUEST, updated_at=datetime.now(UTC) + timedelta(hours=1))
    with restarted(driver, timeout=0.1) as (watched, _):

        def asked_anew() -> bool:
            before = driver.asked
            for _ in range(30):
                watched.go_on(ahead)
                time.sleep(0.01)
            at_the_end = driver.asked
            time.sleep(0.05)
            assert driver.asked == at_the_end, "its time is not over"
            return driver.asked > before

        assert asked_anew()
        assert not asked_anew()
        watched.forget(GUEST.id)
        assert asked_anew()
        assert not asked_anew()
        watched.unsaid(GUEST.id)
        assert asked_anew()
