"""Servers: asked for, looked at, acted upon. The dispatcher writes their records; this only asks it to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from injector.api import limits, order, query, schemas
from injector.api.operations.create import Draft, resolve
from injector.api.operations.drives import REFRESH, Begun, Drives
from injector.api.operations.look import Look
from injector.db import Store
from injector.errors import Conflict, InvalidRequest, NotFound
from injector.model.context import Context
from injector.model.instance import Instance, State
from injector.model.receipt import Receipt
from injector.model.secret import Secret
from injector.rpc.dispatcher import Dispatcher
from injector.settings import Settings
from injector.system.vault import Vault

# As much of a console as Nova's drivers return.
CONSOLE_BYTES = 100 * 1024

_NOTHING: schemas.Schema = {"type": ["null", "object"], "maxProperties": 0}
_ACTIONS = {
    "os-start": schemas.Checker(_NOTHING, "os-start"),
    "os-stop": schemas.Checker(_NOTHING, "os-stop"),
    "reboot": schemas.Checker(
        schemas.an_object({"type": {"enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}}, "type"), "reboot"
    ),
    "injector:refresh": schemas.Checker(REFRESH, "injector:refresh"),
    "os-getConsoleOutput": schemas.Checker(
        schemas.an_object({"length": schemas.or_null(schemas.a_number(-1))}), "os-getConsoleOutput"
    ),
}
_METADATA = schemas.Checker(schemas.METADATA, "metadata")
_META = schemas.Checker(schemas.METADATA | {"minProperties": 1, "maxProperties": 1}, "meta")


class Consoles(Protocol):
    """Where consoles are read: ``injector.rpc.compute.ComputeClient``."""

    def console(self, host: str, instance_id: str, length: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Created:
    """What became of an order; ``admin_password`` is told once, here."""

    instances: tuple[Instance, ...]
    reservation_id: str
    admin_password: Secret | None
    wants_reservation: bool


class Servers:
    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        consoles: Consoles,
        vault: Vault,
        settings: Settings,
        drives: Drives,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._consoles = consoles
        self._vault = vault
        self._settings = settings
        self._drives = drives
        self._look = Look(settings.lint)
        self._metadata_changes = threading.Lock()

    def create(self, context: Context, document: object) -> Created:
        """Returns once the records are durable; InvalidRequest and OverQuota name the field.

        Also raises what ``Dispatcher.build`` does: Undeliverable, NoHost, Conflict.
        """
        wanted = order.parse(document, self._settings.quotas)
        resolved = resolve(wanted, context, self._store)
        draft = Draft(wanted, resolved, context, self._look.accept(wanted, resolved))
        requests = draft.requests(self._vault, self._settings.api)
        instances = self._dispatcher.build(context, requests, wanted.minimum)
        return Created(instances, draft.reservation_id, draft.admin_password, wanted.wants_reservation)

    def find(self, context: Context, parameters: Mapping[str, str]) -> tuple[query.ServerQuery, tuple[Instance, ...]]:
        """The newest first, and the question as it was understood."""
        asked = query.servers(parameters)
        if asked.limit == 0:
            return asked, ()
        found = self._store.instances(
            None if asked.everybody else context.project_id,
            name=asked.name,
            states=asked.states,
            host=asked.host,
            deleted=asked.deleted,
            limit=asked.limit if asked.reservation_id is None else None,
            marker=asked.marker,
        )
        if asked.reservation_id is not None:
            found = tuple(one for one in found if one.reservation_id == asked.reservation_id)[: asked.limit]
        return asked, found

    def show(self, context: Context, instance_id: str) -> Instance:
        instance = self._store.instance(instance_id)
        if instance.project_id != context.project_id:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        return instance

    def delete(self, context: Context, instance_id: str) -> None:
        self._begin(context, instance_id, State.DELETING)

    def perform(self, context: Context, instance_id: str, document: object) -> str | Begun | None:
        """One action, as ``POST /servers/{id}/action`` words it; what it answers, which is nothing for most."""
        name, arguments = _action(document)
        match name:
            case "os-start":
                self._begin(context, instance_id, State.STARTING)
            case "os-stop":
                self._begin(context, instance_id, State.STOPPING)
            case "reboot":
                hard = arguments["type"].lower() == "hard"
                self._begin(context, instance_id, State.REBOOTING_HARD if hard else State.REBOOTING)
            case "injector:refresh":
                return self._drives.refresh(context, instance_id, arguments)
            case _:
                return self._console(context, instance_id, (arguments or {}).get("length"))
        return None

    def receipt(self, context: Context, instance_id: str) -> Receipt:
        """NotFound until something was delivered."""
        instance = self.show(context, instance_id)
        if instance.receipt is None:
            message = f"Instance {instance_id} has no receipt: nothing was delivered to it so far."
            raise NotFound(message, field="receipt")
        return instance.receipt

    def metadata(self, context: Context, instance_id: str) -> Mapping[str, str]:
        return self.show(context, instance_id).metadata

    def replace_metadata(self, context: Context, instance_id: str, document: object) -> Mapping[str, str]:
        return self._set_metadata(context, instance_id, _METADATA.check(document), keep=False)

    def merge_metadata(self, context: Context, instance_id: str, document: object) -> Mapping[str, str]:
        return self._set_metadata(context, instance_id, _METADATA.check(document), keep=True)

    def metadata_item(self, context: Context, instance_id: str, key: str) -> Mapping[str, str]:
        metadata = self.metadata(context, instance_id)
        if key not in metadata:
            raise NotFound("Metadata item was not found", field="metadata")
        return {key: metadata[key]}

    def set_metadata_item(self, context: Context, instance_id: str, key: str, document: object) -> Mapping[str, str]:
        item = _META.check(document)
        if key not in item:
            raise InvalidRequest("Request body and URI mismatch: meta holds another key.", field="meta")
        self._set_metadata(context, instance_id, item, keep=True)
        return dict(item)

    def delete_metadata_item(self, context: Context, instance_id: str, key: str) -> None:
        with self._metadata_changes:
            self.metadata_item(context, instance_id, key)
            rest = {name: value for name, value in self.metadata(context, instance_id).items() if name != key}
            self._dispatcher.set_metadata(context, instance_id, rest)

    def _set_metadata(
        self, context: Context, instance_id: str, given: Mapping[str, str], *, keep: bool
    ) -> Mapping[str, str]:
        # The dispatcher replaces the whole: two merges at once would lose one of them.
        with self._metadata_changes:
            before = self.metadata(context, instance_id)
            after = {**before, **given} if keep else dict(given)
            limits.check_metadata(after, self._settings.quotas)
            return self._dispatcher.set_metadata(context, instance_id, after).metadata

    def _begin(self, context: Context, instance_id: str, state: State) -> None:
        self.show(context, instance_id)
        self._dispatcher.act(context, instance_id, state)

    def _console(self, context: Context, instance_id: str, length: int | str | None) -> str:
        """The last ``length`` lines; all that is kept for None and -1."""
        instance = self.show(context, instance_id)
        if instance.host is None or instance.launched_at is None:
            raise Conflict(f"Instance {instance_id} is not ready: it has no console yet.", field="server")
        output = self._consoles.console(instance.host, instance_id, CONSOLE_BYTES)
        lines = -1 if length is None else int(length)
        if lines < 0:
            return output
        return "".join(output.splitlines(keepends=True)[-lines:]) if lines else ""


def _action(document: object) -> tuple[str, Any]:
    """The name of the only action in the body, and its arguments."""
    names = list(document) if isinstance(document, dict) else []
    if len(names) != 1:
        raise InvalidRequest("The body must hold exactly one action.", field="action")
    if names[0] not in _ACTIONS:
        raise InvalidRequest(f"There is no such action: {names[0][:40]!r}.", field="action")
    return names[0], _ACTIONS[names[0]].check(document)
