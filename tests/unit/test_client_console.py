"""Following a console: each character once, whatever the window, and a word when something is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.client.console import News, Tail


def follow(*windows: str) -> list[News]:
    tail = Tail()
    return [tail.add(window) for window in windows]


def printed(*windows: str) -> str:
    return "".join(news.text for news in follow(*windows))


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (["a\n", "a\nb\n", "a\nb\n", "a\nb\nc\n"], "a\nb\nc\n"),
        (["", "", "a\n"], "a\n"),
        (["a\na\n", "a\na\na\n"], "a\na\na\n"),  # repeated lines are no overlap to be skipped
        (["a\nb\nc\n", "b\nc\nd\n"], "a\nb\nc\nd\n"),  # the window slid by a line
        (["abcd\nx\ny\n", "cd\nx\ny\nz\n"], "abcd\nx\ny\nz\n"),  # the window slid into a line
        (["a\nlog", "a\nlogin: \n"], "a\nlogin: \n"),
    ],
)
def test_what_is_new(windows: list[str], expected: str) -> None:
    assert printed(*windows) == expected
    assert not any(news.gap for news in follow(*windows))


def test_a_prompt_is_shown_once_it_stands() -> None:
    texts = [
        news.text for news in follow("x\nlogin: ", "x\nlogin: ", "x\nlogin: ", "x\nlogin: root\n", "x\nlogin: root\n")
    ]
    assert texts == ["x\n", "login: ", "", "root\n", ""]


def test_a_line_that_is_still_being_written_is_waited_for() -> None:
    texts = [news.text for news in follow("x\n", "x\nlog", "x\nlogin: ", "x\nlogin: ")]
    assert texts == ["x\n", "", "", "login: "]


def test_a_prompt_that_turns_out_otherwise_is_followed_by_the_line_as_it_is() -> None:
    assert printed("[0", "[0", "done\n") == "[0\ndone\n"


def test_a_log_that_begins_anew_is_printed_whole_and_said_so() -> None:
    old, cut, new, more = follow("a\nb\nc\n", "", "boot\na\n", "boot\na\nb\n")
    assert (old.gap, cut, new, more) == (False, News(""), News("boot\na\n", gap=True), News("b\n"))


def test_a_log_that_begins_anew_with_the_same_words_is_printed_whole() -> None:
    assert follow("boot\nsteps\nlogin\n", "boot\n")[-1] == News("boot\n", gap=True)


def test_a_short_first_line_is_not_taken_for_the_rest_of_another() -> None:
    assert follow("a\nb\n\n", "SeaBIOS\n\nboot\n")[-1] == News("SeaBIOS\n\nboot\n", gap=True)


LOGS = st.lists(st.integers(0, 10**9), min_size=1, max_size=60, unique=True).map(
    lambda numbers: "".join(f"{number:b}\n" for number in numbers)
)


@given(log=LOGS, cuts=st.lists(st.integers(0, 2000), max_size=12), width=st.integers(120, 2000))
def test_nothing_is_lost_or_told_twice(log: str, cuts: list[int], width: int) -> None:
    """A growing log seen through a sliding window that always overlaps with the look before by two lines or more."""
    ends = sorted({min(cut, len(log)) for cut in cuts} | {len(log)})
    steps = [end for start, end in zip([0, *ends], ends, strict=False) for end in (*range(start + 40, end, 40), end)]
    assert printed(*(log[max(0, end - width) : end] for end in steps)) == log
