"""What ``rebuild`` asks for: the body parsed into values, with a word for what it does not mention.

Every key of the Compute API's body up to 2.57 is understood at every version, or refused by name with the reason; ours
are those of a create call. What the body does not mention stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from injector.api import limits, order, schemas
from injector.model.payload import InjectedFile, ItemKind
from injector.model.secret import Secret
from injector.settings import Quotas

_ANYTHING: schemas.Schema = {}

REBUILD = schemas.an_object(
    {
        "name": schemas.NAME,
        "imageRef": {"type": "string", "maxLength": 255},
        "adminPass": schemas.text(255, 1),
        "metadata": schemas.METADATA,
        "key_name": schemas.or_null(schemas.NAME),
        "user_data": {"type": ["string", "null"]},
        "personality": schemas.an_array(order.FILE),
        "OS-DCF:diskConfig": {"enum": ["AUTO", "MANUAL"]},
        "preserve_ephemeral": schemas.BOOLEAN,
        "injector:best_effort": order.BEST_EFFORT,
        "injector:keys": order.KEYS,
        # Refused below when they ask for something.
        "accessIPv4": _ANYTHING,
        "accessIPv6": _ANYTHING,
        "description": _ANYTHING,
        "hostname": _ANYTHING,
        "trusted_image_certificates": _ANYTHING,
    },
    "imageRef",
)

_NOT_OFFERED: Mapping[str, str] = {
    "accessIPv4": "access addresses are not kept",
    "accessIPv6": "access addresses are not kept",
    "description": "descriptions are not kept",
    "hostname": "a guest keeps its host name",
    "trusted_image_certificates": "signatures of images are not checked",
}


@dataclass(frozen=True, slots=True)
class RebuildOrder:
    """``said`` holds the keys of the body: a value that it does not name means "as it was", None included."""

    image_id: str
    said: frozenset[str]
    name: str | None = None
    key_name: str | None = None
    more_key_names: tuple[str, ...] = ()
    user_data: Secret | None = None
    files: tuple[InjectedFile, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    admin_password: Secret | None = None
    optional_files: frozenset[str] = frozenset()
    optional_kinds: frozenset[ItemKind] = frozenset()


def parse(asked: Mapping[str, Any], quotas: Quotas) -> RebuildOrder:
    """From a body that REBUILD let through; InvalidRequest or OverQuota, naming the field."""
    order.refuse_not_offered(asked, _NOT_OFFERED)
    order.refuse_not_offered(
        {"preserve_ephemeral": schemas.as_boolean(asked.get("preserve_ephemeral", False))},
        {"preserve_ephemeral": "there are no ephemeral disks here"},
    )
    files = asked.get("personality", [])
    limits.check_metadata(asked.get("metadata", {}), quotas)
    limits.check_files(files, quotas)
    return RebuildOrder(
        image_id=order.image_of(asked),
        said=frozenset(asked),
        name=asked.get("name"),
        key_name=asked.get("key_name"),
        more_key_names=order.more_keys_of(asked),
        user_data=order.user_data_of(asked, quotas),
        files=order.files_of(files),
        metadata=asked.get("metadata", {}),
        admin_password=Secret(asked["adminPass"]) if asked.get("adminPass") else None,
        optional_files=order.optional_files_of(files),
        optional_kinds=order.optional_kinds_of(asked),
    )
