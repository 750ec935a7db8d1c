"""A dry run: everything a create call would decide, on the host that would build, and nothing done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from injector.api import order
from injector.api.operations.create import Draft, resolve
from injector.api.operations.look import Look, of_order
from injector.db import Store
from injector.errors import InvalidRequest
from injector.inject.lint import Judged
from injector.model.context import Context
from injector.model.instance import Instance
from injector.model.preview import Preview
from injector.rpc.dispatcher import Dispatcher
from injector.settings import Settings
from injector.system.vault import Vault


class Previewers(Protocol):
    """Where a build would take place: ``injector.rpc.compute.ComputeClient``."""

    def preview(self, host: str, instance: Instance) -> Preview: ...


@dataclass(frozen=True, slots=True)
class Previewed:
    """The record that a create call would make, what its host would do with it, and what is doubtful about it."""

    instance: Instance
    preview: Preview
    judged: Judged


class Previews:
    def __init__(
        self, store: Store, dispatcher: Dispatcher, hosts: Previewers, vault: Vault, settings: Settings
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._vault = vault
        self._settings = settings
        self._look = Look(settings.lint)

    def show(self, context: Context, document: object) -> Previewed:
        """Raises what the create call would, but for what the lint denies: that is shown with the rest.

        One server only: InvalidRequest for more.
        """
        wanted = order.parse(document, self._settings.quotas)
        if wanted.maximum > 1:
            raise InvalidRequest("A preview is of one server: the others differ in name only.", field="max_count")
        resolved = resolve(wanted, context, self._store)
        (request,) = Draft(wanted, resolved, context).requests(self._vault, self._settings.api)
        instance = self._dispatcher.place(context, request)
        if instance.host is None:
            raise InvalidRequest("No host was chosen.", field="server")
        preview = self._hosts.preview(instance.host, instance)
        return Previewed(instance, preview, self._look.at(of_order(wanted, resolved)))
