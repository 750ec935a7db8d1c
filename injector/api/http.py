"""One HTTP request as the resources see it: its caller, its point of view, its document or upload; and answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO, Self

import falcon
import msgspec

from injector.api.microversion import MINIMUM, Microversion
from injector.api.views.viewpoint import Viewpoint
from injector.errors import InvalidRequest, TooLarge
from injector.images.transfer import Readable
from injector.model.context import Context

CONTEXT = "injector.context"
BODY_LIMIT = "injector.body_limit"

_PIECE = 256 * 1024
_JSON = frozenset({"application/json", ""})


class ApiRequest(falcon.Request):
    """A falcon request with what this API asks of it."""

    version: Microversion = MINIMUM

    @property
    def caller(self) -> Context:
        context: Context = self.env[CONTEXT]
        return context

    @property
    def seen(self) -> Viewpoint:
        return Viewpoint(self.prefix, self.version)

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters; InvalidRequest for one given twice."""
        for name, value in self.params.items():
            if not isinstance(value, str):
                raise InvalidRequest(f"The query parameter {name[:40]!r} is given twice.", field=name[:40])
        return {name: str(value) for name, value in self.params.items()}

    def document(self) -> object:
        """The JSON body; TooLarge beyond the operator's limit, before more than that is read."""
        content_type = (self.content_type or "").partition(";")[0].strip().lower()
        if content_type not in _JSON:
            raise falcon.HTTPUnsupportedMediaType
        limit: int = self.env[BODY_LIMIT]
        if (self.content_length or 0) > limit:
            raise _too_large(limit)
        text = self.upload().read(limit + 1)
        if len(text) > limit:
            raise _too_large(limit)
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            message = (
                "The server could not comply with the request: the body is not JSON, or holds text that is not Unicode."
            )
            raise InvalidRequest(message) from error

    def upload(self) -> Readable:
        """The body as a stream that fails when it ends before it should."""
        if self.env.get("wsgi.input_terminated"):
            return Upload(self.stream, None)
        return Upload(self.bounded_stream, self.content_length or 0)


class Upload:
    """Bytes on their way in. A connection that breaks must not look like the end of a shorter file."""

    def __init__(self, stream: Readable, expected: int | None) -> None:
        self._stream = stream
        self._left = expected

    def read(self, size: int, /) -> bytes:
        try:
            chunk = self._stream.read(size)
        except (OSError, ValueError) as error:
            raise InvalidRequest("The body of the request broke off.") from error
        if self._left is not None:
            self._left -= len(chunk)
            if not chunk and self._left > 0:
                raise InvalidRequest(f"The body of the request ended {self._left} bytes early.")
        return chunk


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"Request is too large: the body may have at most {limit} bytes.")


def answer(resp: falcon.Response, document: Any, status: int = 200) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(document)


def done(resp: falcon.Response, status: int = 204) -> None:
    """Success that has nothing to say."""
    resp.status = status


def send(req: falcon.Request, resp: falcon.Response, file: BinaryIO) -> None:
    """A file, or what follows a byte of it (``Range: bytes=N-``, ``bytes=N-M``), piece by piece; it is closed."""
    sending = _Sending(file)
    try:
        first, last = _range(req, sending.size)
    except BaseException:
        sending.close()
        raise
    if (first, last) != (0, sending.size - 1):
        resp.status = 206
        resp.content_range = (first, last, sending.size)
    resp.content_type = "application/octet-stream"
    resp.accept_ranges = "bytes"
    resp.set_stream(sending.part(first, last), last + 1 - first)


def _range(req: falcon.Request, size: int) -> tuple[int, int]:
    """The first byte and the last; 416 when there are none."""
    asked = req.range if req.range_unit == "bytes" else None
    if asked is None or asked[0] < 0:
        return 0, size - 1
    if asked[0] >= size:
        raise falcon.HTTPRangeNotSatisfiable(size)
    return asked[0], size - 1 if asked[1] < 0 else min(asked[1], size - 1)


class _Sending:
    """A part of a file on its way out, for a WSGI server to iterate and close."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._left = 0

    def part(self, first: int, last: int) -> Self:
        self._file.seek(first)
        self._left = last + 1 - first
        return self

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (piece := self._file.read(min(_PIECE, self._left))):
            self._left -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()
