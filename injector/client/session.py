"""One conversation with the API: requests out, JSON back, and every way it can go wrong as a Failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qs, quote, urlsplit

from injector.client.endpoint import Credential, Endpoint
from injector.client.exits import Failure, Refused, Unreachable
from injector.model.hostile import one_line

if TYPE_CHECKING:  # httpx costs 80 ms to import: only a command that speaks pays for it
    import httpx

MICROVERSION = "compute 2.56"
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
UPLOAD_TIMEOUT = 900.0
CHUNK = 256 * 1024

Document = dict[str, Any]


def seg(value: str) -> str:
    """``value`` as one segment of a path: a name with a slash in it must not become two."""
    return quote(value, safe="")


class Session:
    """Opened by the first request. Raises Refused for a 4xx, Unreachable for no (usable) answer or a 5xx."""

    def __init__(self, endpoint: Endpoint, credential: Credential) -> None:
        self._endpoint = endpoint
        self._credential = credential
        self._client: httpx.Client | None = None

    def get(self, path: str, **params: str | int | None) -> Document:
        asked = {name: value for name, value in params.items() if value is not None}
        return self._request("GET", path, params=asked)

    def post(self, path: str, body: Mapping[str, Any]) -> Document:
        return self._request("POST", path, json=body)

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def upload(self, path: str, source: BinaryIO, size: int, sent: Callable[[int], None]) -> None:
        """PUT ``size`` bytes of ``source``; ``sent`` is told after each chunk how many have left so far."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        timeout = self._timeout(UPLOAD_TIMEOUT)
        self._request("PUT", path, content=_chunks(source, size, sent), headers=headers, timeout=timeout)

    def collection(self, path: str, key: str, **params: str | int | None) -> list[Document]:
        """Every item of a list, whichever way it is paged (Compute and Network: ``<key>_links``; Image: ``next``)."""
        found: list[Document] = []
        while True:
            document = self.get(path, **params)
            found += document.get(key, [])
            marker = _next_marker(document, key)
            if marker is None or marker == params.get("marker"):
                return found
            params["marker"] = marker

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _open(self) -> httpx.Client:
        import httpx

        headers = {"OpenStack-API-Version": MICROVERSION, "Accept": "application/json"}
        if self._credential.token is not None:
            headers["X-Auth-Token"] = self._credential.token.text()
        # Building httpx's own TLS context reads every CA file: 30 ms that plain HTTP has no use for.
        verify = self._endpoint.url.startswith("https:")
        transport = httpx.HTTPTransport(uds=self._endpoint.socket, verify=verify)
        return httpx.Client(  # trust_env off: HTTP_PROXY must not carry the token elsewhere
            base_url=self._endpoint.url,
            transport=transport,
            headers=headers,
            timeout=self._timeout(READ_TIMEOUT),
            trust_env=False,
        )

    @staticmethod
    def _timeout(read: float) -> httpx.Timeout:
        import httpx

        return httpx.Timeout(read, connect=CONNECT_TIMEOUT)

    def _request(self, method: str, path: str, **arguments: Any) -> Document:
        import httpx

        if self._client is None:
            self._client = self._open()
        try:
            response = self._client.request(method, path, **arguments)
        except httpx.TimeoutException:
            raise Unreachable(f"no answer from {self._endpoint.text} in time") from None
        except httpx.TransportError as error:
            raise Unreachable(_no_connection(self._endpoint, error)) from None
        if response.is_success:
            return _document(response)
        raise self._failure(response)

    def _failure(self, response: httpx.Response) -> Failure:
        request_id = _request_id(response)
        message = _message(response)
        if response.status_code == 401:
            sent = self._credential.token is not None
            hint = "the token was not accepted" if sent else f"no token was sent: {self._credential.why}"
            return Refused(f"{message} ({hint})", 401, request_id)
        if 400 <= response.status_code < 500:
            return Refused(message, response.status_code, request_id)
        return Unreachable(f"the server failed with {response.status_code}: {message}", request_id)


def _chunks(source: BinaryIO, size: int, sent: Callable[[int], None]) -> Iterator[bytes]:
    """Exactly ``size`` bytes: a file that changes while it is sent must not become a malformed request."""
    done = 0
    while done < size:
        chunk = source.read(min(CHUNK, size - done))
        if not chunk:
            raise Failure(f"the file ended after {done} of {size} bytes: it changed while it was being sent")
        yield chunk
        done += len(chunk)
        sent(done)


def _next_marker(document: Document, key: str) -> str | None:
    links = document.get(f"{key}_links", [])
    href = next((link.get("href") for link in links if link.get("rel") == "next"), document.get("next"))
    if not isinstance(href, str):
        return None
    return next(iter(parse_qs(urlsplit(href).query).get("marker", [])), None)


def _document(response: httpx.Response) -> Document:
    if not response.content:
        return {}
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unreachable("the answer is not JSON: is this the injector API?", _request_id(response))
    return document


def _message(response: httpx.Response) -> str:
    """The server's own words: ``{"itemNotFound": {"code", "message"}}``, as Compute, Image and Network put them."""
    try:
        document = response.json()
        bodies = [document, *document.values()]
        words = next(str(body["message"]) for body in bodies if isinstance(body, dict) and "message" in body)
    except (ValueError, AttributeError, StopIteration):
        words = ""
    return one_line(words, 1000) or f"{response.status_code} {response.reason_phrase}"


def _request_id(response: httpx.Response) -> str | None:
    return one_line(response.headers.get("x-openstack-request-id", ""), 100) or None


def _no_connection(endpoint: Endpoint, error: httpx.TransportError) -> str:
    cause = _os_error(error)
    if isinstance(cause, PermissionError):
        return f"no permission to open {endpoint.text}: be root or a member of the group injector"
    if isinstance(cause, FileNotFoundError | ConnectionRefusedError):
        missing = endpoint.socket is not None and not Path(endpoint.socket).exists()
        what = "there is no socket" if missing else "nothing listens"
        return f"{what} at {endpoint.text}: is the daemon running (injector serve)?"
    return f"the connection to {endpoint.text} failed: {one_line(str(error)) or type(error).__name__}"


def _os_error(error: BaseException | None) -> OSError | None:
    """The system's own error beneath httpx's and httpcore's wrappers."""
    while error is not None:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None
