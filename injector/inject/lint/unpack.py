"""User-data taken apart as cloud-init does it: gzip, MIME messages and archives, within bounds, into plain parts."""

from __future__ import annotations

import email
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from injector.inject.lint import yamltext
from injector.inject.lint.userdata import FIELD, Form, header, recognise, sniff
from injector.model.finding import Check, Finding

MAX_BYTES = yamltext.MAX_BYTES
MAX_PARTS = 100
MAX_DEPTH = 4

_GZIP_TYPES = frozenset(
    {
        "application/gzip",
        "application/gzip-compressed",
        "application/gzipped",
        "application/x-compress",
        "application/x-compressed",
        "application/x-gunzip",
        "application/x-gzip",
        "application/x-gzip-compressed",
    }
)
_BY_TYPE: Mapping[str, Form] = {
    "text/cloud-config": Form.CLOUD_CONFIG,
    "text/cloud-config-archive": Form.ARCHIVE,
    "text/cloud-config-jsonp": Form.JSONP,
    "text/x-shellscript": Form.SCRIPT,
    "text/x-shellscript-per-boot": Form.SCRIPT,
    "text/x-shellscript-per-instance": Form.SCRIPT,
    "text/x-shellscript-per-once": Form.SCRIPT,
    "text/cloud-boothook": Form.BOOTHOOK,
    "text/part-handler": Form.PART_HANDLER,
    "text/jinja2": Form.JINJA,
    "text/x-include-url": Form.INCLUDE,
    "text/x-include-once-url": Form.INCLUDE_ONCE,
}
# For these cloud-init looks at the text itself.
_UNTOLD = frozenset({"text/plain", "text/x-not-multipart", "text/x-shellscript"})
_CONTAINERS = frozenset({Form.MIME, Form.GZIP})


@dataclass(frozen=True, slots=True)
class Part:
    """One text that a handler of cloud-init gets; ``where`` is empty, or begins messages about it: ``part 2: ``."""

    form: Form
    text: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Unpacked:
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]


class GzipError(Exception):
    """It is damaged, or larger than anybody's user-data."""


def unpack(raw: bytes) -> Unpacked:
    """The parts of ``raw``, and what stands in the way of taking it apart."""
    work = _Unpacker()
    work.whole(raw)
    return Unpacked(tuple(work.parts), tuple(work.findings))


def gunzip(data: bytes, limit: int = MAX_BYTES) -> bytes:
    """At most ``limit`` bytes are ever unpacked; GzipError for more, and for what is no whole gzip file."""
    unpacked = b""
    while data:
        one = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            unpacked += one.decompress(data, limit + 1 - len(unpacked))
        except zlib.error as error:
            raise GzipError("it is damaged") from error
        if len(unpacked) > limit:
            raise GzipError(f"it unpacks to more than {limit} bytes")
        if not one.eof:
            raise GzipError("it ends in the middle")
        data = one.unused_data.lstrip(b"\0")
    return unpacked


