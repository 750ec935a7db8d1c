"""A dry run: everything a create call would decide, on the host that would build, and nothing done."""

from __future__ import annotations

from typing import Protocol

from injector.api import order
from injector.api.operations.create import Draft, resolve
from injector.db import Store
from injector.errors import InvalidRequest
from injector.model.context import Context
from injector.model.instance import Instance
from injector.model.preview import Preview
from injector.rpc.dispatcher import Dispatcher
from injector.settings import Settings
from injector.system.vault import Vault


class Previewers(Protocol):
    """Where a build would take place: ``injector.rpc.compute.ComputeClient``."""

    def preview(self, host: str, instance: Instance) -> Preview: ...


class Previews:
    def __init__(
        self, store: Store, dispatcher: Dispatcher, hosts: Previewers, vault: Vault, settings: Settings
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._vault = vault
        self._settings = settings

    def show(self, context: Context, document: object) -> tuple[Instance, Preview]:
        """The record that a create call would make, and what its host would do with it.

        Raises what the create call would. One server only: InvalidRequest for more.
        """
        wanted = order.parse(document, self._settings.quotas)
        if wanted.maximum > 1:
            raise InvalidRequest("A preview is of one server: the others differ in name only.", field="max_count")
        draft = Draft(wanted, resolve(wanted, context, self._store), context)
        (request,) = draft.requests(self._vault, self._settings.api)
        instance = self._dispatcher.place(context, request)
        if instance.host is None:
            raise InvalidRequest("No host was chosen.", field="server")
        return instance, self._hosts.preview(instance.host, instance)
