"""User-data by its beginning: which reader it is meant for, and whether that reader will take it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from enum import StrEnum

from injector.model.finding import Check, Finding

FIELD = "user_data"


class Form(StrEnum):
    """What a text is to the program in the guest that reads it."""

    CLOUD_CONFIG = "#cloud-config"
    ARCHIVE = "#cloud-config-archive"
    JSONP = "#cloud-config-jsonp"
    SCRIPT = "a script"
    BOOTHOOK = "#cloud-boothook"
    PART_HANDLER = "#part-handler"
    INCLUDE = "#include"
    INCLUDE_ONCE = "#include-once"
    JINJA = "## template: jinja"
    MIME = "a MIME message"
    GZIP = "gzip"
    IGNITION = "Ignition"
    WINDOWS = "a script for Windows"
    EMPTY = "nothing"
    UNKNOWN = "unknown"


# In the order in which cloud-init tries them: the longest first, so that an archive is not taken for a cloud-config.
_BEGINNINGS: Mapping[str, Form] = {
    "#cloud-config-archive": Form.ARCHIVE,
    "#cloud-config-jsonp": Form.JSONP,
    "## template: jinja": Form.JINJA,
    "#cloud-boothook": Form.BOOTHOOK,
    "#include-once": Form.INCLUDE_ONCE,
    "#cloud-config": Form.CLOUD_CONFIG,
    "#part-handler": Form.PART_HANDLER,
    "#include": Form.INCLUDE,
    "#!": Form.SCRIPT,
}
# cloudbase-init (userdatautils/factory.py), and the tags of EC2 that it takes too.
_WINDOWS = re.compile(r"#ps1(_sysnative|_x86)?\s|rem cmd\s|\s*<(powershell|script)>", re.IGNORECASE)
# Written for cloud-init, with one thing wrong.
_NEARLY = re.compile(
    r"(?:[#!/;<-]|\s)*(?:cloud[ _-]*(?:config|boothook|init)|part[ _-]handler|template:\s*jinja2?)[\w-]*\s*:?\s*$",
    re.IGNORECASE,
)
# What nothing can be but the top of a cloud-config whose first line was forgotten.
_HEADLESS = re.compile(
    r"^(?:users|packages|runcmd|bootcmd|write_files|ssh_authorized_keys|chpasswd|package_update|package_upgrade|"
    r"hostname|fqdn|ssh_pwauth|manage_etc_hosts|growpart|ntp|apt|yum_repos|final_message|power_state):",
    re.MULTILINE,
)
_BOMS: Mapping[bytes, str] = {
    b"\xef\xbb\xbf": "a byte order mark",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# These are started by the kernel, or looked for, at the very first byte.
_AT_ONCE = frozenset({Form.SCRIPT, Form.JINJA})
_MIME_HEADER = b"mime-version:"
_MIME_LOOK = 4096


def recognise(raw: bytes) -> Form:
    """What cloud-init, cloudbase-init or Ignition takes ``raw`` for; UNKNOWN for text none of them knows."""
    if raw.startswith(b"\x1f\x8b"):
        return Form.GZIP
    if _MIME_HEADER in raw[:_MIME_LOOK].lower():
        return Form.MIME
    return sniff(raw)


def sniff(raw: bytes) -> Form:
    """The same inside of a message, where only the beginning counts."""
    if not raw.strip():
        return Form.EMPTY
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Form.UNKNOWN
    start = text[:_MIME_LOOK].lower().lstrip()
    for beginning, form in _BEGINNINGS.items():
        if start.startswith(beginning):
            return form
    if _WINDOWS.match(text):
        return Form.WINDOWS
    return Form.IGNITION if start.startswith("{") else Form.UNKNOWN


def header(raw: bytes, form: Form, where: str = "") -> tuple[Finding, ...]:
    """What is wrong with the first line; ``where`` begins the message when it is a part's."""
    if form is Form.UNKNOWN:
        return (_unknown(raw, where),)
    if form in (Form.EMPTY, Form.GZIP, Form.MIME, Form.IGNITION, Form.WINDOWS):
        return ()
    text = raw.decode()
    first = text.lstrip().partition("\n")[0]
    found = []
    if text != text.lstrip():
        found.append(_leading_space(form, where))
    if form is Form.SCRIPT and _near_miss(first):
        found.append(Finding(Check.USER_DATA_HEADER, FIELD, f"{where}it begins with '#!', and is no script: {_HINT}"))
    elif form is Form.SCRIPT and not first[2:].strip():
        found.append(Finding(Check.USER_DATA_HEADER, FIELD, f"{where}no interpreter stands behind '#!'"))
    elif form is Form.CLOUD_CONFIG and first.rstrip("\r") != Form.CLOUD_CONFIG.value:
        message = f"{where}the first line must be '#cloud-config' and nothing else for every reader to take it"
        found.append(Finding(Check.USER_DATA_HEADER_STYLE, FIELD, message))
    if form in (Form.SCRIPT, Form.BOOTHOOK) and "\r\n" in text:
        message = f"{where}a script whose lines end as on Windows: cloud-init repairs it, other readers do not"
        found.append(Finding(Check.USER_DATA_LINE_ENDINGS, FIELD, message))
    return tuple(found)


_HINT = "the first line of a cloud-config is '#cloud-config', without a space"


def _leading_space(form: Form, where: str) -> Finding:
    if form in _AT_ONCE:
        message = f"{where}white space stands before '{'#!' if form is Form.SCRIPT else form.value}': it will not run"
        return Finding(Check.USER_DATA_HEADER, FIELD, message)
    message = f"{where}white space stands before '{form.value}': cloud-init skips it, other readers do not"
    return Finding(Check.USER_DATA_HEADER_STYLE, FIELD, message)


def _near_miss(line: str) -> bool:
    return _NEARLY.match(line.strip()) is not None


def _unknown(raw: bytes, where: str) -> Finding:
    """The most likely reason why nobody will recognise it."""
    if (mark := _encoding(raw)) is not None:
        message = f"{where}it begins with {mark}, which hides the first line from cloud-init: save it as UTF-8 without"
        return Finding(Check.USER_DATA_HEADER, FIELD, message)
    text = raw.decode("utf-8", "replace").lstrip()
    if _near_miss(text.partition("\n")[0]):
        return Finding(Check.USER_DATA_HEADER, FIELD, f"{where}the first line is not recognised: {_HINT}")
    if raw.lower().lstrip().startswith(b"content-type: multipart/"):
        message = f"{where}a MIME message needs a 'MIME-Version:' header for cloud-init to take it for one"
        return Finding(Check.USER_DATA_MIME, FIELD, message)
    if _encoded_form(raw) is not None:
        message = f"{where}it is base64 a second time: cloud-init does not decode it"
        return Finding(Check.USER_DATA_ENCODED_TWICE, FIELD, message)
    if _HEADLESS.search(text):
        return Finding(
            Check.USER_DATA_HEADER, FIELD, f"{where}it reads like a cloud-config without its header: {_HINT}"
        )
    message = f"{where}it is in no format that cloud-init, cloudbase-init or Ignition knows: they will ignore it"
    return Finding(Check.USER_DATA_FORMAT, FIELD, message)


def _encoding(raw: bytes) -> str | None:
    return next((name for mark, name in _BOMS.items() if raw.startswith(mark)), None)


def _encoded_form(raw: bytes) -> Form | None:
    """What the base64 in ``raw`` is, if it is some and cloud-init would know what is in it."""
    try:
        inner = base64.b64decode(b"".join(raw.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    form = recognise(inner)
    return None if form in (Form.UNKNOWN, Form.EMPTY, Form.WINDOWS) else form
