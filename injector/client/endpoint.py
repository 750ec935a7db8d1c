"""Where the API listens, and the token that opens it: from options, environment and the file beside the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from injector.client.exits import UsageError
from injector.model.secret import Secret

DEFAULT_ENDPOINT = "unix:/run/injector/api.sock"
DEFAULT_TOKEN_FILE = "/var/lib/injector/admin-token"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``url`` is the root without a trailing slash; ``socket`` the path of the Unix socket behind it, if it is one."""

    text: str
    url: str
    socket: str | None = None

    @property
    def local(self) -> bool:
        """Whether what is sent there stays on this host."""
        if self.socket is not None:
            return True
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True, slots=True)
class Credential:
    """``token`` to send, or None and ``why`` there is none, for the message when the server wants one."""

    token: Secret | None
    why: str = ""


def parse_endpoint(text: str) -> Endpoint:
    """``unix:/path`` or ``http[s]://host[:port]``; raises UsageError for anything else."""
    if text.startswith("unix:"):
        path = "/" + text.removeprefix("unix:").lstrip("/")
        if path == "/":
            raise UsageError(f"endpoint '{text}': the path of the socket is missing")
        return Endpoint(text, "http://injector", path)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"endpoint '{text}' is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"endpoint '{text}': want unix:/path or http://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise UsageError(f"endpoint '{text}': want the host and port only, without a path, query or user")
    return Endpoint(text, f"{parts.scheme}://{parts.netloc}")


def find_credential(endpoint: Endpoint, option: str | None, environ: Mapping[str, str]) -> Credential:
    """The token for ``endpoint``: the option, INJECTOR_TOKEN, INJECTOR_TOKEN_FILE, then the daemon's own file.

    The daemon's file is never sent off this host: only a token that was named for the purpose goes to another one.
    A Unix socket asks for none. Raises UsageError when a file that was named cannot be read.
    """
    if endpoint.socket is not None:
        return Credential(None, "a Unix socket asks for none")
    given = option or environ.get("INJECTOR_TOKEN")
    if given:
        return Credential(Secret(given.strip()))
    named = environ.get("INJECTOR_TOKEN_FILE")
    if named:
        return _named_file(Path(named))
    if not endpoint.local:
        return Credential(None, "none was given with --token, INJECTOR_TOKEN or INJECTOR_TOKEN_FILE")
    return _daemon_file(Path(DEFAULT_TOKEN_FILE))


def _named_file(path: Path) -> Credential:
    try:
        return Credential(Secret(path.read_text().strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"INJECTOR_TOKEN_FILE {path}: {_reason(error)}") from None


def _daemon_file(path: Path) -> Credential:
    try:
        return Credential(Secret(path.read_text().strip()))
    except (OSError, UnicodeDecodeError) as error:
        return Credential(None, f"{path}: {_reason(error)}; give one with --token or INJECTOR_TOKEN")


def _reason(error: Exception) -> str:
    return (error.strerror or "cannot be read") if isinstance(error, OSError) else "is not text"
