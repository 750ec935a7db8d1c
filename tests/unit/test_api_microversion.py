"""Which microversion a request asks for."""

from __future__ import annotations

import pytest

from injector.api.microversion import MAXIMUM, MINIMUM, Microversion, NotAcceptable, echo, negotiate
from injector.errors import InvalidRequest


def asked(new: str | None = None, old: str | None = None) -> Microversion:
    headers = {"OpenStack-API-Version": new, "X-OpenStack-Nova-API-Version": old}
    return negotiate(headers.get)


@pytest.mark.parametrize(
    ("new", "old", "version"),
    [
        (None, None, "2.1"),
        ("compute 2.10", None, "2.10"),
        ("compute latest", None, "2.56"),
        (None, "latest", "2.56"),
        (None, " 2.9 ", "2.9"),
        ("compute 2.11", "2.9", "2.11"),
        ("volume 3.50", "2.9", "2.9"),
        ("volume 3.50, compute 2.3", None, "2.3"),
        ("", None, "2.1"),
    ],
)
def test_asked(new: str | None, old: str | None, version: str) -> None:
    assert str(asked(new, old)) == version


@pytest.mark.parametrize(
    "text", ["2", "2.", ".1", "2.01", "02.1", "2.1.1", "two", "2.1x", "2.1\n", "-2.1", "", "²·1", "9" * 99]
)
def test_malformed(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid format"):
        Microversion.parse(text)
    with pytest.raises(InvalidRequest):
        asked("compute")


@pytest.mark.parametrize("text", ["2.0", "2.57", "2.104", "1.1", "3.1"])
def test_out_of_range(text: str) -> None:
    with pytest.raises(NotAcceptable, match=rf"{text} is not supported.*2\.1.*2\.56"):
        asked(f"compute {text}")


def test_order_is_that_of_numbers() -> None:
    assert MINIMUM < Microversion(2, 9) < Microversion(2, 10) < MAXIMUM


def test_the_least_and_the_newest_are_served_and_nothing_named_is_malformed() -> None:
    assert asked("compute 2.1") == MINIMUM
    assert asked("compute 2.56") == MAXIMUM
    with pytest.raises(InvalidRequest, match=r"'\(none\)' is of invalid format"):
        asked("compute")
    assert NotAcceptable.status == 406


def test_the_answer_tells_which_version_it_is_and_what_it_depends_on() -> None:
    assert echo(Microversion(2, 9)) == (
        ("OpenStack-API-Version", "compute 2.9"),
        ("X-OpenStack-Nova-API-Version", "2.9"),
        ("Vary", "OpenStack-API-Version, X-OpenStack-Nova-API-Version"),
    )
