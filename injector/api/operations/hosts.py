"""Hosts: what each compute last said of itself, and the operator's word on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from injector.api import query, schemas
from injector.db import Store
from injector.model.context import Context
from injector.model.host import HostRecord
from injector.rpc.dispatcher import Dispatcher

_REASON: schemas.Schema = schemas.or_null(schemas.an_object({"reason": schemas.or_null(schemas.NAME)}))
_ACTIONS = {
    "enable": schemas.Checker(schemas.NOTHING, "enable"),
    "disable": schemas.Checker(_REASON, "disable"),
    "drain": schemas.Checker(_REASON, "drain"),
    "evacuate": schemas.Checker(schemas.NOTHING, "evacuate"),
}


@dataclass(frozen=True, slots=True)
class Moved:
    """Ids of servers: of those that are left on a host, or of those that are made anew on others."""

    server_ids: tuple[str, ...]


class Hosts:
    """``down_after``: the seconds of silence after which a host is taken for down."""

    def __init__(self, store: Store, dispatcher: Dispatcher, down_after: float) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self.down_after = down_after

    def find(self, parameters: Mapping[str, str]) -> tuple[query.Selection, tuple[HostRecord, ...]]:
        """By name, and the question as it was understood."""
        asked = query.hosts(parameters)
        return asked, self._store.host_records(limit=asked.limit, marker=asked.marker)

    def show(self, name: str) -> HostRecord:
        """NotFound."""
        return self._store.host_record(name)

    def perform(self, context: Context, name: str, document: object) -> HostRecord | Moved:
        """One action, as ``POST /injector-hosts/{name}/action`` words it."""
        action, arguments = schemas.the_only(document, _ACTIONS)
        reason = (arguments or {}).get("reason")
        match action:
            case "enable":
                return self.enable(context, name)
            case "disable":
                return self.disable(context, name, reason)
            case "drain":
                return Moved(self.drain(context, name, reason))
            case _:
                return Moved(self.evacuate(context, name))

    def enable(self, context: Context, name: str) -> HostRecord:
        self._dispatcher.enable_host(context, name, True, None)
        return self.show(name)

    def disable(self, context: Context, name: str, reason: object) -> HostRecord:
        """It gets no more guests; those it has stay."""
        self._dispatcher.enable_host(context, name, False, _sentence(reason))
        return self.show(name)

    def drain(self, context: Context, name: str, reason: object) -> tuple[str, ...]:
        """Disable it, and move what was not yet allowed to start there; the ids of the servers that are left on it."""
        return self._dispatcher.drain_host(context, name, _sentence(reason))

    def evacuate(self, context: Context, name: str) -> tuple[str, ...]:
        """The ids of the servers that are made anew elsewhere; Conflict while the host gives signs of life."""
        return self._dispatcher.evacuate_host(context, name)

    def forget(self, context: Context, name: str) -> None:
        """Conflict while there are servers on it, or it gives signs of life."""
        self._dispatcher.forget_host(context, name)

    def zones(self) -> Mapping[str, bool]:
        """The availability zones, and whether each has a host that takes guests."""
        return self._store.zones(self.down_after)


def _sentence(reason: object) -> str | None:
    checked: Any = _ACTIONS["disable"].check({"disable": {"reason": reason}})
    return str(checked["reason"]) if checked["reason"] else None
