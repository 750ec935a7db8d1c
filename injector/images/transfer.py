"""Moving an image's bytes: shared where the file system can, copied with holes where not, proven either way."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from injector.errors import ImageUnavailable
from injector.model.image import Image

CHUNK = 1024 * 1024

_FICLONE = 0x40049409  # linux/fs.h
_HOLE = 64 * 1024
_ZEROS = bytes(_HOLE)


class Readable(Protocol):
    """A stream that ends with an empty read."""

    def read(self, size: int, /) -> bytes: ...


def chunks(stream: Readable) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


class HoleyWriter:
    """Writes a file without its zeros: a disk image is mostly empty, and need not be so on the host's disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), _HOLE):
            piece = chunk[start : start + _HOLE]  # a copy, yet faster: views are compared byte by byte
            if piece == _ZEROS[: len(piece)]:
                self._file.seek(len(piece), os.SEEK_CUR)
            else:
                self._file.write(piece)

    def close(self) -> None:
        """Give the file its length, holes at the end included; the file itself stays open."""
        self._file.truncate(self._file.tell())
        self._file.flush()


def bring(source: Path, destination: Path, image: Image, *, link: bool) -> None:
    """Put the bytes of ``source`` at ``destination``, which does not exist: as a clone, else linked, else copied.

    ``link`` allows a hard link, so one inode with one owner and mode. FileNotFoundError when ``source`` is gone,
    ImageUnavailable when its bytes are not the registered ones; then ``destination`` does not exist.
    """
    try:
        if _clone(source, destination) or (link and _linked(source, destination)):
            digest = _digest(destination)
        else:
            digest = _copy(source, destination)
        require_registered(digest, image)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise


def require_registered(digest: str, image: Image) -> None:
    if digest != image.sha256:
        raise ImageUnavailable(
            f"the bytes of image {image.id} are not those that were registered",
            field="image",
            detail=f"sha-256 {digest}, registered {image.sha256}",
        )


def _clone(source: Path, destination: Path) -> bool:
    """A reflink (btrfs, xfs): an inode of its own, and no bytes moved."""
    with source.open("rb") as whence, destination.open("xb") as whither:
        try:
            fcntl.ioctl(whither.fileno(), _FICLONE, whence.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            destination.unlink()
            return False
    return True


def _linked(source: Path, destination: Path) -> bool:
    try:
        os.link(source, destination)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False
        raise
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, destination: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as whence, destination.open("xb") as whither:
        writer = HoleyWriter(whither)
        for chunk in chunks(whence):
            digest.update(chunk)
            writer.write(chunk)
        writer.close()
    return digest.hexdigest()
