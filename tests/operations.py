"""What the suites of the api's operations share: bodies, and a server that was built."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.api_house import eventually
from tests.speakers import Document, Speaker

NOBODY = "00000000-0000-4000-8000-000000000000"


def b64(content: bytes) -> str:
    return b64encode(content).decode()


def a_file(path: str = "/etc/motd", content: bytes = b"hello", mode: str | None = None) -> Document:
    return {"path": path, "contents": b64(content)} | ({} if mode is None else {"injector:mode": mode})


def booted(ask: Speaker, server: Document) -> str:
    (server_id,), _ = ask.create_server(server)
    eventually(lambda: ask.server(server_id)["status"] != "BUILD")
    return server_id


def settled(ask: Speaker, server_id: str) -> Document:
    """The server once nothing is done to it any more."""
    eventually(lambda: ask.server(server_id)["OS-EXT-STS:task_state"] is None)
    return ask.server(server_id)


def a_network(**changes: Any) -> Document:
    subnet = {"cidr": "10.0.2.0/24", "gateway": "10.0.2.2", "pool_first": "10.0.2.15", "pool_last": "10.0.2.99"}
    return {"name": "lab", "injector:kind": "user", "injector:subnets": [subnet], "injector:forwards": [22]} | changes
