"""REST as HTTP: doors, versions, status codes, bodies too large or broken off, uploads, coming and going."""

from __future__ import annotations

import contextlib
import grp
import json
import logging
import os
import socket
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from injector.api.auth import TokenDoor
from injector.api.server import ApiServer
from injector.errors import BusUnavailable, HostError
from injector.model.payload import Payload
from injector.model.secret import Secret
from tests import builders
from tests.api_house import TOKEN, ApiHouse, api_settings, eventually
from tests.outside import python
from tests.worlds import World

MIB = 1024 * 1024


@pytest.fixture
def house(tmp_path: Path, world: World) -> Iterator[ApiHouse]:
    with ApiHouse(tmp_path, world=world) as running:
        yield running


@pytest.fixture
def rest(house: ApiHouse) -> httpx.Client:
    return house.rest()


def fault(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, name and message of an error body, which say the same status twice."""
    ((name, body),) = answer.json().items()
    assert body["code"] == answer.status_code
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    return answer.status_code, name, body["message"]


# who may call


def test_over_tcp_everything_but_version_documents_wants_the_token(house: ApiHouse) -> None:
    anonymous = house.rest(tcp=True)
    for path in ("/", "/v2.1", "/v2.1/"):
        assert anonymous.get(path).status_code == 200
    for method, path in (
        *(("GET", "/v2.1/servers"), ("POST", "/v2.1/servers"), ("GET", "/v2.1/injector-hosts"), ("GET", "/nothing")),
        *(("GET", "/v2/images"), ("PUT", "/v2/images/x/file"), ("GET", "/v2.0/networks"), ("POST", "/v2.1")),
    ):
        answer = anonymous.request(method, path)
        assert fault(answer)[:2] == (401, "unauthorized"), f"{method} {path}"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Auth-Token": TOKEN}, 200),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"X-Auth-Token": TOKEN[:-1]}, 401),
        ({"X-Auth-Token": ""}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"X-Auth-Token": "té"}, 401),
    ],
)
def test_the_token_opens(house: ApiHouse, headers: dict[str, str], status: int) -> None:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    assert house.rest(tcp=True).get("/v2.1/servers", headers=raw).status_code == status


def test_a_token_that_could_be_guessed_opens_no_door() -> None:
    with pytest.raises(HostError):
        TokenDoor(Secret(""))


def test_the_unix_socket_asks_for_nothing_and_is_not_for_everybody(house: ApiHouse, rest: httpx.Client) -> None:
    assert rest.get("/v2.1/servers").json() == {"servers": []}
    assert house.settings.api.socket is not None
    assert stat.S_IMODE(house.settings.api.socket.stat().st_mode) == 0o660


def _group_of_the_socket(directory: Path, group: str) -> int:
    with ApiHouse(directory, api_settings(directory, socket_group=group)) as house:
        assert house.settings.api.socket is not None
        assert house.rest().get("/v2.1/servers").status_code == 200
        found = house.settings.api.socket.stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        return found.st_gid


def test_the_unix_socket_is_the_group_s_that_the_operator_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = grp.getgrgid(os.getegid()).gr_name
    other = "nogroup" if os.geteuid() == 0 else ours
    assert _group_of_the_socket(tmp_path, other) == grp.getgrnam(other).gr_gid
    assert not caplog.records
    assert _group_of_the_socket(tmp_path, "no-such-group") == os.getegid()
    assert "no-such-group" in caplog.text


def test_a_stranger_cannot_make_the_server_read_what_he_says_he_sends(house: ApiHouse) -> None:
    port = house.server.port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
        stranger.sendall(b"POST /v2.1/servers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        with contextlib.suppress(OSError):  # the server may end it in the middle
            stranger.sendall(b"x" * 8 * MIB)
        told = b"".join(iter(lambda: stranger.recv(65536), b""))
    assert told.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in told


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", b"HTTP/1.1 200 "),
    ],
)
def test_strangers_who_send_slowly_hold_no_thread(
    house: ApiHouse, monkeypatch: pytest.MonkeyPatch, head: bytes, answer: bytes
) -> None:
    """A head that never ends, a body of which nobody wants to know: a byte every now and then keeps neither open."""
    monkeypatch.setattr("injector.api.slow.HEAD_SECONDS", 0.5)
    monkeypatch.setattr("injector.api.server._DRAIN_SECONDS", 0.5)
    assert house.server.port is not None
    with socket.create_connection(("127.0.0.1", house.server.port), timeout=0.1) as stranger:
        stranger.sendall(head)
        told, deadline = b"", time.monotonic() + 8
        while not told.startswith(answer):
            assert time.monotonic() < deadline, "a thread is still held"
            with contextlib.suppress(OSError):
                stranger.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                told += stranger.recv(65536)


def test_who_takes_his_time_after_the_head_is_listened_to(
    house: ApiHouse, monkeypatch: pytest.MonkeyPatch, rest: httpx.Client
) -> None:
    monkeypatch.setattr("injector.api.slow.HEAD_SECONDS", 0.3)
    body = b'{"keypair": {"name": "slow", "public_key": "ssh-ed25519 AAAA"}}'

    def slowly() -> Iterator[bytes]:
        for piece in (body[:10], body[10:]):
            time.sleep(0.4)
            yield piece

    said = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    answered = rest.post("/v2.1/os-keypairs", content=slowly(), headers=said)
    assert answered.status_code != 408
    assert rest.get("/").status_code == 200


# versions


def test_version_documents(rest: httpx.Client) -> None:
    (listed,) = rest.get("/").json()["versions"]
    assert (listed["id"], listed["min_version"], listed["version"]) == ("v2.1", "2.1", "2.56")
    for path in ("/v2.1", "/v2.1/"):
        version = rest.get(path).json()["version"]
        assert version["links"][0] == {"rel": "self", "href": "http://injector/v2.1/"}
        assert version["media-types"][0]["base"] == "application/json"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ({}, "2.1"),
        ({"OpenStack-API-Version": "compute latest"}, "2.56"),
        ({"OpenStack-API-Version": "identity 3.1, compute 2.10"}, "2.10"),
        ({"OpenStack-API-Version": "volume 3.5"}, "2.1"),
        ({"X-OpenStack-Nova-API-Version": "2.9"}, "2.9"),
        ({"X-OpenStack-Nova-API-Version": "2.9", "OpenStack-API-Version": "compute 2.11"}, "2.11"),
    ],
)
def test_the_microversion_served_is_told(house: ApiHouse, asked: dict[str, str], served: str) -> None:
    rest = house.rest()
    del rest.headers["OpenStack-API-Version"]
    for path in ("/v2.1/servers", "/v2.1/servers/none"):
        answer = rest.get(path, headers=asked)
        assert answer.headers["OpenStack-API-Version"] == f"compute {served}"
        assert answer.headers["X-OpenStack-Nova-API-Version"] == served
        assert answer.headers["Vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"


@pytest.mark.parametrize(("asked", "status"), [("2.57", 406), ("3.0", 406), ("1.1", 406), ("2", 400), ("2.01", 400)])
def test_other_microversions_are_refused(rest: httpx.Client, asked: str, status: int) -> None:
    answer = rest.get("/v2.1/servers", headers={"OpenStack-API-Version": f"compute {asked}"})
    assert fault(answer)[0] == status


def test_documents_follow_the_microversion(house: ApiHouse, rest: httpx.Client) -> None:
    made = boot(house, rest)
    old, new = house.rest(version="2.1"), house.rest(version="2.47")
    path = f"/v2.1/servers/{made['id']}"
    flavor = old.get(path).json()["server"]["flavor"]
    assert flavor == {"id": "1", "links": [{"rel": "bookmark", "href": "http://injector/flavors/1"}]}
    assert new.get(path).json()["server"]["flavor"]["original_name"] == "m1.small"
    assert "OS-EXT-SRV-ATTR:hostname" not in old.get(path).json()["server"]
    key = {"keypair": {"name": "k", "public_key": builders.PUBLIC_KEY}}
    for rest_of, created, deleted in ((old, 200, 202), (new, 201, 204)):
        answer = rest_of.post("/v2.1/os-keypairs", json=key)
        assert (answer.status_code, "type" in answer.json()["keypair"]) == (created, created == 201)
        assert rest_of.delete("/v2.1/os-keypairs/k").status_code == deleted


# answers


def boot(house: ApiHouse, rest: httpx.Client, **changes: Any) -> dict[str, Any]:
    if not house.store.flavors():
        house.a_flavor()
    server = {"name": "web", "imageRef": house.an_image().id, "flavorRef": "1", "networks": "none"}
    answer = rest.post("/v2.1/servers", json={"server": server | changes})
    assert answer.status_code == 202, answer.text
    return dict(answer.json().get("server") or answer.json())


def test_a_create_call_answers_as_nova_does(house: ApiHouse, rest: httpx.Client) -> None:
    made = boot(house, rest)
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    again = rest.post("/v2.1/servers", json={"server": {"name": "w", "imageRef": house.an_image().id, "flavorRef": 1}})
    assert again.headers["Location"] == f"http://injector/v2.1/servers/{again.json()['server']['id']}"
    reserved = boot(house, rest, return_reservation_id="true", max_count=2)
    assert list(reserved) == ["reservation_id"]
    found = rest.get("/v2.1/servers", params=reserved).json()["servers"]
    assert sorted(server["name"] for server in found) == ["web-1", "web-2"]


def test_no_password_is_made_where_the_operator_wants_none(tmp_path: Path) -> None:
    with ApiHouse(tmp_path, api_settings(tmp_path, enable_instance_password=False)) as house:
        assert "adminPass" not in boot(house, house.rest())


def test_pages_lead_to_each_other(house: ApiHouse, rest: httpx.Client) -> None:
    made = [boot(house, rest)["id"] for _ in range(3)]
    path, seen = "/v2.1/servers?limit=2", []
    while path:
        document = rest.get(path).json()
        seen += [server["id"] for server in document["servers"]]
        path = document.get("servers_links", [{"href": ""}])[0]["href"].removeprefix("http://injector")
    assert seen == made[::-1]
    images = rest.get("/v2/images?limit=1").json()
    following = rest.get(images["next"].removeprefix("http://injector")).json()
    assert len({images["images"][0]["id"], following["images"][0]["id"]}) == 2
    for name in ("a", "b"):
        house.client.create_network({"name": name, "injector:kind": "user"})
    networks = rest.get("/v2.0/networks?limit=1").json()
    following = rest.get(networks["networks_links"][0]["href"].removeprefix("http://injector")).json()
    assert {networks["networks"][0]["name"], following["networks"][0]["name"]} == {"a", "b"}


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/nothing", 404, "itemNotFound"),
        ("GET", "/v2.1/servers/none", 404, "itemNotFound"),
        ("GET", "/v2.1/servers?limit=1&limit=2", 400, "badRequest"),
        ("GET", "/v2.1/servers?marker=none", 404, "itemNotFound"),
        ("PATCH", "/v2.1/servers", 405, "badMethod"),
        ("GET", "/v2.1/servers/none/action", 405, "badMethod"),
        ("DELETE", "/v2.1/flavors/none", 404, "itemNotFound"),
        ("GET", "/v2.1/injector-hosts/none", 404, "itemNotFound"),
        ("GET", "/v2.1/servers?name=%00", 400, "badRequest"),
        ("GET", "/v2.1/flavors/%00", 400, "badRequest"),
    ],
)
def test_error_bodies(rest: httpx.Client, method: str, path: str, status: int, name: str) -> None:
    answer = rest.request(method, path)
    assert fault(answer)[:2] == (status, name)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"server": 1}', b"\xff", b'{"server": NaN}', b"[" * 9999]
)
def test_bodies_that_are_no_request(rest: httpx.Client, body: bytes) -> None:
    answer = rest.post("/v2.1/servers", content=body, headers={"Content-Type": "application/json"})
    assert fault(answer)[:2] == (400, "badRequest")


def test_bodies_of_another_kind_or_too_large(rest: httpx.Client, house: ApiHouse) -> None:
    answer = rest.post("/v2.1/servers", content=b"a=b", headers={"Content-Type": "text/plain"})
    assert fault(answer)[:2] == (415, "badMediaType")
    limit = house.settings.api.max_request_body_size
    for size in (limit + 1, 32 * MIB):
        answer = rest.post("/v2.1/servers", content=b" " * size, headers={"Content-Type": "application/json"})
        assert fault(answer)[:2] == (413, "overLimit")
    chunks = (b" " * 65536 for _ in range(limit // 65536 + 1))
    answer = rest.post("/v2.1/servers", content=chunks, headers={"Content-Type": "application/json"})
    assert fault(answer)[:2] == (413, "overLimit")
    assert rest.get("/v2.1/servers").status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"shelve": None}, {"os-start": None, "os-stop": None}, {"reboot": {}}, {"reboot": 1}]
)
def test_actions_that_are_none(house: ApiHouse, rest: httpx.Client, body: dict[str, Any]) -> None:
    made = boot(house, rest)
    assert fault(rest.post(f"/v2.1/servers/{made['id']}/action", json=body))[:2] == (400, "badRequest")


def test_single_metadata_items(house: ApiHouse, rest: httpx.Client) -> None:
    path = f"/v2.1/servers/{boot(house, rest)['id']}/metadata/role"
    assert rest.put(path, json={"meta": {"role": "web"}}).json() == {"meta": {"role": "web"}}
    assert rest.get(path).json() == {"meta": {"role": "web"}}
    assert fault(rest.put(path, json={"meta": {"other": "web"}}))[0] == 400
    assert rest.delete(path).status_code == 204
    assert fault(rest.get(path))[0] == 404


def test_changes_at_once_lose_none_of_them(house: ApiHouse) -> None:
    made = boot(house, house.rest())

    def change(number: int) -> None:
        house.client.set_metadata(made["id"], {str(number): "set"})

    threads = [threading.Thread(target=change, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.client.metadata(made["id"])) == 20


def test_a_console_that_is_not_there_yet(house: ApiHouse, rest: httpx.Client) -> None:
    made = boot(house, rest, metadata={"fate": "hold"})
    answer = rest.post(f"/v2.1/servers/{made['id']}/action", json={"os-getConsoleOutput": {}})
    assert fault(answer)[:2] == (409, "conflictingRequest")


def test_what_the_stock_clients_ask_for(house: ApiHouse, rest: httpx.Client) -> None:
    image = house.an_image()
    for place in ("/v2/images", "/v2.1/v2/images", "/v2.1/images"):
        assert [one["id"] for one in rest.get(place, params={"name": image.name}).json()["images"]] == [image.id]
        assert rest.get(f"{place}/{image.id}").json()["id"] == image.id
    house.a_flavor()
    assert len(rest.get("/v2.1/flavors/detail?is_public=None").json()["flavors"]) == 1
    assert rest.get("/v2.1/flavors/1/os-extra_specs").json() == {"extra_specs": {}}
    assert rest.get("/v2.1/servers/detail?deleted=False").json() == {"servers": []}
    for place in ("/v2.0/networks", "/v2.1/v2.0/networks", "/v2.1/networks"):
        assert rest.get(place, params={"name": "none"}).json() == {"networks": []}


# failures that are not the caller's


def test_nobody_below_is_a_503(tmp_path: Path, world: World) -> None:
    with ApiHouse(tmp_path, world=world, hosts=False) as house:
        rest = house.rest()
        house.a_flavor()
        server = {"name": "web", "imageRef": house.an_image().id, "flavorRef": "1", "networks": "none"}
        answer = rest.post("/v2.1/servers", json={"server": server})
        assert fault(answer) == (503, "serviceUnavailable", "no host has reported itself yet")
        house.bus.close()
        answer = rest.post("/v2.1/servers", json={"server": server})
        assert fault(answer)[:2] == (503, "serviceUnavailable")


def test_a_bug_is_told_cleanly_and_logged_in_full(
    house: ApiHouse, rest: httpx.Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house.a_flavor()
    with sqlite3.connect(tmp_path / "injector.sqlite") as database:
        database.execute("UPDATE flavors SET document = 'nonsense'")
    answer = rest.get("/v2.1/flavors")
    status, name, message = fault(answer)
    assert (status, name) == (500, "computeFault")
    assert answer.headers["x-openstack-request-id"] in message
    assert "sqlite" not in message.lower()
    assert "malformed" in caplog.text
    assert "Traceback" in caplog.text


def test_requests_are_logged_without_what_a_terminal_obeys(
    rest: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rest.get("/v2.1/%1b%5b31mred%0a")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "injector.api.app"]
    assert line.startswith("GET /v2.1/red: 404 Not Found in ")


# uploads


def an_image_record(rest: httpx.Client, **changes: Any) -> str:
    answer = rest.post("/v2/images", json={"name": "disk", "disk_format": "raw"} | changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def put(rest: httpx.Client, image_id: str, content: Any) -> httpx.Response:
    octets = {"Content-Type": "application/octet-stream"}
    return rest.put(f"/v2/images/{image_id}/file", content=content, headers=octets, timeout=60)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_is_kept_to_the_byte(house: ApiHouse, rest: httpx.Client, tmp_path: Path, chunked: bool) -> None:
    image_id = an_image_record(rest)
    content = bytes(range(256)) * 8192
    sent = iter([content[:100], content[100:]]) if chunked else content
    assert put(rest, image_id, sent).status_code == 204
    view = rest.get(f"/v2/images/{image_id}").json()
    assert (view["status"], view["size"]) == ("active", len(content))
    (kept,) = (tmp_path / "images").glob(f"{image_id}.*")
    assert kept.read_bytes() == content
    assert kept.name.endswith(view["os_hash_value"])
    assert fault(put(rest, image_id, b"other"))[:2] == (409, "conflictingRequest")
    assert rest.delete(f"/v2/images/{image_id}").status_code == 204
    assert list((tmp_path / "images").iterdir()) == []


def test_an_upload_that_is_not_what_it_claims(rest: httpx.Client, tmp_path: Path) -> None:
    image_id = an_image_record(rest, disk_format="qcow2")
    assert fault(put(rest, image_id, b"\0" * MIB))[:2] == (409, "conflictingRequest")
    assert rest.get(f"/v2/images/{image_id}").json()["status"] == "queued"
    assert list((tmp_path / "images").iterdir()) == []


def test_an_upload_that_breaks_off_is_no_shorter_image(house: ApiHouse, rest: httpx.Client, tmp_path: Path) -> None:
    image_id = an_image_record(rest)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(house.settings.api.socket))
        head = f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"
        client.sendall(head.encode() + b"x" * 4096)
        client.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: client.recv(65536), b""))
    assert told.startswith(b"HTTP/1.1 400 ")
    assert rest.get(f"/v2/images/{image_id}").json()["status"] == "queued"
    assert list((tmp_path / "images").iterdir()) == []


def test_an_image_being_uploaded_is_left_alone(house: ApiHouse, rest: httpx.Client) -> None:
    image_id, begun, go_on = an_image_record(rest), threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"\0" * MIB
        begun.set()
        go_on.wait(10)
        yield b"\0" * 512

    answers: list[httpx.Response] = []
    slow = house.rest()
    uploading = threading.Thread(target=lambda: answers.append(put(slow, image_id, slowly())))
    uploading.start()
    begun.wait(10)
    assert fault(put(rest, image_id, b"other"))[:2] == (409, "conflictingRequest")
    assert fault(rest.delete(f"/v2/images/{image_id}"))[:2] == (409, "conflictingRequest")
    go_on.set()
    uploading.join()
    assert answers[0].status_code == 204, answers[0].text


# coming and going


def test_a_stop_answers_what_is_under_way(tmp_path: Path) -> None:
    with ApiHouse(tmp_path) as house:
        rest = house.rest()
        image_id, begun, answers = an_image_record(rest), threading.Event(), []

        def slowly() -> Iterator[bytes]:
            yield b"\0" * 65536
            begun.set()
            time.sleep(0.3)
            yield b"\0" * 512

        uploading = threading.Thread(target=lambda: answers.append(put(rest, image_id, slowly())))
        uploading.start()
        begun.wait(10)
        house.server.stop()
        uploading.join()
        assert answers[0].status_code == 204, answers[0].text
        assert house.settings.api.socket is not None
        assert not house.settings.api.socket.exists()


def test_a_socket_that_is_served_is_not_taken(house: ApiHouse, rest: httpx.Client) -> None:
    second = ApiServer(house.operations, house.settings.api, TOKEN)
    with pytest.raises(HostError, match="another injector"):
        second.start()
    assert rest.get("/v2.1").status_code == 200


def test_the_socket_of_a_daemon_that_died_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    left_behind = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left_behind))
    with ApiHouse(tmp_path) as house:
        assert house.rest().get("/v2.1").status_code == 200
    left_behind.write_text("precious")
    with pytest.raises(HostError, match="there is a file"), ApiHouse(tmp_path):
        pass
    assert left_behind.read_text() == "precious"


def test_a_port_in_use_is_told_and_nothing_is_left_listening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = api_settings(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(HostError, match="cannot listen"), ApiHouse(tmp_path, settings):
            pass
    assert settings.api.socket is not None
    assert not settings.api.socket.exists()


# the published client, from outside


def test_outside_of_the_process_local_is_refused_clearly(house: ApiHouse) -> None:
    said = python(
        "from oslo_config import cfg\n"
        "from injector.rpc import Client\n"
        "from injector.errors import BusUnavailable\n"
        "try:\n"
        f"    Client.connect(cfg.ConfigOpts(), {house.url!r}).servers()\n"
        "except BusUnavailable as error:\n"
        "    print(error.message)\n"
    )
    assert b"local:// exists only inside" in said.stdout


def test_the_client_reaches_its_own_process_until_it_is_closed(house: ApiHouse) -> None:
    from oslo_config import cfg

    from injector.rpc import Client

    with Client.connect(cfg.ConfigOpts(), house.url) as client:
        assert client.servers() == []
        assert client.flavors() == []


def test_the_client_boots_with_bytes(house: ApiHouse) -> None:
    from injector.rpc import BootOptions, Card, File

    network = house.client.create_network({"name": "lab", "injector:kind": "user"})
    options = BootOptions(
        user_data=bytes(range(256)),
        files=(File("/etc/blob", b"\0\xff", best_effort=True), File("/etc/motd", b"", mode=0o660, owner="root")),
        networks=(Card(network["id"]),),
        max_count=2,
    )
    booted = house.client.boot("web", house.an_image().id, house.a_flavor().id, options)
    assert [server["name"] for server in booted.servers] == ["web-1", "web-2"]
    for server in booted.servers:
        payload = house.vault.unseal(server["id"], house.store.payload(server["id"]))
        assert payload.user_data == Secret(bytes(range(256)))
        assert [file.content for file in payload.files] == [Secret(b"\0\xff"), Secret(b"")]
        eventually(lambda server_id=server["id"]: house.client.show(server_id)["addresses"] == {"lab": []})  # type: ignore[misc]


def test_the_client_rebuilds_with_bytes_and_keeps_the_rest(house: ApiHouse) -> None:
    from injector.rpc import BootOptions, File, RebuildOptions

    options = BootOptions(user_data=b"#!/bin/sh", files=(File("/etc/motd", b"one"),), metadata={"role": "web"})
    (server,) = house.client.boot("web", house.an_image().id, house.a_flavor().id, options).servers
    server_id = server["id"]

    def rebuilt(image_id: str | None = None, options: RebuildOptions | None = None) -> Payload:
        eventually(lambda: house.client.show(server_id)["status"] == "ACTIVE")
        begun = house.client.rebuild(server_id, image_id, options)
        assert (begun.server["id"], len(str(begun.admin_password))) == (server_id, 12)
        return house.vault.unseal(server_id, house.store.payload(server_id))

    same = rebuilt()
    assert (same.user_data, [file.content for file in same.files]) == (Secret(b"#!/bin/sh"), [Secret(b"one")])
    other = house.an_image()
    binary = RebuildOptions(user_data=bytes(range(256)), files=(File("/etc/blob", b"\0\xff", best_effort=True),))
    changed = rebuilt(other.id, binary)
    assert (changed.user_data, [file.path for file in changed.files]) == (Secret(bytes(range(256))), ["/etc/blob"])
    view = house.client.show(server_id)
    assert (view["image"]["id"], view["metadata"]) == (other.id, {"role": "web"})
    nothing = RebuildOptions(name="bare", key_name=None, more_keys=(), user_data=None, files=(), metadata={})
    bare = rebuilt(options=nothing)
    assert (bare.user_data, bare.files, house.client.show(server_id)["name"]) == (None, (), "bare")


def test_json_that_the_wire_test_reads_is_json(house: ApiHouse, rest: httpx.Client) -> None:
    """Every list and document is one that the standard library reads: no NaN, no bare text."""
    boot(house, rest)
    for path in ("/v2.1/servers/detail", "/v2.1/limits", "/v2.1/injector-hosts", "/v2/images", "/v2.1/flavors/detail"):
        assert json.loads(rest.get(path).content)
    with pytest.raises(BusUnavailable):
        house.bus.call("nobody", "there", version="1.0", timeout=0.3)
