"""The limits on what a request may inject: exactly at each, one over, and none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from injector.api.limits import check_count, check_files, check_metadata, check_user_data
from injector.errors import InvalidRequest, OverQuota
from injector.settings import Quotas

QUOTAS = Quotas(
    injected_files=2,
    injected_file_path_length=5,
    injected_file_content_bytes=8,
    metadata_items=2,
    user_data=8,
    instances_per_request=3,
)
UNLIMITED = Quotas(
    injected_files=-1,
    injected_file_path_length=-1,
    injected_file_content_bytes=-1,
    metadata_items=-1,
    user_data=-1,
    instances_per_request=-1,
)
NOTHING = Quotas(
    injected_files=0,
    injected_file_path_length=0,
    injected_file_content_bytes=0,
    metadata_items=0,
    user_data=0,
    instances_per_request=0,
)


def a_file(path: str = "/etc", contents: str = "") -> dict[str, str]:
    return {"path": path, "contents": contents}


FITTING = [
    pytest.param(check_files, [a_file("/etc/"), a_file(contents="8 chars.")], id="files"),
    pytest.param(check_metadata, {"a": "1", "b": "2"}, id="metadata"),
    pytest.param(check_user_data, "8 chars.", id="user-data"),
    pytest.param(check_count, 3, id="count"),
]
OVER = [
    pytest.param(check_files, [a_file()] * 3, OverQuota, "personality", "3 files, at most 2", id="files"),
    pytest.param(
        check_files,
        [a_file(), a_file("/etc/x")],
        OverQuota,
        "personality[1].path",
        "Personality file path exceeds maximum 5: personality[1].path has 6 characters",
        id="path",
    ),
    pytest.param(
        check_files,
        [a_file(), a_file(contents="9 chars.!")],
        OverQuota,
        "personality[1].contents",
        "Personality file content exceeds maximum 8: personality[1].contents has 9 characters of base64",
        id="content",
    ),
    pytest.param(check_metadata, {"a": "", "b": "", "c": ""}, OverQuota, "metadata", "2: 3 were given", id="metadata"),
    pytest.param(check_user_data, "9 chars.!", InvalidRequest, "user_data", "9 characters of base64", id="user-data"),
    pytest.param(check_count, 4, OverQuota, "max_count", "4 requested, at most 3", id="count"),
]


@pytest.mark.parametrize(("check", "value"), FITTING)
def test_what_reaches_a_limit_is_taken(check: Callable[[Any, Quotas], None], value: Any) -> None:
    check(value, QUOTAS)


@pytest.mark.parametrize(("check", "value", "error", "field", "words"), OVER)
def test_one_more_is_refused_and_named(
    check: Callable[[Any, Quotas], None], value: Any, error: type[OverQuota | InvalidRequest], field: str, words: str
) -> None:
    with pytest.raises(error) as refusal:
        check(value, QUOTAS)
    assert refusal.value.field == field
    assert words in str(refusal.value)
    check(value, UNLIMITED)


@pytest.mark.parametrize(
    ("check", "value"),
    [(check_files, [a_file()]), (check_metadata, {"a": ""}), (check_user_data, "a"), (check_count, 1)],
)
def test_a_limit_of_zero_allows_nothing(check: Callable[[Any, Quotas], None], value: Any) -> None:
    with pytest.raises((OverQuota, InvalidRequest)):
        check(value, NOTHING)


def test_the_paths_are_judged_before_any_content() -> None:
    with pytest.raises(OverQuota) as refusal:
        check_files([a_file(contents="much too long"), a_file("/etc/x")], QUOTAS)
    assert refusal.value.field == "personality[1].path"
