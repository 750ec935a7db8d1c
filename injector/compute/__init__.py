"""Station 3 on each host: turns a record into a guest, and keeps guest and record the same."""
