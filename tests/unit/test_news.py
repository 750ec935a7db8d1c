"""Which events of a guest are news."""

from __future__ import annotations

import pytest

from injector.model.instance import State
from injector.virt.libvirt.news import News

STATES = (State.ACTIVE, State.PAUSED, State.SUSPENDED, State.STOPPED, None)


@pytest.mark.parametrize("state", STATES)
def test_what_is_not_known_is_news_once(state: State | None) -> None:
    news = News()
    assert news.is_news("one", state)
    assert not news.is_news("one", state)
    assert news.is_news("other", state)


@pytest.mark.parametrize("event", STATES)
def test_what_we_do_is_no_news_and_everything_else_is(event: State | None) -> None:
    news = News()
    news.is_news("one", State.STOPPED)
    with news.by_us("one", State.ACTIVE):
        assert news.is_news("one", event) is (event is not State.ACTIVE)
    assert not news.is_news("one", event)


def test_what_we_failed_to_do_is_not_known() -> None:
    news = News()
    with pytest.raises(ValueError, match="failed"), news.by_us("one", State.ACTIVE):
        raise ValueError("failed")
    assert news.is_news("one", State.ACTIVE)


@pytest.mark.parametrize("event", STATES)
def test_nothing_is_news_of_a_guest_that_we_end_until_it_has_ended(event: State | None) -> None:
    news = News()
    with news.ended_by_us("one"):
        assert not news.is_news("one", event)
        assert news.is_news("other", event)
    assert news.is_news("one", event)


@pytest.mark.parametrize("state", STATES)
def test_after_a_time_without_hearing_everything_is_news(state: State | None) -> None:
    news = News()
    news.is_news("one", state)
    news.forget_all()
    assert news.is_news("one", state)
