"""Text that came out of a guest or an image, made harmless: bounded, and without what a terminal would obey."""

from __future__ import annotations

import re

# Nova strips 0x00-08 and 0x0B-1F from console output; C1 controls and DEL steer terminals too, the bidirectional
# overrides make one line read as another, and lone surrogates (a guest's JSON may hold them) cannot be encoded.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ESCAPES = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-_])")


def harmless(raw: bytes | str, limit: int = 4096) -> str:
    """At most the last ``limit`` characters, undecodable bytes replaced, escape sequences and controls removed."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))[-limit:]


def one_line(raw: bytes | str, limit: int = 500) -> str:
    """The same on one line, for a field of a record or a table."""
    return " ".join(harmless(raw, limit * 4).split())[:limit]
