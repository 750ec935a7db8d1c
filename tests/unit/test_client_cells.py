"""What stands in a field: short for people, whole for machines, harmless for both."""

from __future__ import annotations

from typing import Any

import pytest

from injector.client.cells import clean, human_size, pairs, plain, size

HOSTILE = "\x1b]0;owned\x07a\x1b[2Jb\u202e"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HOSTILE, "ab"),
        ({HOSTILE: [HOSTILE, {"k": HOSTILE}]}, {"ab": ["ab", {"k": "ab"}]}),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("x" * 100_000, "x" * 100_000),
        (5, 5),
        (None, None),
    ],
)
def test_structured_values_are_cleaned_all_through(value: Any, expected: Any) -> None:
    assert clean(value) == expected


@pytest.mark.parametrize(("value", "expected"), [("a\nb", "a b"), (HOSTILE, "ab"), (3, 3), (True, True)])
def test_a_plain_cell_is_one_line(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_pairs_are_a_line_each_for_people() -> None:
    cell = pairs({"b": "2\n3", "a": "1"})
    assert cell.human_readable() == "a=1\nb=2 3"
    assert cell.machine_readable() == {"b": "2\n3", "a": "1"}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (476 * 1024**2, "476.0 MiB"), (5 * 1024**4, "5.0 TiB")],
)
def test_sizes(count: int, expected: str) -> None:
    assert human_size(count) == expected


def test_a_size_that_is_not_known() -> None:
    assert size(None) is None
