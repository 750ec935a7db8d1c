"""The `injector` command: a client of the REST API, and nothing that the server needs."""
