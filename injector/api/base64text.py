"""Base64 as Nova takes it: white space and stray characters are skipped, bad padding is refused.

Nova's decoder also drops what is content: digits of the URL-safe alphabet, and anything behind the padding. Those would
land in the guest shortened, so they are refused here, as is text that holds no base64 at all.
"""

from __future__ import annotations

import binascii
import re

from injector.errors import InvalidRequest

_DIGIT = re.compile(r"[A-Za-z0-9+/]")
_FOREIGN_DIGIT = re.compile(r"[-_]")


def decode(text: str, field: str) -> bytes:
    """The bytes; InvalidRequest naming ``field``. The empty string is the empty file."""
    try:
        return _decode(text)
    except ValueError as error:
        raise InvalidRequest(f"Invalid input for field/attribute {field}: not base64: {error}.", field=field) from error


def _decode(text: str) -> bytes:
    if not text.isascii():
        raise ValueError("it holds characters outside of ASCII")
    if _FOREIGN_DIGIT.search(text):
        raise ValueError("'-' and '_' belong to the URL-safe alphabet")
    if text.strip() and not _DIGIT.search(text):
        raise ValueError("no character of it is a base64 digit")
    padding = text.find("=")
    if padding >= 0 and _DIGIT.search(text, padding):
        raise ValueError("there is more of it after the padding")
    return binascii.a2b_base64(text)
