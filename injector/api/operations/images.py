"""Images: records as Glance v2 has them, and the upload of their bytes."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, Protocol

from injector.api import query, schemas
from injector.db import Store
from injector.errors import Conflict, ImageRejected, ImageUnavailable, InvalidRequest, NotFound
from injector.images.transfer import Readable
from injector.inject import agent
from injector.inject.bus import drive_bus
from injector.model.context import Context
from injector.model.facts import ImageFacts
from injector.model.image import DiskFormat, Image, ImageStatus
from injector.model.instance import MAKING
from injector.virt.libvirt.domain.hardware import hardware

LOG = logging.getLogger(__name__)

_FORMATS = [kind.value for kind in DiskFormat]
_BARE = frozenset({DiskFormat.RAW, DiskFormat.QCOW2})
# Glance's own keys; every other is a property. Those that are answered only may not be set.
_OWN = {
    "id": schemas.UUID,
    "name": schemas.or_null(schemas.text(255)),
    "disk_format": {"enum": _FORMATS},
    "container_format": {"enum": ["bare", "aki", "ari"]},
    "visibility": {"enum": ["private"]},
    "min_disk": schemas.a_number(0),
    "min_ram": schemas.a_number(0),
    "protected": {"enum": [False]},
    "tags": schemas.an_array({"type": "string"}, maxItems=0),
}
_ANSWERED = (
    *("status", "size", "virtual_size", "checksum", "owner", "created_at", "updated_at", "self", "file", "schema"),
    *("os_hash_algo", "os_hash_value", "os_hidden", "locations", "direct_url", "injector_facts"),
)
_PROPERTIES = {
    "kernel_id": schemas.UUID,
    "ramdisk_id": schemas.UUID,
    "img_config_drive": {"enum": ["optional", "mandatory"]},
    agent.PROPERTY: {"enum": list(agent.WORDS)},
    "os_command_line": schemas.text(2047),
}
_CREATE = schemas.Checker(
    {
        "type": "object",
        "properties": {**_OWN, **_PROPERTIES, **dict.fromkeys(_ANSWERED, schemas.NEVER)},
        "required": ["name", "disk_format"],
        "propertyNames": schemas.a_pattern("[A-Za-z0-9_.:-]{1,255}"),
        "additionalProperties": schemas.text(255),
        "maxProperties": 128,
    }
)


class ImageStore(Protocol):
    """Where the bytes go: ``injector.images.store.LocalStore``."""

    def put(self, image: Image, stream: Readable) -> Image: ...

    def open(self, image: Image) -> BinaryIO: ...

    def delete(self, image: Image) -> None: ...


class Images:
    def __init__(self, store: Store, bytes_store: ImageStore) -> None:
        self._store = store
        self._bytes = bytes_store
        self._uploading: set[str] = set()
        self._lock = threading.Lock()

    def create(self, context: Context, document: object) -> Image:
        """A record without bytes: ``queued``. InvalidRequest; Conflict for an id in use."""
        asked: dict[str, Any] = _CREATE.check(document)
        disk_format = DiskFormat(asked["disk_format"])
        _check_container(asked, disk_format)
        image = Image(
            id=str(asked.get("id") or uuid.uuid4()).lower(),
            name=asked["name"] or "",
            disk_format=disk_format,
            owner=context.project_id,
            created_at=datetime.now(UTC),
            min_disk=int(asked.get("min_disk", 0)),
            min_ram=int(asked.get("min_ram", 0)),
            properties={key: value for key, value in asked.items() if key not in _OWN},
        )
        _refuse_meaningless(image)
        self._store.add_image(image)
        return image

    def upload(self, context: Context, image_id: str, stream: Readable) -> Image:
        """Take the bytes as they come; Conflict unless the record waits for them.

        ImageRejected when they are not what the record declares, TooLarge, NoSpace: the record stays queued.
        """
        with self._exclusively(image_id):
            image = self.show(context, image_id)
            if image.status is not ImageStatus.QUEUED:
                raise Conflict(f"Image {image_id} has its bytes already: an image never changes.", field="image")
            stored = self._bytes.put(image, stream)
            try:
                self._store.save_image(stored)
            except NotFound:
                self._bytes.delete(stored)
                raise
            LOG.info("image %s: %s bytes, sha-256 %s", image_id, stored.size, stored.sha256)
            return stored

    def download(self, context: Context, image_id: str) -> BinaryIO | None:
        """The bytes, to be closed; None for an image that has none so far. NotFound when they are gone."""
        image = self.show(context, image_id)
        if image.status is ImageStatus.QUEUED:
            return None
        try:
            return self._bytes.open(image)
        except ImageUnavailable as error:
            raise NotFound(f"The bytes of image {image_id} could not be found.", field="image") from error

    def find(self, context: Context, parameters: Mapping[str, str]) -> tuple[query.Selection, tuple[Image, ...]]:
        """The newest first, and the question as it was understood."""
        asked = query.images(parameters)
        found = sorted(self._store.images(context.project_id), key=lambda image: image.created_at, reverse=True)
        wanted = [image for image in found if asked.matches(image.name, image.id)]
        if asked.status is not None:
            wanted = [image for image in wanted if image.status.value == asked.status]
        return asked, query.page(wanted, asked, lambda image: image.id)

    def show(self, context: Context, image_id: str) -> Image:
        image = self._store.image(image_id)
        if image.owner != context.project_id:
            raise NotFound(f"Image {image_id} could not be found.", field="image")
        return image

    def facts(self, images: Collection[Image]) -> Mapping[str, ImageFacts]:
        """By id, what hosts have found in the bytes of these; nothing of an image that nobody booted so far."""
        found = self._store.facts_by_digest([image.sha256 for image in images if image.sha256 is not None])
        return {image.id: found[image.sha256] for image in images if image.sha256 is not None and image.sha256 in found}

    def delete(self, context: Context, image_id: str) -> None:
        """Conflict while a build or another image needs it. A guest once built has its own copy on its host."""
        with self._exclusively(image_id):
            image = self.show(context, image_id)
            self._refuse_if_needed(context, image_id)
            self._store.delete_image(image_id)
            self._bytes.delete(image)

    @contextmanager
    def _exclusively(self, image_id: str) -> Iterator[None]:
        with self._lock:
            if image_id in self._uploading:
                raise Conflict(f"Image {image_id} is being uploaded or deleted.", field="image")
            self._uploading.add(image_id)
        try:
            yield
        finally:
            with self._lock:
                self._uploading.discard(image_id)

    def _refuse_if_needed(self, context: Context, image_id: str) -> None:
        for instance in self._store.instances(states=MAKING):
            if image_id in {image.id for image in (instance.image, instance.kernel, instance.ramdisk) if image}:
                raise Conflict(f"Image {image_id} is in use: server {instance.id} is being built.", field="image")
        for other in self._store.images(context.project_id):
            if image_id in (other.properties.get("kernel_id"), other.properties.get("ramdisk_id")):
                raise Conflict(f"Image {image_id} is in use: image {other.id} boots with it.", field="image")


def _refuse_meaningless(image: Image) -> None:
    """What no host could make a machine of is known here already."""
    try:
        drive_bus(image)
        hardware(image)
    except ImageRejected as error:
        raise InvalidRequest(error.message, field=error.field) from error


def _check_container(asked: Mapping[str, Any], disk_format: DiskFormat) -> None:
    expected = "bare" if disk_format in _BARE else disk_format.value
    if asked.get("container_format", expected) != expected:
        message = f"container_format of a {disk_format.value} image is {expected}."
        raise InvalidRequest(message, field="container_format")
