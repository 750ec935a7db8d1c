"""Images as Glance v2 shows them: flat, properties among the rest."""

from __future__ import annotations

import dataclasses

from injector.api.views.viewpoint import Document, seconds
from injector.model.facts import ImageFacts
from injector.model.image import DiskFormat, Image

SCHEMA = "/v2/schemas/image"


def detail(image: Image, facts: ImageFacts | None = None) -> Document:
    """``facts``: what was found in it, as far as anybody has looked; no property can have their name."""
    bare = image.disk_format in (DiskFormat.RAW, DiskFormat.QCOW2)
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status.value,
        "visibility": "private",
        "protected": False,
        "disk_format": image.disk_format.value,
        "container_format": "bare" if bare else image.disk_format.value,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "os_hash_algo": None if image.sha256 is None else "sha256",
        "os_hash_value": image.sha256,
        "checksum": None,
        "os_hidden": False,
        "owner": image.owner,
        "tags": [],
        "created_at": seconds(image.created_at),
        "updated_at": seconds(image.created_at),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": SCHEMA,
        "injector_facts": None if facts is None else _found(facts),
    }


def _found(facts: ImageFacts) -> Document:
    return {
        **dataclasses.asdict(facts),
        "partitions": [dataclasses.asdict(one) for one in facts.partitions],
        "init": facts.init.value,
        "network": [stack.value for stack in facts.network],
        "agent": facts.agent.value,
    }
