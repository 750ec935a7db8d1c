"""Images from the api, for a compute elsewhere: taken up again where a connection broke, proven as they arrive."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from injector.errors import HostError, ImageUnavailable
from injector.images.transfer import HoleyWriter, require_registered
from injector.model.image import Image
from injector.model.secret import Secret
from injector.settings import ImageSettings
from injector.system import files, web

LOG = logging.getLogger(__name__)

_CONNECT = 10.0
_IDLE = 60.0
# Seconds before it is tried again, while no byte comes; an api that restarts is back within them.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
# A fetch is given up when it comes slower than this (bytes a second; a megabit) all in all, and a while for breaks.
_LEAST_PACE = 128 * 1024
_LEEWAY = 300.0


class HttpSource:
    """An ``ImageSource`` over the api's REST. HostError when what the operator says about it cannot be used."""

    def __init__(self, settings: ImageSettings, pauses: Sequence[float] = _PAUSES) -> None:
        self._endpoint = (settings.api_endpoint or "").rstrip("/")
        self._token_file = settings.token_file or Path()
        self._pauses = pauses
        try:
            web.check_url(self._endpoint)
        except ValueError as error:
            raise HostError(f"the api cannot be found: {error}", field="[images] api_endpoint") from error
        try:
            self._trusted = web.trust(settings.cafile)
        except ValueError as error:
            raise HostError("nobody can vouch for the api", field="[images] cafile", detail=str(error)) from error
        _token(self._token_file)

    def fetch(self, image: Image, destination: Path) -> None:
        """As ``ImageSource`` promises."""
        if image.sha256 is None or image.size is None:
            raise ImageUnavailable(f"image {image.id} has no bytes yet", field="image")
        try:
            with files.disk_full("fetch an image"), destination.open("xb") as file:
                arrival = _Arrival(file, image.size)
                self._bring(image, arrival)
                arrival.finish()
            require_registered(arrival.digest, image)
        except BaseException:
            destination.unlink(missing_ok=True)
            raise

    def _bring(self, image: Image, arrival: _Arrival) -> None:
        """All bytes, however often the connection breaks, within the time that so many may take.

        It is given up when several calls in a row bring nothing that had not come before. Once all has come it does not
        matter how the call ended: its digest tells whether it is the image.
        """
        pauses = iter(self._pauses)
        seconds = _LEEWAY + arrival.size / _LEAST_PACE
        deadline = time.monotonic() + seconds
        while arrival.come != arrival.size:
            most = arrival.most
            try:
                self._call(image, arrival, max(0.0, deadline - time.monotonic()))
            except web.Broken as error:
                if arrival.come == arrival.size:
                    return
                _give_up_if_final(image, error)
                if time.monotonic() >= deadline:
                    raise _unavailable(image, f"the api did not send it within {seconds:.0f} seconds") from error
                if arrival.most > most:
                    pauses = iter(self._pauses)
                pause = next(pauses, None)
                if pause is None:
                    raise _unavailable(image, f"the api {error}") from error
                LOG.warning("image %s, %s bytes: the api %s; again in %g s", image.id, arrival.come, error, pause)
                time.sleep(pause)

    def _call(self, image: Image, arrival: _Arrival, seconds: float) -> None:
        headers = {"X-Auth-Token": _token(self._token_file).text()}
        url = f"{self._endpoint}/v2/images/{image.id}/file"
        pace = web.Pace(_CONNECT, _IDLE, seconds, arrival.size)
        with web.download(url, headers, pace, self._trusted, arrival.come) as found:
            arrival.go_on_from(found.begin)
            for piece in found.pieces:
                arrival.take(piece)


class _Arrival:
    """A file on its way: how much has come, and what it digests to; ``most`` is how much had ever come."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self.most = 0
        self._file = file
        self._begin()

    def _begin(self) -> None:
        self.come = 0
        self._digest = hashlib.sha256()
        self._writer = HoleyWriter(self._file)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def go_on_from(self, begin: int) -> None:
        """Where the last byte came, or all over again."""
        if begin != self.come:
            self._file.seek(0)
            self._file.truncate()
            self._begin()

    def take(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._writer.write(piece)
        self.come += len(piece)
        self.most = max(self.most, self.come)

    def finish(self) -> None:
        self._writer.close()


def _give_up_if_final(image: Image, error: web.Broken) -> None:
    if error.status == 404:
        raise ImageUnavailable(f"the bytes of image {image.id} are gone", field="image") from error
    if error.status in (401, 403):
        raise _unavailable(image, "the api does not accept the token in [images] token_file") from error
    if error.status is not None and error.status < 500:
        raise _unavailable(image, f"the api {error}") from error


def _unavailable(image: Image, why: str) -> ImageUnavailable:
    return ImageUnavailable(f"image {image.id} cannot be fetched: {why}", field="image")


def _token(path: Path) -> Secret:
    """Read each time, so that another one needs no restart."""
    return Secret(files.read_private(path, "the api's token", "[images] token_file").strip())
