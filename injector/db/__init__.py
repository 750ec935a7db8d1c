"""What is kept: tables, migrations, and a store that saves by compare-and-set."""

from injector.db.store import Claims, GenerationChange, Store, open_store

__all__ = ["Claims", "GenerationChange", "Store", "open_store"]
