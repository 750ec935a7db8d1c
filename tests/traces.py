"""What would give a secret away: itself in every usual spelling, and every digest that anybody could make of it."""

from __future__ import annotations

import base64
import hashlib
import json


def spellings(text: bytes) -> set[bytes]:
    """As it is, as JSON and Python write it, as hex, as base64 wherever it stands in what was encoded, backwards."""
    found = {text, text[::-1], text.hex().encode(), text.hex().upper().encode(), repr(text)[2:-1].encode()}
    found.add(json.dumps(text.decode("latin-1"))[1:-1].encode())
    for before in range(3):
        # The first and last characters depend on what stands beside it.
        encoded = base64.b64encode(bytes(before) + text)[(0, 2, 3)[before] : (before + len(text)) * 8 // 6]
        found |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def traces(secret: bytes) -> set[bytes]:
    """Its spellings, and those of its digests."""
    digests = [hashlib.new(name, secret).digest() for name in ("md5", "sha1", "sha256", "sha512")]
    return spellings(secret).union(*(spellings(digest) for digest in digests))
