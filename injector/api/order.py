"""What ``POST /servers`` asks for: the body parsed into values, nothing looked up yet.

Every key of the Compute API's body up to 2.56 is understood, or refused by name with the reason: none is dropped.
``hostname`` (2.90) is taken at every version. Ours carry a prefix: ``injector:mode`` (octal text), ``injector:owner``
(``user`` or ``user:group``) and ``injector:best_effort`` (boolean) on a file; on the server ``injector:best_effort``,
a list of the kinds of item that may be left out, ``injector:keys``, the names of key pairs beside ``key_name``, and
``injector:client_token``, by which the same request is known when it comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from injector.api import base64text, limits, schemas
from injector.errors import InvalidRequest
from injector.model.network import NicRequest
from injector.model.payload import InjectedFile, ItemKind
from injector.model.secret import Secret
from injector.settings import Quotas

CLIENT_TOKEN = "injector:client_token"
OPTIONAL_KINDS = ("key", "metadata", "user_data", "network", "password", "hostname", "devices")

MORE_KEYS = 32

_ANYTHING: schemas.Schema = {}

FILE = schemas.an_object(
    {
        "path": {"type": "string", "minLength": 1, "format": "path"},
        "contents": {"type": "string"},
        "injector:mode": schemas.a_pattern("[0-7]{3,4}"),
        "injector:owner": schemas.a_pattern("[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})?"),
        "injector:best_effort": {"type": "boolean"},
    },
    "path",
    "contents",
)

TAG = schemas.text(60, 1, pattern=rf"^[^,/]*{schemas.END}", format="name")

# Of a header as well as of a body: no more than HTTP carries unharmed.
TOKEN = schemas.text(64, 1, pattern=rf"^[ -~]+{schemas.END}", format="name")

BEST_EFFORT = schemas.an_array({"enum": list(OPTIONAL_KINDS)})

KEYS = schemas.an_array(schemas.NAME, maxItems=MORE_KEYS, uniqueItems=True)

NIC = schemas.an_object(
    {"uuid": schemas.UUID, "fixed_ip": schemas.text(45, 1), "port": _ANYTHING, "tag": schemas.or_null(TAG)},
)

# Of a block device only the tag is read; the rest must be what is done anyway, or is refused below.
BLOCK_DEVICE: schemas.Schema = {"type": "object", "properties": {"tag": schemas.or_null(TAG)}}

SERVER = schemas.an_object(
    {
        "name": schemas.NAME,
        "imageRef": {"type": "string", "maxLength": 255},
        "flavorRef": {"type": ["string", "integer"], "minLength": 1, "maxLength": 255, "maximum": 2**31},
        "adminPass": schemas.text(255, 1),
        "metadata": schemas.METADATA,
        "key_name": schemas.NAME,
        "user_data": {"type": "string"},
        "config_drive": schemas.BOOLEAN,
        "personality": schemas.an_array(FILE),
        "networks": {"type": ["array", "string"], "items": NIC, "pattern": rf"^(none|auto){schemas.END}"},
        "availability_zone": schemas.NAME,
        "min_count": schemas.a_number(1),
        "max_count": schemas.a_number(1),
        "hostname": schemas.a_pattern("[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"),
        "return_reservation_id": schemas.BOOLEAN,
        "OS-DCF:diskConfig": {"enum": ["AUTO", "MANUAL"]},
        "block_device_mapping_v2": schemas.an_array(BLOCK_DEVICE),
        "injector:best_effort": BEST_EFFORT,
        "injector:keys": KEYS,
        CLIENT_TOKEN: TOKEN,
        # Refused below when they ask for something.
        "block_device_mapping": _ANYTHING,
        "security_groups": _ANYTHING,
        "accessIPv4": _ANYTHING,
        "accessIPv6": _ANYTHING,
        "description": _ANYTHING,
        "tags": _ANYTHING,
    },
    "name",
    "flavorRef",
)

_HINTS = dict.fromkeys(("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"), _ANYTHING)
CREATE = schemas.Checker(SERVER, "server", beside=_HINTS)

_NOT_OFFERED: Mapping[str, str] = {
    "block_device_mapping": "volumes are not offered",
    "security_groups": "there are no security groups here, so none can be promised",
    "accessIPv4": "access addresses are not kept",
    "accessIPv6": "access addresses are not kept",
    "description": "descriptions are not kept",
    "tags": "tags are not kept",
    "os:scheduler_hints": "there is no scheduler to take hints",
    "OS-SCH-HNT:scheduler_hints": "there is no scheduler to take hints",
}


@dataclass(frozen=True, slots=True)
class ServerOrder:
    """``nics`` is None for "auto"; ``optional_files`` are paths, ``optional_kinds`` kinds that may be left out."""

    name: str
    image_id: str
    flavor_id: str
    key_name: str | None = None
    more_key_names: tuple[str, ...] = ()
    user_data: Secret | None = None
    files: tuple[InjectedFile, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    config_drive: bool = False
    nics: tuple[NicRequest, ...] | None = None
    availability_zone: str | None = None
    minimum: int = 1
    maximum: int = 1
    hostname: str | None = None
    admin_password: Secret | None = None
    optional_files: frozenset[str] = frozenset()
    optional_kinds: frozenset[ItemKind] = frozenset()
    wants_reservation: bool = False
    disk_tag: str | None = None
    client_token: str | None = None


def parse(document: Any, quotas: Quotas) -> ServerOrder:
    """InvalidRequest or OverQuota, naming the field."""
    server: dict[str, Any] = CREATE.check(document)
    refuse_not_offered(document | server, _NOT_OFFERED)
    minimum, maximum = _counts(server, quotas)
    files = server.get("personality", [])
    limits.check_metadata(server.get("metadata", {}), quotas)
    limits.check_files(files, quotas)
    return ServerOrder(
        name=server["name"],
        image_id=image_of(server),
        flavor_id=str(server["flavorRef"]),
        key_name=server.get("key_name"),
        more_key_names=more_keys_of(server),
        user_data=user_data_of(server, quotas),
        files=files_of(files),
        metadata=server.get("metadata", {}),
        config_drive=schemas.as_boolean(server.get("config_drive", False)),
        nics=_nics(server.get("networks", "auto"), maximum),
        availability_zone=_zone(server),
        minimum=minimum,
        maximum=maximum,
        hostname=_hostname(server, maximum),
        admin_password=Secret(server["adminPass"]) if server.get("adminPass") else None,
        optional_files=optional_files_of(files),
        optional_kinds=optional_kinds_of(server),
        wants_reservation=schemas.as_boolean(server.get("return_reservation_id", False)),
        disk_tag=_disk_tag(server),
        client_token=server.get(CLIENT_TOKEN),
    )


def refuse_not_offered(body: Mapping[str, Any], reasons: Mapping[str, str]) -> None:
    """InvalidRequest naming the first key that asks for something that is not offered."""
    for key, reason in reasons.items():
        if body.get(key):
            raise InvalidRequest(f"{key} is refused: {reason}.", field=key)
    if body.get("OS-DCF:diskConfig") == "AUTO":
        message = "OS-DCF:diskConfig AUTO is refused: partitions are the guest's own affair."
        raise InvalidRequest(message, field="OS-DCF:diskConfig")


def _disk_tag(server: Mapping[str, Any]) -> str | None:
    """The stock client repeats ``imageRef`` as a block device, perhaps with a tag; any other is not offered."""
    local_image = {
        "uuid": server.get("imageRef"),
        "boot_index": 0,
        "source_type": "image",
        "destination_type": "local",
        "delete_on_termination": True,
    }
    devices: list[dict[str, Any]] = server.get("block_device_mapping_v2", [])
    for index, device in enumerate(devices):
        said = {key: value for key, value in device.items() if value is not None and key != "tag"}
        if index > 0 or {"delete_on_termination": True, **said} != local_image:
            field_name = f"block_device_mapping_v2[{index}]"
            message = f"{field_name} is refused: only the image of imageRef on a local disk is offered."
            raise InvalidRequest(message, field=field_name)
    return devices[0].get("tag") if devices else None


def _counts(server: Mapping[str, Any], quotas: Quotas) -> tuple[int, int]:
    minimum = int(server.get("min_count", 1))
    maximum = int(server.get("max_count", minimum))
    if minimum > maximum:
        raise InvalidRequest("min_count must be <= max_count", field="min_count")
    limits.check_count(maximum, quotas)
    return minimum, maximum


def image_of(server: Mapping[str, Any]) -> str:
    image_id = str(server.get("imageRef", ""))
    if not image_id:
        raise InvalidRequest("imageRef is required: booting from a volume is not offered.", field="imageRef")
    return image_id.lower()


def more_keys_of(server: Mapping[str, Any]) -> tuple[str, ...]:
    names: list[str] = server.get("injector:keys", [])
    if server.get("key_name") in names:
        raise InvalidRequest("injector:keys names a key that key_name names already.", field="injector:keys")
    return tuple(names)


def user_data_of(server: Mapping[str, Any], quotas: Quotas) -> Secret | None:
    encoded = server.get("user_data")
    if encoded is None:
        return None
    limits.check_user_data(encoded, quotas)
    return Secret(base64text.decode(encoded, "user_data"))


def files_of(files: list[dict[str, Any]]) -> tuple[InjectedFile, ...]:
    seen: set[str] = set()
    for index, file in enumerate(files):
        if file["path"] in seen:
            field_name = f"personality[{index}].path"
            raise InvalidRequest(f"{field_name} names a file that was given before.", field=field_name)
        seen.add(file["path"])
    return tuple(_file(file, index) for index, file in enumerate(files))


def optional_files_of(files: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(file["path"] for file in files if file.get("injector:best_effort"))


def optional_kinds_of(server: Mapping[str, Any]) -> frozenset[ItemKind]:
    return frozenset(map(ItemKind, server.get("injector:best_effort", [])))


def _file(file: Mapping[str, Any], index: int) -> InjectedFile:
    mode = file.get("injector:mode")
    return InjectedFile(
        path=file["path"],
        content=Secret(base64text.decode(file["contents"], f"personality[{index}].contents")),
        mode=None if mode is None else int(mode, 8),
        owner=file.get("injector:owner"),
    )


def _nics(networks: str | list[dict[str, Any]], maximum: int) -> tuple[NicRequest, ...] | None:
    if networks == "none":
        return ()
    if networks == "auto" or not networks:
        return None
    return tuple(_nic(nic, index, maximum) for index, nic in enumerate(networks) if isinstance(nic, dict))


def _nic(nic: Mapping[str, Any], index: int, maximum: int) -> NicRequest:
    field_name = f"networks[{index}]"
    if nic.get("port") is not None:
        raise InvalidRequest(f"{field_name}.port is refused: there are no ports here.", field=f"{field_name}.port")
    if "uuid" not in nic:
        raise InvalidRequest(f"{field_name}.uuid is required.", field=f"{field_name}.uuid")
    return NicRequest(nic["uuid"].lower(), _fixed_ip(nic, f"{field_name}.fixed_ip", maximum), nic.get("tag"))


def _fixed_ip(nic: Mapping[str, Any], field_name: str, maximum: int) -> str | None:
    if "fixed_ip" not in nic:
        return None
    if maximum > 1:
        raise InvalidRequest(f"{field_name} cannot be given to more than one server.", field=field_name)
    try:
        return str(ip_address(nic["fixed_ip"]))
    except ValueError as error:
        raise InvalidRequest(f"{field_name} is not an IP address.", field=field_name) from error


def _zone(server: Mapping[str, Any]) -> str | None:
    zone: str | None = server.get("availability_zone")
    if zone is not None and ":" in zone:
        message = "availability_zone is refused: a host in it (zone:host:node) cannot be chosen here."
        raise InvalidRequest(message, field="availability_zone")
    return zone


def _hostname(server: Mapping[str, Any], maximum: int) -> str | None:
    if "hostname" in server and maximum > 1:
        raise InvalidRequest("hostname cannot be given to more than one server.", field="hostname")
    hostname: str | None = server.get("hostname")
    return hostname
