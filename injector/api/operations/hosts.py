"""Hosts: what each compute last said of itself."""

from __future__ import annotations

from injector.db import Store
from injector.errors import NotFound
from injector.model.host import HostFacts


class Hosts:
    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> tuple[HostFacts, ...]:
        return self._store.hosts()

    def show(self, name: str) -> HostFacts:
        for host in self._store.hosts():
            if host.name == name:
                return host
        raise NotFound(f"Host {name} could not be found.", field="host")