class _Unpacker:
    """Collects the parts and findings of one user-data."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.findings: list[Finding] = []
        self._count = 0

    def whole(self, raw: bytes) -> None:
        """cloud-init unpacks once at the outside, and then looks for a MIME message, else at the beginning."""
        form = recognise(raw)
        if form is Form.GZIP:
            inner = self._gunzip(raw, "")
            if inner is None:
                return
            raw, form = inner, recognise(inner)
        if form is Form.MIME:
            self._mime(raw)
        elif form is Form.GZIP:
            self._find(Check.USER_DATA_GZIP, "it is compressed twice: cloud-init unpacks it once")
        else:
            self._take(raw, form, "", 0)

    def _find(self, check: Check, message: str) -> None:
        self.findings.append(Finding(check, FIELD, message))

    def _gunzip(self, raw: bytes, where: str) -> bytes | None:
        try:
            return gunzip(raw)
        except GzipError as error:
            self._find(Check.USER_DATA_GZIP, f"{where}compressed with gzip, but {error}")
            return None

    def _take(self, raw: bytes, form: Form, where: str, depth: int) -> None:
        self.findings += header(raw, form, where)
        if form in (Form.UNKNOWN, Form.EMPTY) or form in _CONTAINERS:
            return
        text = raw.decode()
        if form is Form.ARCHIVE:
            self._archive(text, where, depth)
        elif form is Form.JINJA:
            self._jinja(text, where, depth)
        else:
            self.parts.append(Part(form, text, where))

    def _jinja(self, text: str, where: str, depth: int) -> None:
        """What is below the header; a template cannot be read before the guest has rendered it."""
        rest = text.lstrip().partition("\n")[2]
        templated = any(mark in rest for mark in ("{{", "{%", "{#"))
        form = sniff(rest.encode())
        if form is Form.UNKNOWN and not rest.lstrip().startswith("{"):
            message = f"{where}below '{Form.JINJA.value}' stands no header that cloud-init knows"
            self._find(Check.USER_DATA_HEADER, message)
        elif templated or form in (Form.UNKNOWN, Form.JINJA):
            self.parts.append(Part(Form.JINJA, rest, where))
        else:
            self._take(rest.encode(), form, where, depth)

    def _mime(self, raw: bytes) -> None:
        # Before the parser sees it: each level of nesting costs it a level of the stack, and another look at each line.
        if raw.lower().count(b"content-type:") > MAX_PARTS or raw.lower().count(b"boundary") > MAX_PARTS:
            self._find(Check.USER_DATA_MIME, f"a MIME message of more than {MAX_PARTS} parts")
            return
        try:
            raw.decode()
            message = email.message_from_bytes(raw)
            parts = list(message.walk())
        except UnicodeDecodeError:
            self._find(Check.USER_DATA_MIME, "a MIME message that is not UTF-8: encode such parts as base64")
            return
        except (RecursionError, ValueError):
            self._find(Check.USER_DATA_MIME, "a MIME message that is nested too deeply")
            return
        if not message.keys() and sniff(raw) is not Form.UNKNOWN:
            self._take(raw, sniff(raw), "", 0)  # it only speaks of MIME
        elif not message.keys():
            self._find(Check.USER_DATA_MIME, "a MIME message has its headers at the very beginning")
        else:
            self._mime_parts(parts)

    def _mime_parts(self, parts: list[Message]) -> None:
        plain = [part for part in parts if part.get_content_maintype() != "multipart"]
        broken = [part for part in parts if part.get_content_maintype() == "multipart" and not part.is_multipart()]
        if broken or not plain:
            message = "a MIME message whose boundary stands before none of its parts ('--' and the boundary, on a line)"
            self._find(Check.USER_DATA_MIME, message)
        handled = any(part.get_content_type() == "text/part-handler" for part in plain)
        for part in plain:
            self._part(_payload(part), part.get_content_type(), depth=1, handled=handled)

    def _part(self, payload: bytes, kind: str, depth: int, handled: bool = False) -> None:
        self._count += 1
        where = f"part {self._count}: "
        if self._count > MAX_PARTS:
            if self._count == MAX_PARTS + 1:
                self._find(Check.USER_DATA_MIME, f"it has more than {MAX_PARTS} parts")
            return
        if kind in _GZIP_TYPES:
            inner = self._gunzip(payload, where)
            if inner is None:
                return
            payload, kind = inner, "text/plain"
        form = sniff(payload) if kind in _UNTOLD else None
        if form in (None, Form.UNKNOWN, Form.WINDOWS):
            form = _BY_TYPE.get(kind, Form.UNKNOWN)
        self._typed(payload, form or Form.UNKNOWN, where, depth, handled)

    def _typed(self, payload: bytes, form: Form, where: str, depth: int, handled: bool) -> None:
        if not payload.strip():
            return
        if form is Form.UNKNOWN and not handled:
            self._find(Check.USER_DATA_PART, f"{where}cloud-init has no handler for its type, and ignores it")
        if form is Form.UNKNOWN:
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._find(Check.USER_DATA_PART, f"{where}it is not UTF-8")
            return
        if form is Form.SCRIPT and not text.lstrip().startswith("#!"):
            self._find(Check.USER_DATA_HEADER, f"{where}a script begins with '#!' and its interpreter")
        elif sniff(payload) is form:
            self._take(payload, form, where, depth)
        elif form is Form.ARCHIVE:
            self._archive(text, where, depth)
        else:
            self.parts.append(Part(form, text, where))

    def _archive(self, text: str, where: str, depth: int) -> None:
        """A YAML list of texts, or of mappings with ``content`` and perhaps ``type``."""
        if depth >= MAX_DEPTH:
            self._find(Check.USER_DATA_MIME, f"{where}archives within archives more than {MAX_DEPTH} levels deep")
            return
        try:
            entries = yamltext.read(text).value
        except yamltext.YamlError as error:
            self._find(Check.USER_DATA_MIME, f"{where}{error.place}an archive that is no YAML: {error.problem}")
            return
        if not isinstance(entries, list):
            self._find(Check.USER_DATA_MIME, f"{where}a #cloud-config-archive is a list, and this is none")
            return
        for entry in entries:
            self._entry(entry if isinstance(entry, dict) else {"content": entry}, depth + 1)

    def _entry(self, entry: dict[object, object], depth: int) -> None:
        content = entry.get("content", "")
        payload = content if isinstance(content, bytes) else str(content).encode()
        kind = entry.get("type")
        if kind is None:
            form = sniff(payload)
            kind = "text/cloud-config" if form in (Form.UNKNOWN, Form.WINDOWS, Form.IGNITION) else "text/plain"
        self._part(payload, str(kind).lower(), depth)


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
