"""``authorized_keys`` as sshd reads it: which keys may log in, and a key put among them; pure, on bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from injector.errors import ItemRefused

# What sshd takes as the beginning of a key; anything before it on a line are options.
_TYPES = (b"ssh-", b"ecdsa-", b"sk-ssh-", b"sk-ecdsa-")


@dataclass(frozen=True, slots=True)
class Line:
    """A key in the file: the word for its type, its blob in base64, and what it is restricted to, if anything."""

    type: bytes
    blob: bytes
    options: bytes = b""


def with_key(old: bytes, key: bytes) -> bytes:
    """``old`` with ``key`` in it; the very same when it has it. Whatever else it says stays.

    sshd obeys the first line with the key of a caller: where that one has options (a forced command, say), ours is put
    before it. ItemRefused for a key that is none, or more than a line.
    """
    key = key.strip()
    ours = parse(key)
    if ours is None or any(byte in key for byte in b"\n\r\0"):
        raise ItemRefused("it is not the one line of a public key")
    first = _first(old, ours)
    if first is None:
        return _ended(old) + key + b"\n"
    start, line = first
    if line.options and not ours.options:
        return old[:start] + key + b"\n" + old[start:]
    return old


def admits(text: bytes, key: bytes) -> bool:
    """Whether a caller with this key is let in, restricted no further than the key itself says."""
    ours = parse(key.strip())
    first = None if ours is None else _first(text, ours)
    return first is not None and ours is not None and (bool(ours.options) or not first[1].options)


def parse(line: bytes) -> Line | None:
    """The key on a line; None when there is none, or it is commented out."""
    line = line.strip()
    if line.startswith(b"#"):
        return None
    options, rest = b"", line
    if not line.startswith(_TYPES):
        end = _end_of_options(line)
        options, rest = line[:end], line[end:].strip()
    words = rest.split(None, 2)
    if len(words) < 2 or not words[0].startswith(_TYPES):
        return None
    return Line(words[0], words[1], options)


def _first(text: bytes, key: Line) -> tuple[int, Line] | None:
    for start, line in _lines(text):
        if (line.type, line.blob) == (key.type, key.blob):
            return start, line
    return None


def _lines(text: bytes) -> Iterator[tuple[int, Line]]:
    start = 0
    for raw in text.split(b"\n"):
        if found := parse(raw):
            yield start, found
        start += len(raw) + 1


def _end_of_options(line: bytes) -> int:
    """Blanks within quotes do not end them; a quote after a backslash does not count."""
    quoted = False
    for place, byte in enumerate(line):
        if byte == ord('"') and line[place - 1 : place] != b"\\":
            quoted = not quoted
        elif byte in b" \t" and not quoted:
            return place
    return len(line)


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"
