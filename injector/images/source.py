"""Where a compute gets an image's bytes from; the store beside the api is one such place."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from injector.model.image import Image


class ImageSource(Protocol):
    """The bytes of registered images."""

    def fetch(self, image: Image, destination: Path) -> None:
        """Put the image's bytes at ``destination`` (which does not exist), whole or not at all.

        Raises ImageUnavailable when they are gone or are not the registered ones, NoSpace when the disk is full.
        """
        ...
