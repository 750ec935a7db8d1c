"""Names, passwords and seeds of servers."""

from __future__ import annotations

import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.api import naming

ID = "5ca1ab1e-0000-4000-8000-000000000001"
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        ("web", "web"),
        ("Web Server_1.example", "web-server-1-example"),
        ("--web..", "web"),
        ("wéb★", "wb"),
        ("web;rm -rf /", "webrm--rf"),
        ("★", f"Server-{ID}"),
        ("x" * 100, "x" * 63),
    ],
)
def test_a_host_name_from_a_name(name: str, hostname: str) -> None:
    assert naming.hostname(name, ID) == hostname


def test_several_are_told_apart_within_the_63_characters() -> None:
    assert naming.hostname("web", ID, 3, 2) == "web-2"
    assert naming.hostname("x" * 100, ID, 12, 12) == "x" * 60 + "-12"
    assert [naming.display_name("web", count, 1) for count in (1, 2)] == ["web", "web-1"]


@given(name=st.text(min_size=1, max_size=255), count=st.integers(1, 100))
def test_every_name_gives_a_label(name: str, count: int) -> None:
    assert LABEL.fullmatch(naming.hostname(name, ID, count, count))


@pytest.mark.parametrize("length", [3, 12, 30])
def test_a_password_has_a_character_of_each_group(length: int) -> None:
    for _ in range(50):
        password = naming.new_password(length).text()
        assert len(password) == length
        for group in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
            assert set(password) & set(group)
        assert not set(password) & set("01IOl")


def test_the_groups_of_a_password_are_at_places_by_chance() -> None:
    firsts = {naming.new_password(3).text()[0] for _ in range(200)}
    assert all(firsts & set(group) for group in (string.digits, string.ascii_uppercase, string.ascii_lowercase))


def test_all_letters_and_digits_that_cannot_be_mistaken_are_drawn() -> None:
    drawn = naming.new_password(5000).text()
    assert set(drawn) == set(string.ascii_letters + string.digits) - set("01IOl")


def test_nothing_random_is_drawn_twice() -> None:
    assert len({naming.new_password(12).text() for _ in range(100)}) == 100
    assert len({naming.new_reservation_id() for _ in range(100)}) == 100
    assert len({naming.new_seed().reveal() for _ in range(10)}) == 10
    assert len(naming.new_seed()) == 512
    assert re.fullmatch("r-[a-z0-9]{8}", naming.new_reservation_id())


def test_an_id_is_a_uuid_and_a_single_server_s_name_has_no_number() -> None:
    assert uuid.UUID(naming.new_instance_id()).version == 4
    assert naming.hostname("web", ID, number=2) == "web"
