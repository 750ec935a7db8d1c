"""Version documents: how clients find out what is spoken here."""

from __future__ import annotations

from injector.api.microversion import MAXIMUM, MINIMUM
from injector.api.views.viewpoint import Document

# The day Nova's v2.1 was born; clients compare it with nothing.
_UPDATED = "2013-07-23T11:33:21Z"


def entry(base: str) -> Document:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": str(MAXIMUM),
        "min_version": str(MINIMUM),
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{base}/v2.1/"}],
    }


def detail(base: str) -> Document:
    described = {
        "rel": "describedby",
        "type": "text/html",
        "href": "https://docs.openstack.org/api-ref/compute/",
    }
    document = entry(base)
    return document | {
        "links": [*document["links"], described],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}],
    }
