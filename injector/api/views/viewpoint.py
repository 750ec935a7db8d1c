"""From where a caller looks: the address links are made for, and the microversion the document is made for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from injector.api.microversion import MAXIMUM, Microversion

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """``base`` is ``http://host:port``, or empty where links are relative (RPC)."""

    base: str = ""
    version: Microversion = MAXIMUM

    def since(self, minor: int) -> bool:
        """Whether the version is 2.``minor`` or later."""
        return self.version >= Microversion(2, minor)

    def links(self, collection: str, identity: str) -> list[Document]:
        place = f"{collection}/{quote(identity, safe='')}"
        return [
            {"rel": "self", "href": f"{self.base}/v2.1/{place}"},
            {"rel": "bookmark", "href": f"{self.base}/{place}"},
        ]

    def bookmark(self, collection: str, identity: str) -> list[Document]:
        return self.links(collection, identity)[1:]

    def next_page(self, path: str, parameters: dict[str, str], marker: str) -> list[Document]:
        query = urlencode({**parameters, "marker": marker})
        return [{"rel": "next", "href": f"{self.base}{path}?{query}"}]


def seconds(moment: datetime) -> str:
    """``2026-03-01T12:00:00Z``, as the Compute API writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def microseconds(moment: datetime | None) -> str | None:
    """``2026-03-01T12:00:00.000000``: what the Compute API writes of a launch, in UTC without saying so."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def exact(moment: datetime | None) -> str | None:
    """``2026-03-01T12:00:00.000000+00:00``, for fields of our own."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")
