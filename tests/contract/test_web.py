"""The door to web services, against services that answer, hang, drip, lie and send elsewhere."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from injector.system import web
from injector.system.web import Answer, Limits, Post
from tests.web_services import Behaviour, a_certificate, a_service, says

LIMITS = Limits(connect=2.0, read=1.0, size=1000)
BARE: dict[str, str] = {"Content-Type": "application/json"}


def ask(url: str, limits: Limits = LIMITS, certificates: Path | None = None) -> Answer:
    (answer,) = web.post_all([Post(url, b"{}", BARE)], limits, web.trust(certificates))
    return answer


def test_an_answer_is_its_bytes() -> None:
    with a_service(says(b"\x00\xff")) as service:
        assert ask(f"{service.url}/a/b?c=d").content == b"\x00\xff"
        assert ask(service.url).failure is None
        assert [asked.path for asked in service.asked] == ["/a/b?c=d", "/"]
        assert service.asked[0].headers["Content-Type"] == "application/json"


def test_credentials_of_the_url_are_sent_and_never_shown() -> None:
    with a_service(says({})) as service:
        url = service.url.replace("http://", "http://ada:s%40cret@")
        assert ask(url).failure is None
        assert service.asked[0].headers["Authorization"] == "Basic YWRhOnNAY3JldA=="
        assert "cret" not in repr(Post(url, b"", {}))


def redirect(to: str) -> Behaviour:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_nobody_is_sent_elsewhere() -> None:
    with a_service(says({})) as other, a_service(redirect(other.url)) as service:
        assert ask(service.url).failure == "answered 307, and redirects are not followed"
        assert other.asked == []


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_service(says({})) as proxy, a_service(says(b"itself")) as service:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert ask(service.url).content == b"itself"
        assert proxy.asked == []


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_a_refusal_is_a_failure(status: int) -> None:
    with a_service(says({"error": "secret"}, status)) as service:
        assert ask(service.url).failure == f"answered {status}"


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (5_000_000, False)])
def test_an_answer_has_a_size(size: int, fits: bool) -> None:
    with a_service(says(b"x" * size)) as service:
        answer = ask(service.url)
    assert (len(answer.content), answer.failure) == ((size, None) if fits else (0, "answered more than 1000 bytes"))


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(5)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then: no single wait is long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(f"X-{number}: drip\r\n".encode())
        time.sleep(0.2)


def drip_content(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.2)


@pytest.mark.parametrize("behaviour", [hang, drip, drip_content])
def test_an_answer_has_its_time_in_whole(behaviour: Behaviour) -> None:
    limits = Limits(connect=0.5, read=0.7, size=1000)
    with a_service(behaviour) as service:
        started = time.monotonic()
        answer = ask(service.url, limits)
        assert time.monotonic() - started < 2.5
        assert answer.failure in ("did not answer in time", "did not answer within 1.2 seconds")
        deadline = time.monotonic() + 2
        while _askers() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _askers() == []


def _askers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "web-post"]


def test_several_are_asked_at_once() -> None:
    """Each waits for the other before it answers."""
    together = threading.Barrier(3, timeout=5)

    def wait(handler: BaseHTTPRequestHandler) -> None:
        together.wait()
        says(b"met")(handler)

    with ExitStack() as services:
        urls = [services.enter_context(a_service(wait)).url for _ in range(3)]
        answers = web.post_all([Post(url, b"{}", BARE) for url in urls], LIMITS, web.trust(None))
    assert [answer.content for answer in answers] == [b"met"] * 3


def test_one_that_fails_takes_no_other_with_it() -> None:
    with a_service(says(b"one")) as one, a_service(hang) as two, a_service(says(b"three")) as three:
        posts = [Post(service.url, b"{}", BARE) for service in (one, two, three)]
        answers = web.post_all(posts, Limits(1.0, 0.5, 1000), web.trust(None))
    assert [answer.content for answer in answers] == [b"one", b"", b"three"]
    assert answers[1].failure is not None


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ask(f"http://127.0.0.1:{port}").failure == "cannot be reached: Connection refused"
    assert "cannot be reached" in str(ask("http://no-such-host.invalid").failure)


def truncate(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def gibberish(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(("behaviour", "words"), [(truncate, "broke off"), (gibberish, "does not speak HTTP")])
def test_half_an_answer_is_none(behaviour: Behaviour, words: str) -> None:
    with a_service(behaviour) as service:
        answer = ask(service.url)
    assert words in str(answer.failure)
    assert answer.content == b""


def test_certificates_are_verified(tmp_path: Path) -> None:
    mine, other = a_certificate(tmp_path), a_certificate(tmp_path, "127.0.0.2")
    with a_service(says(b"safe"), mine) as service:
        assert ask(service.url, certificates=mine).content == b"safe"
        assert "certificate verify failed" in str(ask(service.url).failure)
        assert "certificate verify failed" in str(ask(service.url, certificates=other).failure)
        assert len(service.asked) == 1
    with a_service(says(b"safe"), other) as service:
        assert "certificate verify failed" in str(ask(service.url, certificates=other).failure)
        assert service.asked == []


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_a_file_of_no_certificates_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="no file of certificates"):
        web.trust(file)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "http://",
        "http://[::1",
        "http://x:99999",
        "http://x/\r\nHost: y",
        "http://é/",
    ],
)
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL such as"):
        web.check_url(url)
    web.check_url("https://ada:secret@[::1]:8443/path?x=y")
