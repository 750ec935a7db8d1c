"""A real HTTP server with canned answers, which keeps what it was asked: the wire contract of the client's tests.

    with CannedApi(tmp_path / "api.sock") as api:
        api.answer("GET", "/v2.1/servers/detail", {"servers": []})
        ... run a client against api.endpoint ...
        assert api.asked[0].headers["openstack-api-version"] == "compute 2.56"

Several answers to one question are given in turn, the last one for ever; an unexpected question is answered 404.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

REQUEST_ID = "req-5ca1ab1e-0000-4000-8000-00000000cafe"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def fault(status: int, message: str, name: str = "badRequest") -> Answer:
    return Answer(status, json.dumps({name: {"code": status, "message": message}}).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _UnixServer

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_arguments: Any) -> None: ...

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, content)
        answer = self.server.api.take(asked)
        self.send_response(answer.status)
        for name, value in {"x-openstack-request-id": REQUEST_ID, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    api: CannedApi

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A client that hung up in the middle: some tests do just that."""


class CannedApi:
    """Listens on ``socket`` from ``__enter__`` (or ``start``) until ``__exit__`` (or ``stop``)."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._server: _UnixServer | None = None
        self.asked: list[Asked] = []

    @property
    def endpoint(self) -> str:
        return f"unix:{self._socket}"

    def answer(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Each answer is an Answer, or a document that is sent as JSON with ``status``; None is an empty body."""
        self._answers[f"{method} {path}"] = [
            item if isinstance(item, Answer) else Answer(status, b"" if item is None else json.dumps(item).encode())
            for item in answers
        ]

    def take(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            queue = self._answers.get(str(asked), [])
            if not queue:
                return fault(404, f"nothing canned for {asked}", "itemNotFound")
            return queue.pop(0) if len(queue) > 1 else queue[0]

    def said(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._server = _UnixServer(str(self._socket), _Handler)
        self._server.api = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
