"""Where the command speaks to, and which token it shows to whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from injector.client import endpoint
from injector.client.endpoint import Endpoint, find_credential, parse_endpoint
from injector.client.exits import UsageError
from injector.model.secret import Secret

LOOPBACK = parse_endpoint("http://127.0.0.1:8774")


@pytest.mark.parametrize(
    ("text", "url", "socket", "local"),
    [
        ("unix:/run/x.sock", "http://injector", "/run/x.sock", True),
        ("unix:///run/x.sock", "http://injector", "/run/x.sock", True),
        ("http://127.0.0.1:8774", "http://127.0.0.1:8774", None, True),
        ("http://127.0.0.1:8774/", "http://127.0.0.1:8774", None, True),
        ("http://localhost:8774", "http://localhost:8774", None, True),
        ("http://[::1]:8774", "http://[::1]:8774", None, True),
        ("https://api.example", "https://api.example", None, False),
        ("http://192.0.2.1:8774", "http://192.0.2.1:8774", None, False),
        ("http://127.0.0.1.example:8774", "http://127.0.0.1.example:8774", None, False),
    ],
)
def test_endpoints(text: str, url: str, socket: str | None, local: bool) -> None:
    parsed = parse_endpoint(text)
    assert parsed == Endpoint(text, url, socket)
    assert parsed.local is local


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:/",
        "/run/x.sock",
        "ftp://h",
        "http://",
        "http://h:port",
        "http://h/v2.1",
        "http://u:p@h",
        "h:1",
    ],
)
def test_an_endpoint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="endpoint"):
        parse_endpoint(text)


@pytest.fixture
def daemon_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "admin-token"
    path.write_text("of-the-daemon\n")
    monkeypatch.setattr(endpoint, "DEFAULT_TOKEN_FILE", str(path))
    return path


def test_the_option_comes_before_the_environment_before_the_daemons_file(daemon_file: Path, tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.write_text("of-a-file\n")
    environ = {"INJECTOR_TOKEN": "of-the-environment", "INJECTOR_TOKEN_FILE": str(named)}
    assert find_credential(LOOPBACK, "of-the-option", environ).token == Secret("of-the-option")
    assert find_credential(LOOPBACK, None, environ).token == Secret("of-the-environment")
    assert find_credential(LOOPBACK, None, {"INJECTOR_TOKEN_FILE": str(named)}).token == Secret("of-a-file")
    assert find_credential(LOOPBACK, None, {}).token == Secret("of-the-daemon")


def test_the_daemons_token_does_not_leave_the_host(daemon_file: Path) -> None:
    credential = find_credential(parse_endpoint("http://192.0.2.1:8774"), None, {})
    assert credential.token is None
    assert "--token" in credential.why


def test_a_socket_is_shown_no_token(daemon_file: Path) -> None:
    assert find_credential(parse_endpoint("unix:/run/x"), "given", {"INJECTOR_TOKEN": "x"}).token is None


def test_a_daemons_file_that_cannot_be_read_is_no_failure_yet(daemon_file: Path) -> None:
    daemon_file.unlink()
    credential = find_credential(LOOPBACK, None, {})
    assert credential.token is None
    assert "No such file" in credential.why


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"INJECTOR_TOKEN_FILE .*No such file"):
        find_credential(LOOPBACK, None, {"INJECTOR_TOKEN_FILE": str(tmp_path / "none")})
