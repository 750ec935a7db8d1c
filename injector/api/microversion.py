"""Compute API microversions: what this server speaks, and which one a request asks for.

2.56 is the last version whose ``POST /servers`` carries ``personality``; the views follow each version up to it.
Requests are read by one schema for all versions: keys of our own and of later versions that cost nothing
(``hostname``, 2.90) are understood at every one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, Self

from injector.errors import InvalidRequest, RequestError

HEADER = "OpenStack-API-Version"
LEGACY_HEADER = "X-OpenStack-Nova-API-Version"

_FORM = re.compile(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\Z")


class NotAcceptable(RequestError):
    """A microversion outside of what this server speaks."""

    status = 406


class Microversion(NamedTuple):
    """Ordered as its numbers are: 2.9 comes before 2.10."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """InvalidRequest for anything but ``N.N``."""
        found = _FORM.match(text)
        if found is None:
            message = f"API Version String {text[:40]!r} is of invalid format. Must be of format MajorNum.MinorNum."
            raise InvalidRequest(message, field=HEADER)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MINIMUM = Microversion(2, 1)
MAXIMUM = Microversion(2, 56)


def negotiate(header: Callable[[str], str | None]) -> Microversion:
    """The version a request asks for, 2.1 when it asks for none; the newer header wins when both are given."""
    asked = _of_compute(header(HEADER) or "") or header(LEGACY_HEADER)
    if asked is None:
        return MINIMUM
    if asked.strip() == "latest":
        return MAXIMUM
    version = Microversion.parse(asked.strip())
    if not MINIMUM <= version <= MAXIMUM:
        message = f"Version {version} is not supported by the API. Minimum is {MINIMUM} and maximum is {MAXIMUM}."
        raise NotAcceptable(message, field=HEADER)
    return version


def _of_compute(text: str) -> str | None:
    """The compute part of ``compute 2.53, identity 3.1``; several services may be named in one header."""
    for part in text.split(","):
        service, _, version = part.strip().partition(" ")
        if service == "compute":
            return version or "(none)"
    return None


def echo(version: Microversion) -> tuple[tuple[str, str], ...]:
    """The headers that tell the caller which version was served."""
    return (
        (HEADER, f"compute {version}"),
        (LEGACY_HEADER, str(version)),
        ("Vary", f"{HEADER}, {LEGACY_HEADER}"),
    )
