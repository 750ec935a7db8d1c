"""The store: frozen values in and out, each method one transaction, instances saved by compare-and-set."""

from __future__ import annotations

from injector.db import engine as engines
from injector.db import schema
from injector.db.claims import ClaimStore
from injector.db.hosts import HostStore
from injector.db.instances import InstanceStore
from injector.db.payloads import PayloadStore
from injector.db.registry import Registry


class Store(InstanceStore, PayloadStore, ClaimStore, HostStore, Registry):
    """Safe to use from several threads, and by several services at once.

    On SQLite writers queue. On a server the loser of a race is tried again, for some twenty seconds. A database that
    is held up for longer, is down, or was restarted in the middle, is a HostError, and the next call finds it again.
    """


def open_store(connection: str, *, migrate: bool = True) -> Store:
    """The store behind an SQLAlchemy URL, its tables brought to the newest migration.

    Without ``migrate``, as where several services share a database: HostError unless they are at it already.
    """
    if migrate:
        schema.migrate(connection)
    else:
        schema.must_be_newest(connection)
    return Store(engines.open_engine(connection))
