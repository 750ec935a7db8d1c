"""Base64 as Nova takes it, except where its decoder would drop content."""

from __future__ import annotations

from base64 import b64encode, encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.api.base64text import decode
from injector.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVs bG8=\n", b"hello"),
        ("aGVs\r\nbG8=\r\n", b"hello"),
        ("aGVs*bG8=", b"hello"),
        ("", b""),
        (" \n", b""),
    ],
)
def test_what_nova_accepts(text: str, content: bytes) -> None:
    assert decode(text, "user_data") == content


@pytest.mark.parametrize(
    "text",
    [
        "aGVsbG8",
        "a",
        "aGVsbG8_",
        "-GVsbG8=",
        "####",
        "====",
        "YQ==YQ==",
        "YQ=",
        "é",
        "YQ==é",
        "YQ_=",
        "aGVs_G8=",
        "aGVs-bG8=",
        "=YQ==",
        "*",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"personality\[3\]\.contents: not base64") as refused:
        decode(text, "personality[3].contents")
    assert refused.value.field == "personality[3].contents"


@given(content=st.binary())
def test_whatever_was_encoded_comes_back(content: bytes) -> None:
    assert decode(b64encode(content).decode(), "x") == content == decode(encodebytes(content).decode(), "x")


def test_a_long_text_of_padding_is_refused_quickly() -> None:
    with pytest.raises(InvalidRequest):
        decode("=" * 1_000_000, "x")
