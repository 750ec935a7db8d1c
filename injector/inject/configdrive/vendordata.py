"""What the operator says to every guest: a file of the host (static), and web services asked once a drive (dynamic)."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from injector.errors import ChannelBroken, InvalidRequest
from injector.inject.channel import Delivery
from injector.model.hostile import one_line
from injector.settings import VendorDataSettings
from injector.system import web

LOG = logging.getLogger(__name__)

STATIC, DYNAMIC = "StaticJSON", "DynamicJSON"
CLOUD_INIT = "cloud-init"
"""The key that cloud-init acts on: a text, or a list of texts, each as user-data could be."""

MAX_BYTES = 256 * 1024
"""Of the file, and of each answer."""

_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "openstack-nova-vendordata",  # Nova's: services tell by it who asks
}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A service and the key that its answer gets in ``vendor_data2.json``."""

    name: str
    url: str = field(repr=False)


class VendorData:
    """Read and checked once: InvalidRequest names the option that cannot be used."""

    def __init__(self, settings: VendorDataSettings) -> None:
        self._settings = settings
        self._has_static = STATIC in settings.providers
        self._static: Document = _read(settings.jsonfile) if self._has_static and settings.jsonfile else {}
        self._targets = _targets(settings.targets) if DYNAMIC in settings.providers else ()
        self._context = _trust(settings) if self._targets else None

    def gather(self, delivery: Delivery) -> tuple[Document, Document]:
        """``vendor_data.json`` and ``vendor_data2.json``.

        ChannelBroken naming the services that failed when that is to end a boot; else they are left out, and logged.
        """
        told: Document = {"static": self._static} if self._has_static else {}
        return dict(self._static), told | self._ask(delivery)

    def _ask(self, delivery: Delivery) -> Document:
        if self._context is None:
            return {}
        if delivery.rehearsal:
            return self._said_before(delivery)
        body = json.dumps(_question(delivery)).encode()
        limits = web.Limits(self._settings.connect_timeout, self._settings.read_timeout, MAX_BYTES)
        posts = [web.Post(target.url, body, _HEADERS) for target in self._targets]
        told: Document = {}
        failures: list[str] = []
        for target, answer in zip(self._targets, web.post_all(posts, limits, self._context), strict=True):
            try:
                told[target.name] = _understood(answer)
            except ValueError as error:
                failures.append(f"the vendor data service '{target.name}' {error}")
        self._mind(delivery.instance.id, failures)
        return told

    def _said_before(self, delivery: Delivery) -> Document:
        """What the drive before has from these services; nothing for the first."""
        before = json.loads(delivery.ingredients.vendor_data2.reveal()) if delivery.ingredients else {}
        return {target.name: before[target.name] for target in self._targets if target.name in before}

    def _mind(self, instance_id: str, failures: list[str]) -> None:
        for failure in failures:
            LOG.warning("instance %s: %s", instance_id, one_line(failure, 500))
        if failures and self._settings.failure_fatal:
            raise ChannelBroken(one_line("; ".join(failures), 500))


def _question(delivery: Delivery) -> Document:
    """What Nova tells such a service; never the password."""
    instance, user_data = delivery.instance, delivery.payload.user_data
    return {
        "project-id": instance.project_id,
        "instance-id": instance.id,
        "image-id": instance.image.id,
        "user-data": base64.b64encode(user_data.reveal()).decode() if user_data else None,
        "hostname": instance.hostname,
        "metadata": dict(instance.asked_metadata),
        "boot-roles": "",
    }


def _understood(answer: web.Answer) -> Any:
    """The JSON value, an empty answer being ``{}`` as in Nova; ValueError with the reason when there is none."""
    if answer.failure is not None:
        raise ValueError(answer.failure)
    return _json(answer.content) if answer.content.strip() else {}


def _json(text: bytes) -> Any:
    """ValueError for what is no JSON, or is nested beyond what readers bear."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"said something that is no JSON ({type(error).__name__})") from error
    return value


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _read(path: Path) -> Document:
    name = "[api] vendordata_jsonfile_path"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}", field=name) from error
    if len(text) > MAX_BYTES:
        raise InvalidRequest(f"{path} is larger than {MAX_BYTES} bytes", field=name)
    try:
        document = _json(text)
    except ValueError as error:
        raise InvalidRequest(f"{path} {error}", field=name) from error
    if not isinstance(document, dict):
        raise InvalidRequest(f"{path} holds no JSON object", field=name)
    if not _is_for_cloud_init(document.get(CLOUD_INIT)):
        raise InvalidRequest(f"'{CLOUD_INIT}' in {path} is neither a text nor a list of texts", field=name)
    return document


def _is_for_cloud_init(value: object) -> bool:
    """What cloud-init itself takes; a mapping makes it drop all vendor data."""
    texts = value if isinstance(value, list) else [value]
    return value is None or all(isinstance(text, str) for text in texts)


def _targets(texts: tuple[str, ...]) -> tuple[Target, ...]:
    """``name@url``; unlike Nova, which skips what it does not understand."""
    name = "[api] vendordata_dynamic_targets"
    found: dict[str, Target] = {}
    for number, text in enumerate(texts, 1):
        key, at, url = text.partition("@")
        if not at or not key or key == "static" or key in found:
            raise InvalidRequest(f"target {number} has no name of its own: want name@url", field=name)
        try:
            web.check_url(url)
        except ValueError as error:
            raise InvalidRequest(f"target '{key}': {error}", field=name) from error
        found[key] = Target(key, url)
    return tuple(found.values())


def _trust(settings: VendorDataSettings) -> Any:
    try:
        return web.trust(settings.ssl_certfile)
    except ValueError as error:
        raise InvalidRequest(str(error), field="[api] vendordata_dynamic_ssl_certfile") from error
