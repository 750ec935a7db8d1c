"""What is kept: tables, migrations, and a store that saves by compare-and-set."""

from injector.db.claims import Claims
from injector.db.payloads import GenerationChange
from injector.db.schema import sync, version
from injector.db.store import Store, open_store

__all__ = ["Claims", "GenerationChange", "Store", "open_store", "sync", "version"]
