"""Errors as the Compute API words them: ``{"itemNotFound": {"code": 404, "message": "…"}}``."""

from __future__ import annotations

from typing import Any

from injector.errors import InjectorError
from injector.model.hostile import one_line

NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def body(status: int, message: str) -> dict[str, Any]:
    return {NAMES.get(status, "computeFault"): {"code": status, "message": one_line(message, 2000)}}


def sentence(error: InjectorError) -> str:
    """The error's message, with the field in front where the message does not name it itself."""
    if error.field is None or error.status == 404 or error.field in error.message:
        return error.message
    return f"{error.field}: {error.message}"


def bug(request_id: str) -> str:
    """What a caller is told of a bug of ours."""
    return f"An unexpected error occurred; its cause is in the log under {request_id}."
