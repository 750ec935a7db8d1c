"""Servers: asked for, looked at, acted upon. The dispatcher writes their records; this only asks it to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from injector.api import limits, order, query, reorder, schemas
from injector.api.operations.create import Draft, resolve
from injector.api.operations.drives import REFRESH, Begun, Drives
from injector.api.operations.listing import matching
from injector.api.operations.look import Look, of_order
from injector.api.operations.rebuild import again
from injector.api.operations.repeat import Repeatable, repeatable
from injector.db import Store
from injector.errors import Conflict, InvalidRequest, NotFound, StaleError
from injector.model.context import Context
from injector.model.instance import Instance, State
from injector.model.receipt import Receipt
from injector.model.secret import Secret
from injector.rpc.dispatcher import Dispatcher
from injector.settings import Settings
from injector.system.vault import Vault

# As much of a console as Nova's drivers return.
CONSOLE_BYTES = 100 * 1024

_BEGINS: Mapping[str, State] = {
    "os-start": State.STARTING,
    "os-stop": State.STOPPING,
    "pause": State.PAUSING,
    "unpause": State.UNPAUSING,
    "suspend": State.SUSPENDING,
    "resume": State.RESUMING,
}
"""The actions that say nothing but what is to become of the guest."""

_ACTIONS = {
    **{name: schemas.Checker(schemas.NOTHING, name) for name in _BEGINS},
    "rebuild": schemas.Checker(reorder.REBUILD, "rebuild"),
    "reboot": schemas.Checker(
        schemas.an_object({"type": {"enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}}, "type"), "reboot"
    ),
    "injector:refresh": schemas.Checker(REFRESH, "injector:refresh"),
    "os-getConsoleOutput": schemas.Checker(
        schemas.an_object({"length": schemas.or_null(schemas.a_number(-1))}), "os-getConsoleOutput"
    ),
}
_METADATA_TRIES = 20
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


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """A rebuild that was asked for; ``admin_password`` is told once, here, and None when there is no new one."""

    instance: Instance
    admin_password: Secret | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of servers, the question as it was understood, and those of their hosts that are not heard of."""

    asked: query.ServerQuery
    instances: tuple[Instance, ...]
    silent: frozenset[str]


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

    def create(self, context: Context, document: object) -> Created:
        """Returns once the records are durable; InvalidRequest and OverQuota name the field.

        A request that is known by its client token is answered as it was at first, whatever became of what it names.
        Also raises what ``Dispatcher.build`` does: Undeliverable, NoHost, Conflict.
        """
        wanted = order.parse(document, self._settings.quotas)
        token = None
        if wanted.client_token is not None:
            asked = repeatable(context, document, wanted.client_token)
            known = self._known(asked)
            if known is not None:
                return _created(known, wanted, wanted.admin_password)
            token = asked.client_token(self._vault)
        resolved = resolve(wanted, context, self._store)
        draft = Draft(wanted, resolved, context, self._look.accept(of_order(wanted, resolved)))
        requests = draft.requests(self._vault, self._settings.api)
        instances = self._dispatcher.build(context, requests, wanted.minimum, token)
        # The same request may have come twice at once: then these are the other one's, and so is the password.
        mine = instances[0].id in {request.instance_id for request in requests}
        return _created(instances, wanted, draft.admin_password if mine else wanted.admin_password)

    def _known(self, asked: Repeatable) -> tuple[Instance, ...] | None:
        """What was made of a request when it came first; Conflict when that was another request."""
        known = self._store.instances_of_token(asked.project_id, asked.token)
        if known is None:
            return None
        digest, instances = known
        if not asked.is_of(digest, self._vault):
            raise Conflict("The client token was used for another request.", field=order.CLIENT_TOKEN)
        if not instances:
            raise Conflict("What was made with this client token is gone.", field=order.CLIENT_TOKEN)
        return instances

    def silent(self, instances: Collection[Instance]) -> frozenset[str]:
        """The names of their hosts that are not heard of: what the record says of guests there may be out of date."""
        return self._silent({one.host for one in instances if one.host is not None})

    def _silent(self, among: Collection[str] | None = None) -> frozenset[str]:
        return self._store.silent_hosts(self._settings.dispatcher.host_down_after, among)

    def find(self, context: Context, parameters: Mapping[str, str]) -> Found:
        """The newest first."""
        asked = query.servers(parameters)
        # A status may be sought on any host; without one, only what was found is of interest.
        silent = frozenset() if asked.status is None else self._silent()
        project = None if asked.everybody else context.project_id
        down_after = self._settings.dispatcher.host_down_after
        found = tuple(islice(matching(self._store, project, asked, silent, down_after), asked.limit))
        return Found(asked, found, self.silent(found) if asked.status is None else silent)

    def show(self, context: Context, instance_id: str) -> Instance:
        instance = self._store.instance(instance_id)
        if instance.project_id != context.project_id:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        return instance

    def delete(self, context: Context, instance_id: str) -> None:
        self._begin(context, instance_id, State.DELETING)

    def perform(self, context: Context, instance_id: str, document: object) -> str | Begun | Rebuilding | None:
        """One action, as ``POST /servers/{id}/action`` words it; what it answers, which is nothing for most."""
        name, arguments = schemas.the_only(document, _ACTIONS)
        if name in _BEGINS:
            self._begin(context, instance_id, _BEGINS[name])
            return None
        match name:
            case "rebuild":
                return self._rebuild(context, instance_id, arguments)
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
        self.metadata_item(context, instance_id, key)

        def rest(before: Mapping[str, str]) -> Mapping[str, str]:
            return {name: value for name, value in before.items() if name != key}

        self._change_metadata(context, instance_id, rest)

    def _set_metadata(
        self, context: Context, instance_id: str, given: Mapping[str, str], *, keep: bool
    ) -> Mapping[str, str]:
        def after(before: Mapping[str, str]) -> Mapping[str, str]:
            metadata = {**before, **given} if keep else dict(given)
            limits.check_metadata(metadata, self._settings.quotas)
            return metadata

        return self._change_metadata(context, instance_id, after)

    def _change_metadata(
        self, context: Context, instance_id: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> Mapping[str, str]:
        """What the record has afterwards; Conflict when others have changed it each time before this one could."""
        for _ in range(_METADATA_TRIES):
            before = self.metadata(context, instance_id)
            # The dispatcher replaces the whole: of two merges at once, at two apis maybe, one has to begin again.
            with suppress(StaleError):
                return self._dispatcher.set_metadata(context, instance_id, change(before), before).metadata
        raise Conflict(f"The metadata of instance {instance_id} are changed by too many at once.", field="metadata")

    def _begin(self, context: Context, instance_id: str, state: State) -> None:
        self.show(context, instance_id)
        self._dispatcher.act(context, instance_id, state)

    def _rebuild(self, context: Context, instance_id: str, arguments: Mapping[str, Any]) -> Rebuilding:
        """Returns once it is recorded; raises what a create call would, and Conflict when the server is busy."""
        instance = self.show(context, instance_id)
        wanted = reorder.parse(arguments, self._settings.quotas)
        made = again(wanted, instance, context, self._store, self._vault, self._settings.api)
        rebuild = made.sealed(self._vault, self._look.accept(made.subject))
        return Rebuilding(self._dispatcher.rebuild(context, instance_id, rebuild), made.new_password)

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


def _created(instances: tuple[Instance, ...], wanted: order.ServerOrder, password: Secret | None) -> Created:
    return Created(instances, instances[0].reservation_id, password, wanted.wants_reservation)
