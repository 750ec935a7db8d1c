"""Flavors as the Compute API shows them."""

from __future__ import annotations

from injector.api.views.viewpoint import Document, Viewpoint
from injector.model.flavor import Flavor


def brief(flavor: Flavor, seen: Viewpoint) -> Document:
    return {"id": flavor.id, "name": flavor.name, "links": seen.links("flavors", flavor.id)} | (
        {"description": None} if seen.since(55) else {}
    )


def detail(flavor: Flavor, seen: Viewpoint) -> Document:
    return brief(flavor, seen) | {
        "vcpus": flavor.vcpus,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "swap": "",
        "rxtx_factor": 1.0,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
    }
