"""The api's image store: one immutable file an upload, named by image and digest."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from injector.errors import ImageUnavailable, InternalError
from injector.images.inspection import Inspection, confirm
from injector.images.transfer import HoleyWriter, Readable, bring, chunks
from injector.model.image import Image, ImageStatus
from injector.settings import ImageSettings
from injector.system import files

_SAFE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MODE = 0o440


class LocalStore:
    """Images under ``directory``, which it makes; an ``ImageSource`` for a compute on the same host.

    Files are 0440 and never written again. Where the daemon may give them QEMU's ``group`` (it is root, in the group,
    or the directory is a setgid one of that group) they have it from the start, and a base image is a hard link to
    them; elsewhere a base image is a copy, since a link would be one inode that QEMU cannot read. A clone (reflink)
    is preferred to both.

    The digest in the name keeps two uploads for one record apart: whichever is recorded has its own bytes.
    """

    def __init__(self, directory: Path, limits: ImageSettings, group: int | None = None) -> None:
        files.make_directory(directory, 0o711)
        self._directory = directory
        self._limits = limits
        self._group = group
        self._given = group if group is not None and files.can_give(directory, group) else None

    def sweep(self) -> None:
        """Remove what killed uploads left; for an api. A compute may see the directory without the right to write."""
        files.sweep(self._directory)

    def put(self, image: Image, stream: Readable) -> Image:
        """Take the bytes in one pass and return the record as active, with their size and digest.

        Raises ImageRejected when they are not what ``image`` declares, TooLarge, NoSpace; then nothing is kept.
        """
        inspection = Inspection(image.disk_format, self._limits.max_size)
        with files.disk_full("store the image"), files.staged(self._directory, _safe(image.id)) as part:
            writer = HoleyWriter(part.file)
            for chunk in chunks(stream):
                inspection.feed(chunk)
                writer.write(chunk)
            writer.close()
            facts = inspection.finish()
            confirm(part.path, image.disk_format, facts, self._limits)
            stored = replace(
                image,
                status=ImageStatus.ACTIVE,
                size=facts.size,
                virtual_size=facts.virtual_size,
                sha256=facts.sha256,
            )
            part.publish(self._path(stored), mode=_MODE, group=self._given)
        return stored

    def open(self, image: Image) -> BinaryIO:
        """The bytes, for a download; ImageUnavailable when they are gone."""
        try:
            return self._path(image).open("rb")
        except FileNotFoundError as error:
            raise _gone(image) from error

    def delete(self, image: Image) -> None:
        """Remove every upload of ``image``; none is no error. Base images made from it stay."""
        for path in self._directory.glob(f"{_safe(image.id)}.*"):
            path.unlink(missing_ok=True)

    def fetch(self, image: Image, destination: Path) -> None:
        """As ``ImageSource`` promises."""
        source = self._path(image)
        try:
            shared = self._group is None or os.stat(source).st_gid == self._group
            with files.disk_full("fetch an image"):
                bring(source, destination, image, link=shared)
        except FileNotFoundError as error:
            raise _gone(image) from error

    def _path(self, image: Image) -> Path:
        if image.sha256 is None:
            raise ImageUnavailable(f"image {image.id} has no bytes yet", field="image")
        return self._directory / f"{_safe(image.id)}.{_safe(image.sha256)}"


def _safe(name: str) -> str:
    if _SAFE_ID.fullmatch(name) is None:
        raise InternalError("the id of an image is no file name", detail=repr(name))
    return name


def _gone(image: Image) -> ImageUnavailable:
    return ImageUnavailable(f"the bytes of image {image.id} are gone", field="image")
