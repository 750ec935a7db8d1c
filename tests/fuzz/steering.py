"""Finds what would steer a terminal, or read as something else, in whatever an answer says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from injector.model.secret import Secret

_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def steering(value: Any) -> list[str]:
    """The texts in ``value``, however deep, that are not harmless; contents of files are meant to be as they are."""
    return [text for text in _texts(value) if _STEERS.search(text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (*_texts(key), *_texts(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif is_dataclass(value) and not isinstance(value, Secret):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))
