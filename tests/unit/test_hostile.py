"""Text out of a guest cannot steer a terminal, and is bounded."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.model.hostile import harmless, one_line


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        (b"plain\n\ttext", "plain\n\ttext"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07x", "x"),
        (b"\x1b]8;;http://evil\x1b\\link", "link"),
        (b"a\rb", "a\nb"),
        (b"a\r\nb", "a\nb"),
        (b"\xff", "\ufffd"),
        ("a\u202eb".encode(), "ab"),
        (b"\xc2\x9b31m", "31m"),
    ],
)
def test_examples(raw: bytes, safe: str) -> None:
    assert harmless(raw) == safe


@given(st.binary(max_size=400))
def test_no_control_character_survives(raw: bytes) -> None:
    assert {c for c in harmless(raw) if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}


@given(st.text(max_size=400))
def test_the_end_is_kept_and_bounded(text: str) -> None:
    assert len(harmless(text, 50)) <= 50
    assert "\n" not in one_line(text)


def test_the_bounds_unless_told() -> None:
    assert len(harmless("x" * 5000)) == 4096
    assert one_line("y" * 100 + "x" * 500) == "y" * 100 + "x" * 400
    assert one_line("abc" + " " * 31 + "d", 8) == "d"
    assert one_line("word " * 20, 40) == ("word " * 20)[:40]
