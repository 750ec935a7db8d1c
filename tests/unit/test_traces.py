"""The search for secrets finds one wherever it stands in what was encoded: else its silence would say nothing."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from tests.traces import traces

SECRET = b"zw1tterwolf\n\xff"


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("after", range(4))
def test_base64_is_seen_through_wherever_it_begins(before: int, after: int) -> None:
    encoded = base64.b64encode(b"x" * before + SECRET + b"y" * after)
    assert any(trace in encoded for trace in traces(SECRET))


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        SECRET.hex().encode(),
        SECRET.hex().upper().encode(),
        repr({"key": SECRET}).encode(),
        json.dumps({"key": SECRET.decode("latin-1")}).encode(),
        base64.urlsafe_b64encode(SECRET),
        hashlib.sha256(SECRET).hexdigest().encode(),
        hashlib.sha512(SECRET).digest(),
        base64.b64encode(hashlib.sha1(SECRET).digest()),
        SECRET[::-1],
    ],
)
def test_every_usual_spelling_is_found(shown: bytes) -> None:
    assert any(trace in b"before " + shown + b" after" for trace in traces(SECRET))


def test_nothing_is_found_where_nothing_is() -> None:
    text = base64.b64encode(bytes(range(256)) * 64) + bytes(range(256)) + SECRET[:-1] + SECRET[1:]
    assert [trace for trace in traces(SECRET) if trace in text] == []
