"""Station 2: keeps the record of every guest, and picks the host that builds it."""
