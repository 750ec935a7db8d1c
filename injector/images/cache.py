"""A compute's base images, named by digest: fetched once however many boots want them, and never written again."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from injector.errors import HostError, ImageUnavailable
from injector.images.source import ImageSource
from injector.model.image import Image
from injector.system import files
from injector.system.locks import locked

_MODE = 0o440
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ENTRY = re.compile(r"\.?(?P<name>(?P<digest>[0-9a-f]{64})\.[a-z0-9]+)(?:\.part|\.lock)?")
_LOCK_WAIT = 30.0


class BaseCache:
    """Base images, kernels and ramdisks in ``directory``, which it makes, 0440 and with QEMU's ``group``.

    The source has proven the bytes. A base image's time of modification is when it was last wanted. ``fetch_wait`` is
    how long (seconds) a boot waits for another one's fetch.
    """

    def __init__(
        self, directory: Path, source: ImageSource, group: int | None = None, *, fetch_wait: float = 3600.0
    ) -> None:
        files.make_directory(directory, 0o711)
        self._directory = directory
        self._source = source
        self._group = group
        self._fetch_wait = fetch_wait
        self._mutex = threading.Lock()
        self._flights: dict[Path, Future[None]] = {}

    def base(self, image: Image) -> Path:
        """Where the image's bytes are on this host, now and for as long as ``prune`` is told that they are in use.

        Raises ImageUnavailable when they cannot be had or are not the registered ones, NoSpace when the disk is full.
        """
        path = self._path(image)
        if not self._wanted(path, image):
            self._fetch_once(path, image)
        return path

    def place(self, image: Image) -> Path:
        """Where ``base`` would put it; ImageUnavailable when it has no bytes yet."""
        return self._path(image)

    def prune(self, in_use: frozenset[str], unused_after: float) -> tuple[str, ...]:
        """Remove what no digest of ``in_use`` names and nobody wanted for ``unused_after`` seconds; names removed."""
        entries = (_ENTRY.fullmatch(path.name) for path in self._directory.iterdir())
        names = {entry["name"] for entry in entries if entry and entry["digest"] not in in_use}
        return tuple(name for name in sorted(names) if self._removed(self._directory / name, unused_after))

    def _path(self, image: Image) -> Path:
        if image.sha256 is None or _DIGEST.fullmatch(image.sha256) is None:
            raise ImageUnavailable(f"image {image.id} has no bytes yet", field="image")
        return self._directory / f"{image.sha256}.{image.disk_format.value}"

    def _wanted(self, path: Path, image: Image) -> bool:
        """Whether it is there and whole; if so it counts as used from now."""
        with self._undisturbed(shared=True):
            try:
                if path.stat().st_size != image.size or not os.access(path, os.R_OK):
                    return False
                os.utime(path)
            except (FileNotFoundError, PermissionError):
                return False
        return True

    def _fetch_once(self, path: Path, image: Image) -> None:
        """Threads share one fetch and its outcome."""
        with self._mutex:
            flight = self._flights.get(path)
            mine = flight is None
            if flight is None:
                flight = self._flights[path] = Future()
        if mine:
            try:
                self._fetch(path, image)
                flight.set_result(None)
            except BaseException as error:
                flight.set_exception(error)
            finally:
                with self._mutex:
                    del self._flights[path]
        try:
            flight.result(self._fetch_wait)
        except TimeoutError as error:
            raise ImageUnavailable(f"image {image.id} did not arrive in time", field="image") from error

    def _fetch(self, path: Path, image: Image) -> None:
        part = self._part(path)
        with locked(self._lock(path), self._fetch_wait):
            if self._wanted(path, image):
                return  # another process was faster
            part.unlink(missing_ok=True)  # left by a process that was killed
            try:
                with files.disk_full("keep a base image"):
                    self._source.fetch(image, part)
                    self._publish(part, path, image)
            finally:
                part.unlink(missing_ok=True)

    def _publish(self, part: Path, path: Path, image: Image) -> None:
        if part.stat().st_size != image.size:
            raise ImageUnavailable(f"image {image.id} arrived with another size than registered", field="image")
        files.settle(part, _MODE, self._group)
        os.utime(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(path)
        files.sync_directory(self._directory)

    def _removed(self, path: Path, unused_after: float) -> bool:
        """Also what a killed fetch left of it. Nothing is done to one that is being fetched."""
        try:
            with self._undisturbed(), locked(self._lock(path), 0):
                held = [found for found in (path, self._part(path)) if found.exists()]
                if any(time.time() - found.stat().st_mtime <= unused_after for found in held):
                    return False
                for found in (*held, self._lock(path)):
                    found.unlink()
        except HostError:
            return False
        return path in held

    def _part(self, path: Path) -> Path:
        return self._directory / f".{path.name}.part"

    def _lock(self, path: Path) -> Path:
        return self._directory / f".{path.name}.lock"

    @contextlib.contextmanager
    def _undisturbed(self, *, shared: bool = False) -> Iterator[None]:
        """Keeps ``prune`` from removing what has just been found to be there."""
        with locked(self._directory / ".lock", _LOCK_WAIT, shared=shared):
            yield
