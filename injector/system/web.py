"""The door to web services that the operator named: a few POSTs at once, or one download, within limits.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

_PIECE = 256 * 1024
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


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds to connect, that may pass without a byte, and for the whole once connected; bytes of all the content."""

    connect: float
    idle: float
    whole: float
    size: int


@dataclass(frozen=True, slots=True)
class Download:
    """Content from byte ``begin`` on: the one asked for, or 0 where the service gives whole contents only."""

    begin: int
    pieces: Iterator[bytes]


class Broken(Exception):
    """A download came to nothing, or to an early end; to be read after "the service". ``status`` if it answered."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


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


@contextlib.contextmanager
def download(
    url: str, headers: Mapping[str, str], pace: Pace, context: ssl.SSLContext, begin: int = 0
) -> Iterator[Download]:
    """What lies there, from byte ``begin`` on, for as long as the block lasts; Broken here and from its pieces."""
    parts = urlsplit(url)
    connection = _connection(parts, pace.connect, context)
    asked = {**headers, **({"Range": f"bytes={begin}-"} if begin else {})}
    with contextlib.ExitStack() as ended:
        ended.callback(connection.close)
        with _failures():
            connection.connect()
            connection.sock.settimeout(pace.idle)
            ended.enter_context(_shut_after(pace.whole, connection.sock))
            connection.request("GET", _target(parts), headers=asked)
            response = connection.getresponse()
            if response.status not in (200, 206):
                raise Broken(f"answered {response.status}", response.status)
        first = begin if response.status == 206 else 0
        if response.status == 206 and not (response.getheader("Content-Range") or "").startswith(f"bytes {first}-"):
            raise Broken("sent another part of it than was asked for")
        yield Download(first, _pieces(response, first, pace.size))


@contextlib.contextmanager
def _shut_after(seconds: float, sock: socket.socket) -> Iterator[None]:
    """A socket's own time limit is for each byte: a service that sends one now and then would never be too late."""
    timer = threading.Timer(seconds, _shut, (sock,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(sock: socket.socket) -> None:
    """Not closed: a thread that waits for more bytes wakes up."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _pieces(response: http.client.HTTPResponse, come: int, size: int) -> Iterator[bytes]:
    """To the end of the content, which has to be where ``size`` says."""
    while True:
        with _failures():
            piece = response.read(_PIECE)
        if not piece:
            break
        come += len(piece)
        if come > size:
            raise Broken(f"sent more than the {size} bytes that there are")
        yield piece
    if come != size:
        raise Broken(f"broke off after {come} of {size} bytes")


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise Broken("did not answer in time") from error
    except (OSError, ssl.SSLError) as error:
        raise Broken(f"cannot be reached: {error.strerror or type(error).__name__}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise Broken(f"does not speak HTTP ({type(error).__name__})") from error


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
        self._late = True
        # A connection forgets its socket once the answer has begun.
        sock = self._socket or getattr(self._connection, "sock", None)
        if sock is not None:
            _shut(sock)

    def _run(self) -> None:
        try:
            with _failures():
                self._answer = self._ask()
        except Broken as error:
            self._answer = Answer(failure=str(error))
        finally:
            if self._connection is not None:
                self._connection.close()

    def _ask(self) -> Answer:
        parts = urlsplit(self._post.url)
        connection = self._connect(parts)
        connection.request("POST", _target(parts), self._post.body, {**self._post.headers, **_credentials(parts)})
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
        made = _connection(parts, self._limits.connect, self._context)
        self._connection = made
        made.connect()
        self._socket = made.sock
        made.sock.settimeout(self._limits.read)
        return made


def _connection(parts: SplitResult, seconds: float, context: ssl.SSLContext) -> http.client.HTTPConnection:
    """One to be connected, within these seconds."""
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=seconds)


def _target(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _credentials(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    said = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {"Authorization": "Basic " + base64.b64encode(said).decode()}
