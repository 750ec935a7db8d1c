"""User-data read once, through all its layers: what it is made of, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from injector.inject.lint import cloudconfig
from injector.inject.lint.cloudconfig import CloudConfig
from injector.inject.lint.unpack import Part, unpack
from injector.inject.lint.userdata import FIELD, Form
from injector.model.finding import Check, Finding

_URL = re.compile(r"(?:https?|ftp|file)://\S+|/\S+", re.IGNORECASE)
_INCLUDE = re.compile(r"#include(?:-once)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """``sets_passwords``: it brings a ``chpasswd`` or ``password``; scripts and includes are not seen through."""

    configs: tuple[CloudConfig, ...]
    findings: tuple[Finding, ...]
    sets_passwords: bool


def read(user_data: bytes) -> Reading:
    """Never raises: what cannot be read is a finding."""
    if not user_data.strip():
        return Reading((), (Finding(Check.USER_DATA_EMPTY, FIELD, "the user-data is empty"),), False)
    unpacked = unpack(user_data)
    findings, configs = list(unpacked.findings), []
    for part in unpacked.parts:
        if part.form is Form.CLOUD_CONFIG:
            config, found = cloudconfig.read(part)
            configs += [config] if config else []
            findings += found
        else:
            findings += _other(part)
    sets = any(config.sets_passwords for config in configs) or any(map(_sets_passwords, unpacked.parts))
    return Reading(tuple(configs), tuple(findings), sets)


def _sets_passwords(part: Part) -> bool:
    if part.form is Form.JSONP:
        return cloudconfig.patch_sets_passwords(part)
    return cloudconfig.template_sets_passwords(part)


def _other(part: Part) -> Iterator[Finding]:
    match part.form:
        case Form.INCLUDE | Form.INCLUDE_ONCE:
            yield from _include(part)
        case Form.IGNITION:
            yield from _ignition(part)
        case Form.JSONP if cloudconfig.patch_of(part) is None:
            message = f"{part.where}behind {Form.JSONP.value} stands no JSON patch (a list of operations)"
            yield Finding(Check.USER_DATA_JSON, FIELD, message)


def _include(part: Part) -> Iterator[Finding]:
    """As cloud-init reads it: a URL a line, also behind the header, comments and blank lines left out."""
    lines = [_INCLUDE.sub("", line, count=1).strip() for line in part.text.splitlines()]
    urls = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not urls:
        yield Finding(Check.USER_DATA_INCLUDE, FIELD, f"{part.where}an #include that names no URL")
    for number, url in urls:
        if not _URL.fullmatch(url):
            message = f"{part.where}line {number}: what is to be included is no URL"
            yield Finding(Check.USER_DATA_INCLUDE, FIELD, message)


def _ignition(part: Part) -> Iterator[Finding]:
    """JSON is Ignition's when it says so; any other may be for a program of the user's own."""
    try:
        document = json.loads(part.text)
    except json.JSONDecodeError as error:
        where = f"{part.where}line {error.lineno}, column {error.colno}: "
        if '"ignition"' in part.text:
            yield Finding(Check.USER_DATA_JSON, FIELD, f"{where}this Ignition config is no JSON")
            return
        document = None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or "ignition" not in document:
        message = f"{part.where}it begins like JSON and is no Ignition config: cloud-init will ignore it"
        yield Finding(Check.USER_DATA_FORMAT, FIELD, message)
    elif not isinstance(document["ignition"], dict) or not isinstance(document["ignition"].get("version"), str):
        yield Finding(Check.USER_DATA_JSON, FIELD, f"{part.where}an Ignition config names its ignition.version")
