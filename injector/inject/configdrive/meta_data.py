"""OpenStack's ``meta_data.json``, by version of the metadata format."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from injector.inject.configdrive.contents import Contents
from injector.model.ingredients import Device

# Keys that came later than the first version.
SINCE: Mapping[str, str] = {
    "random_seed": "2013-04-04",
    "project_id": "2015-10-15",
    "devices": "2016-06-30",
    "dedicated_cpus": "2020-10-14",
}


def meta_data(contents: Contents) -> dict[str, Any]:
    """Every key of the newest version, in the order Nova emits them; absent ones are not there."""
    instance, network = contents.instance, contents.ingredients.network_config
    first = 1 if network else 0
    values: dict[str, Any] = {
        "uuid": contents.ingredients.uuid,
        "meta": dict(sorted((contents.metadata or {}).items())),
        "files": [{"path": file.path, "content_path": content_path(n)} for n, file in enumerate(contents.files, first)],
        "admin_pass": contents.admin_password.text() if contents.admin_password else None,
        "network_config": {"name": "network_config", "content_path": content_path(0)} if network else None,
        "public_keys": {key.name: key.public_key for key in contents.keys},
        "keys": [{"name": key.name, "type": key.type, "data": key.public_key} for key in contents.keys],
    }
    return {key: value for key, value in values.items() if value} | {
        "hostname": contents.ingredients.hostname,
        "name": instance.name,
        "launch_index": instance.launch_index,
        "availability_zone": instance.availability_zone,
        "random_seed": base64.b64encode(contents.random_seed.reveal()).decode(),
        "project_id": instance.project_id,
        "devices": [_device(device) for device in contents.ingredients.devices],
        "dedicated_cpus": [],
    }


def as_of(version: str, newest: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that ``version`` (a date) knows already."""
    return {key: value for key, value in newest.items() if SINCE.get(key, "") <= version}


def _device(device: Device) -> dict[str, Any]:
    """In Nova's order and words."""
    values: dict[str, Any] = {
        "type": device.type,
        "mac": device.mac,
        "serial": device.serial,
        "path": device.path,
        "bus": device.bus.value,
        "address": device.address,
        "tags": list(device.tags),
    }
    return {key: value for key, value in values.items() if value is not None}


def content_path(number: int) -> str:
    """Where ``meta_data.json`` says the ``number``-th thing of ``content/`` lies, seen from ``openstack/``."""
    return f"/content/{number:04}"
