"""Images over HTTP, against an api and against services that break off, lie, refuse, and send elsewhere."""

from __future__ import annotations

import hashlib
import re
import socket
import time
import tracemalloc
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from injector.errors import HostError, ImageUnavailable
from injector.images import http
from injector.images.http import HttpSource
from injector.model.image import Image
from injector.settings import ImageSettings
from tests import crafted
from tests.api_house import TOKEN, ApiHouse
from tests.builders import an_image
from tests.web_services import Behaviour, a_certificate, a_service, says

CONTENT = crafted.raw_disk(2 * crafted.MIB) + bytes(2 * crafted.MIB) + b"end"
IMAGE = an_image(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
PAUSES = (0.01, 0.01)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


Fetch = Callable[..., Path]


@pytest.fixture
def fetch(token: Path, tmp_path: Path) -> Fetch:
    def fetch(url: str, image: Image = IMAGE, cafile: Path | None = None) -> Path:
        source = HttpSource(ImageSettings(api_endpoint=url, token_file=token, cafile=cafile), PAUSES)
        source.fetch(image, tmp_path / "fetched")
        return tmp_path / "fetched"

    return fetch


def part(handler: BaseHTTPRequestHandler, *, ranges: bool = True) -> int:
    """The head of an answer; from which byte on."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    first = int(asked[1]) if asked and ranges else 0
    handler.send_response(206 if first else 200)
    if first:
        handler.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(len(CONTENT) - first))
    handler.end_headers()
    return first


def in_bits(handler: BaseHTTPRequestHandler) -> None:
    """Never more than a megabyte and a bit, which ends in the middle of a hole."""
    first = part(handler)
    handler.wfile.write(CONTENT[first : first + crafted.MIB + 12345])
    handler.close_connection = True


def test_a_broken_download_is_taken_up_where_it_broke(fetch: Fetch) -> None:
    with a_service(in_bits) as service:
        fetched = fetch(service.url)
    assert fetched.read_bytes() == CONTENT
    assert fetched.stat().st_blocks * 512 < len(CONTENT) - crafted.MIB
    assert [asked.headers.get("Range") for asked in service.asked][:2] == [None, f"bytes={crafted.MIB + 12345}-"]
    assert {asked.path for asked in service.asked} == {f"/v2/images/{IMAGE.id}/file"}
    assert {asked.headers["X-Auth-Token"] for asked in service.asked} == {TOKEN}


def test_it_begins_anew_where_only_whole_contents_are_given(fetch: Fetch) -> None:
    calls: list[int] = []

    def whole(handler: BaseHTTPRequestHandler) -> None:
        calls.append(part(handler, ranges=False))
        handler.wfile.write(CONTENT if len(calls) == 2 else CONTENT[: crafted.MIB])
        handler.close_connection = True

    with a_service(whole) as service:
        assert fetch(service.url).read_bytes() == CONTENT
    assert calls == [0, 0]


def test_a_service_that_gives_whole_contents_only_and_never_all_is_given_up(fetch: Fetch) -> None:
    """Each second time it comes further than the time before, and never further than ever."""

    def cut(handler: BaseHTTPRequestHandler) -> None:
        assert len(service.asked) < 20
        part(handler, ranges=False)
        handler.wfile.write(CONTENT[: crafted.MIB * (1 + len(service.asked) % 2)])
        handler.close_connection = True

    with a_service(cut) as service, pytest.raises(ImageUnavailable, match="broke off after"):
        fetch(service.url)
    assert len(service.asked) < 8


@pytest.mark.parametrize("tls", [False, True])
def test_a_service_that_sends_a_byte_now_and_then_is_too_late(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(http, "_LEEWAY", 0.7)
    monkeypatch.setattr(http, "_LEAST_PACE", 1e12)

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        part(handler)
        for byte in CONTENT[:100]:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)

    certificate = a_certificate(tmp_path) if tls else None
    began = time.monotonic()
    with a_service(trickle, certificate) as service, pytest.raises(ImageUnavailable, match="not send it within 1 sec"):
        fetch(service.url, cafile=certificate)
    assert time.monotonic() - began < 4
    assert len(service.asked) == 1
    assert not (tmp_path / "fetched").exists()


def test_all_bytes_are_all_however_their_call_ended(fetch: Fetch) -> None:
    content = crafted.raw_disk(2 * crafted.MIB)
    image = an_image(size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def without_an_end(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Range"):
            says({}, 416)(handler)
            return
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        handler.close_connection = True

    with a_service(without_an_end) as service:
        assert fetch(service.url, image).read_bytes() == content
    assert len(service.asked) == 1


def other_part(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(len(CONTENT) - 7))
    handler.end_headers()
    handler.wfile.write(CONTENT[7:])


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(CONTENT)


def nothing(handler: BaseHTTPRequestHandler) -> None:
    part(handler)
    handler.close_connection = True


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:1/")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize(
    ("behaviour", "words", "calls"),
    [
        (says({}, 401), "does not accept the token in .images. token_file", 1),
        (says({}, 404), "are gone", 1),
        (says({}, 503), "the api answered 503", 3),
        (elsewhere, "the api answered 302", 1),
        (other_part, "sent another part", 3),
        (endless, f"more than the {len(CONTENT)} bytes", 3),
        (nothing, f"broke off after 0 of {len(CONTENT)} bytes", 3),
        (says(bytes(len(CONTENT))), "not those that were registered", 1),
    ],
)
def test_what_is_not_the_image_does_not_arrive(
    behaviour: Behaviour, words: str, calls: int, fetch: Fetch, tmp_path: Path
) -> None:
    with a_service(behaviour) as service, pytest.raises(ImageUnavailable, match=words):
        fetch(service.url)
    assert len(service.asked) == calls
    assert not (tmp_path / "fetched").exists()


def test_nobody_there(fetch: Fetch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ImageUnavailable, match="Connection refused"):
        fetch(f"http://127.0.0.1:{port}/")


def test_an_api_that_nobody_vouches_for_is_told_no_token(fetch: Fetch, tmp_path: Path) -> None:
    with a_service(in_bits, a_certificate(tmp_path)) as service, pytest.raises(ImageUnavailable, match="certificate"):
        fetch(service.url)
    assert service.asked == []


def test_a_wrong_token_at_a_real_api(fetch: Fetch, token: Path, tmp_path: Path) -> None:
    token.write_text("not the one that was drawn")
    with ApiHouse(tmp_path) as house, pytest.raises(ImageUnavailable, match="token_file"):
        fetch(f"http://127.0.0.1:{house.server.port}")


def test_a_token_that_others_can_read_is_refused(fetch: Fetch, token: Path) -> None:
    token.chmod(0o644)
    with pytest.raises(HostError, match="others than this user") as refused:
        fetch("http://127.0.0.1:1")
    assert refused.value.field == "[images] token_file"


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        (None, 200, 0, len(CONTENT) - 1),
        ("bytes=0-", 200, 0, len(CONTENT) - 1),
        ("bytes=7-", 206, 7, len(CONTENT) - 1),
        ("bytes=7-9", 206, 7, 9),
        ("bytes=7-99999999", 206, 7, len(CONTENT) - 1),
        ("bytes=-5", 200, 0, len(CONTENT) - 1),
        ("lines=7-", 200, 0, len(CONTENT) - 1),
        (f"bytes={len(CONTENT)}-", 416, 0, -1),
    ],
)
def test_the_api_sends_what_was_asked_for(
    asked: str | None, status: int, first: int, last: int, tmp_path: Path
) -> None:
    with ApiHouse(tmp_path) as house:
        image = house.an_image(sha256=IMAGE.sha256)
        (tmp_path / "images" / f"{image.id}.{IMAGE.sha256}").write_bytes(CONTENT)
        answer = house.rest().get(f"/v2/images/{image.id}/file", headers={} if asked is None else {"Range": asked})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
        return
    assert answer.content == CONTENT[first : last + 1]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"


def test_an_image_without_bytes_has_no_content(tmp_path: Path) -> None:
    with ApiHouse(tmp_path) as house:
        queued = house.rest().post("/v2/images", json={"name": "x", "disk_format": "raw"}).json()["id"]
        assert house.rest().get(f"/v2/images/{queued}/file").status_code == 204
        gone = house.an_image().id
        assert house.rest().get(f"/v2/images/{gone}/file").status_code == 404


def test_a_large_image_is_never_in_memory(fetch: Fetch, tmp_path: Path) -> None:
    """Both sides are in this process, and a part of it is not as long as the whole."""
    size = 256 * crafted.MIB
    digest = hashlib.sha256()
    for _ in range(256):
        digest.update(bytes(crafted.MIB))
    with ApiHouse(tmp_path) as house:
        image = house.an_image(size=size, sha256=digest.hexdigest())
        with (tmp_path / "images" / f"{image.id}.{image.sha256}").open("wb") as file:
            file.truncate(size)
        tracemalloc.start()
        try:
            fetched = fetch(f"http://127.0.0.1:{house.server.port}", image)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * crafted.MIB
    assert (fetched.stat().st_size, fetched.stat().st_blocks) == (size, 0)
