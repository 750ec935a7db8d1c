"""What the parameters of a list ask for; one that is not understood is refused, or the answer would be a lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from injector.api import schemas
from injector.api.unknown import CERTAIN, UNKNOWN
from injector.errors import InvalidRequest, NotFound
from injector.model.instance import State

# Nova's [api] max_limit.
PAGE = 1000

STATUSES: Mapping[str, frozenset[State]] = {
    "BUILD": frozenset({State.BUILDING}),
    "ACTIVE": frozenset({State.ACTIVE, State.STOPPING, State.REFRESHING, State.PAUSING, State.SUSPENDING}),
    "SHUTOFF": frozenset({State.STOPPED, State.STARTING, State.REFRESHING}),
    "REBOOT": frozenset({State.REBOOTING}),
    "HARD_REBOOT": frozenset({State.REBOOTING_HARD}),
    "PAUSED": frozenset({State.PAUSED, State.UNPAUSING}),
    "SUSPENDED": frozenset({State.SUSPENDED, State.RESUMING}),
    "REBUILD": frozenset({State.REBUILDING}),
    "ERROR": frozenset({State.ERROR}),
    "DELETED": frozenset({State.DELETED}),
    UNKNOWN: frozenset(State) - CERTAIN,
}
_SERVER_KEYS = frozenset(
    {"name", "status", "host", "reservation_id", "limit", "marker", "deleted", "all_tenants", "sort_key", "sort_dir"}
)
_IMAGE_KEYS = frozenset(
    {"name", "id", "status", "owner", "visibility", "limit", "marker", "sort", "sort_key", "sort_dir"}
)
_FLAVOR_KEYS = frozenset({"name", "is_public", "limit", "marker", "sort_key", "sort_dir"})
_KEYPAIR_KEYS = frozenset({"limit", "marker"})
_HOST_KEYS = frozenset({"limit", "marker"})
_NETWORK_KEYS = frozenset({"name", "id", "limit", "marker"})
_THE_ONLY_ORDER = {"sort_key": "created_at", "sort_dir": "desc", "sort": "created_at:desc"}


@dataclass(frozen=True, slots=True)
class ServerQuery:
    """``name`` and ``host`` match exactly; ``states`` None is any, and else those that may look like ``status``."""

    name: str | None = None
    status: str | None = None
    states: frozenset[State] | None = None
    host: str | None = None
    reservation_id: str | None = None
    limit: int = PAGE
    marker: str | None = None
    deleted: bool = False
    everybody: bool = False


def servers(parameters: Mapping[str, str]) -> ServerQuery:
    _refuse_unknown(parameters, _SERVER_KEYS)
    status = parameters["status"].upper() if "status" in parameters else None
    # A status that no server here ever has is no error: nothing matches it.
    states = None if status is None else STATUSES.get(status, frozenset())
    return ServerQuery(
        name=parameters.get("name"),
        status=status,
        states=states,
        host=parameters.get("host"),
        reservation_id=parameters.get("reservation_id"),
        limit=_limit(parameters),
        marker=parameters.get("marker"),
        deleted=_boolean(parameters, "deleted") or states == STATUSES["DELETED"],
        everybody=_boolean(parameters, "all_tenants"),
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Records by name and id (None: any); ``limit`` and ``marker`` page through them."""

    names: frozenset[str] | None = None
    ids: frozenset[str] | None = None
    status: str | None = None
    limit: int = PAGE
    marker: str | None = None

    def matches(self, name: str, record_id: str) -> bool:
        return (self.names is None or name in self.names) and (self.ids is None or record_id in self.ids)


def images(parameters: Mapping[str, str]) -> Selection:
    _refuse_unknown(parameters, _IMAGE_KEYS)
    return _selection(parameters)


def networks(parameters: Mapping[str, str]) -> Selection:
    _refuse_unknown(parameters, _NETWORK_KEYS)
    return _selection(parameters)


def flavors(parameters: Mapping[str, str]) -> Selection:
    """``is_public`` may be anything, ``None`` included: every flavor is public."""
    _refuse_unknown(parameters, _FLAVOR_KEYS)
    return _selection(parameters)


def keypairs(parameters: Mapping[str, str]) -> Selection:
    _refuse_unknown(parameters, _KEYPAIR_KEYS)
    return _selection(parameters)


def hosts(parameters: Mapping[str, str]) -> Selection:
    _refuse_unknown(parameters, _HOST_KEYS)
    return _selection(parameters)


def _selection(parameters: Mapping[str, str]) -> Selection:
    return Selection(
        names=_one_or_several(parameters.get("name")),
        ids=_one_or_several(parameters.get("id")),
        status=parameters.get("status"),
        limit=_limit(parameters),
        marker=parameters.get("marker"),
    )


def _one_or_several(value: str | None) -> frozenset[str] | None:
    """Glance's ``in:a,b``, or one value as it is."""
    if value is None:
        return None
    return frozenset(value.removeprefix("in:").split(",")) if value.startswith("in:") else frozenset({value})


def _refuse_unknown(parameters: Mapping[str, str], known: frozenset[str]) -> None:
    for name in sorted(parameters):
        if name not in known:
            raise InvalidRequest(f"The query parameter {name[:40]!r} is not understood.", field=name[:40])
        if parameters[name] != _THE_ONLY_ORDER.get(name, parameters[name]):
            raise InvalidRequest(f"{name}: lists are ordered by age, the newest first.", field=name)


def _limit(parameters: Mapping[str, str]) -> int:
    text = parameters.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest("limit must be a whole number, 0 or more.", field="limit")
    return min(int(text), PAGE)


def _boolean(parameters: Mapping[str, str], name: str) -> bool:
    value = parameters.get(name, "0")
    if value not in schemas.TRUE_WORDS | schemas.FALSE_WORDS:
        raise InvalidRequest(f"{name} must be true or false.", field=name)
    return schemas.as_boolean(value)


_Record = TypeVar("_Record")


def page(records: Sequence[_Record], asked: Selection, id_of: Callable[[_Record], str]) -> tuple[_Record, ...]:
    """The part after the marker, as long as the limit; NotFound for a marker that is none of them."""
    start = 0
    if asked.marker is not None:
        ids = [id_of(record) for record in records]
        if asked.marker not in ids:
            raise NotFound(f"marker [{asked.marker[:64]}] not found", field="marker")
        start = ids.index(asked.marker) + 1
    return tuple(records[start : start + asked.limit])
