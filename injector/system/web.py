"""The door to web services that the operator named: a few POSTs at once, within limits of time and size.

The standard library's client, for it does no more than it is told: no proxy from the environment, no redirect, no
retry. httpx would cost the daemon 18 MB for that.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

_GRACE = 0.5
"""Seconds that an answer in time may still need to be handed over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect and then to answer in whole, and bytes of an answer."""

    connect: float
    read: float
    size: int


@dataclass(frozen=True, slots=True)
class Post:
    """One request; the URL may hold credentials, which are sent as basic authentication and never shown."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """``content`` of a success (2xx), or why there is none: a ``failure`` to be read after "the service"."""

    content: bytes = field(default=b"", repr=False)
    failure: str | None = None


def trust(certfile: Path | None) -> ssl.SSLContext:
    """Whom to believe: the authorities of ``certfile``, else those of this host. ValueError when it cannot be used."""
    try:
        return ssl.create_default_context(cafile=certfile)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{certfile} is no file of certificates: {error}") from error


def check_url(url: str) -> None:
    """ValueError, without the URL in it, when nothing can be sent there."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        raise ValueError("it is not a URL such as https://host:port/path")


def post_all(posts: Sequence[Post], limits: Limits, context: ssl.SSLContext) -> tuple[Answer, ...]:
    """An answer for each, asked all at once; none takes longer than connecting and reading may."""
    exchanges = [_Exchange(post, limits, context) for post in posts]
    for exchange in exchanges:
        exchange.start()
    deadline = time.monotonic() + limits.connect + limits.read + _GRACE
    return tuple(exchange.finish(deadline) for exchange in exchanges)


class _Exchange:
    """One POST in a thread of its own: names are resolved without a time limit, and sockets know none for a whole."""

    def __init__(self, post: Post, limits: Limits, context: ssl.SSLContext) -> None:
        self._post = post
        self._limits = limits
        self._context = context
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._answer: Answer | None = None
        self._late = False
        self._thread = threading.Thread(target=self._run, name="web-post", daemon=True)
        self._watch = threading.Timer(limits.connect + limits.read, self._abort)

    def start(self) -> None:
        self._thread.start()
        self._watch.daemon = True
        self._watch.start()

    def finish(self, deadline: float) -> Answer:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._watch.cancel()
        if self._answer is None or self._late:
            return Answer(failure=f"did not answer within {self._limits.connect + self._limits.read:g} seconds")
        return self._answer

    def _abort(self) -> None:
        """Shut, not closed: a thread that waits for more bytes wakes up."""
        self._late = True
        # A connection forgets its socket once the answer has begun.
        sock = self._socket or getattr(self._connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except TimeoutError:
            self._answer = Answer(failure="did not answer in time")
        except (OSError, ssl.SSLError) as error:
            self._answer = Answer(failure=f"cannot be reached: {error.strerror or type(error).__name__}")
        except (http.client.HTTPException, ValueError) as error:
            self._answer = Answer(failure=f"does not speak HTTP ({type(error).__name__})")
        finally:
            if self._connection is not None:
                self._connection.close()

    def _ask(self) -> Answer:
        parts = urlsplit(self._post.url)
        connection = self._connect(parts)
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        connection.request("POST", target, self._post.body, {**self._post.headers, **_credentials(parts)})
        response = connection.getresponse()
        if not 200 <= response.status < 300:
            told = ", and redirects are not followed" if 300 <= response.status < 400 else ""
            return Answer(failure=f"answered {response.status}{told}")
        content = response.read(self._limits.size + 1)
        if len(content) > self._limits.size:
            return Answer(failure=f"answered more than {self._limits.size} bytes")
        if response.length:
            return Answer(failure="broke off in the middle of its answer")
        return Answer(content)

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        """Connected; from there on the other time limit applies."""
        host, limits = parts.hostname or "", self._limits
        if parts.scheme == "https":
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=limits.connect, context=self._context
            )
        else:
            made = http.client.HTTPConnection(host, parts.port, timeout=limits.connect)
        self._connection = made
        made.connect()
        self._socket = made.sock
        made.sock.settimeout(limits.read)
        return made


def _credentials(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    said = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {"Authorization": "Basic " + base64.b64encode(said).decode()}
