"""The files of a config drive: every version directory, from what the drive has to say; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from injector.inject.configdrive import ec2
from injector.inject.configdrive.contents import Contents
from injector.inject.configdrive.meta_data import SINCE as KEYS_SINCE
from injector.inject.configdrive.meta_data import as_of, content_path, meta_data
from injector.inject.configdrive.network_data import network_data

Tree = Mapping[str, bytes]
"""Content by path, in the order of writing; paths are relative, ASCII, with ``/`` between."""

VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "2025-04-04",
)
LATEST = "latest"

# Files, and keys of files, that came later than the first version.
SINCE: Mapping[str, str] = {
    "meta_data.json#/devices": KEYS_SINCE["devices"],
    "vendor_data.json": "2013-10-17",
    "network_data.json": "2015-10-15",
    "vendor_data2.json": "2016-10-06",
}


def tree_of(contents: Contents) -> Tree:
    """Contents once, then ``openstack/<version>/`` and ``latest``, then the EC2 versions that are not skipped."""
    return _contents(contents) | _openstack(contents) | _ec2(contents, contents.ingredients.skip_versions)


def knows(version: str, name: str) -> bool:
    """Whether ``version`` (a date or ``latest``) has the file or key ``name``, if there is one at all."""
    return SINCE.get(name, "") <= _date(version)


def _date(version: str) -> str:
    return VERSIONS[-1] if version == LATEST else version


def _contents(contents: Contents) -> dict[str, bytes]:
    return {f"openstack{content_path(n)}": content.reveal() for n, content in enumerate(contents.shelf)}


def _openstack(contents: Contents) -> dict[str, bytes]:
    newest = meta_data(contents)
    others = {
        "vendor_data.json": contents.ingredients.vendor_data.reveal(),
        "network_data.json": _json(network_data(contents.instance)),
        "vendor_data2.json": contents.ingredients.vendor_data2.reveal(),
    }
    if contents.user_data:
        others["user_data"] = contents.user_data.reveal()
    files: dict[str, bytes] = {}
    for version in (*VERSIONS, LATEST):
        files[f"openstack/{version}/meta_data.json"] = _json(as_of(_date(version), newest))
        files |= {f"openstack/{version}/{name}": text for name, text in others.items() if knows(version, name)}
    return files


def _ec2(contents: Contents, skipped: tuple[str, ...]) -> dict[str, bytes]:
    newest = ec2.ec2_meta_data(contents)
    files: dict[str, bytes] = {}
    for version in (*ec2.VERSIONS, LATEST):
        if version in skipped:
            continue
        date = ec2.VERSIONS[-1] if version == LATEST else version
        files[f"ec2/{version}/meta-data.json"] = _json(ec2.as_of(date, newest))
        if contents.user_data:
            files[f"ec2/{version}/user-data"] = contents.user_data.reveal()
    return files


def _json(value: Any) -> bytes:
    """One line of ASCII, the style Nova's readers have always seen."""
    return json.dumps(value).encode()
