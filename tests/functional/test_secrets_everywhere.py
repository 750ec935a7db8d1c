"""Secrets planted in the real chain, over a broker and a database, and then looked for wherever they could lie.

Each search is shown to find what is no secret in the same place: its silence means something.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy.engine import URL, make_url

from injector.errors import InvalidRequest
from injector.rpc import BootOptions, Client, File
from tests import servers
from tests.daemon import Daemon, a_daemon, a_daemon_without_guests, b64
from tests.tap import Tap, a_tap
from tests.traces import spellings, traces
from tests.watch import Watch

pytestmark = pytest.mark.servers

NAME = "pl4ntedname"
"""The server's, which anybody may see."""
MARK = "pl4ntedmark"
"""In the environment of the daemon."""

GIVEN: Mapping[str, bytes] = {
    f"{what} over {how}": f"{what}-{how}-{word}".encode()
    for how, word in (("rest", "zw1tterwolf"), ("rpc", "qu1ckbrownfox"))
    for what in ("password", "file", "userdata", "malformed")
}
_VERBOSE = ("amqp", "kombu", "oslo.messaging", "oslo_messaging", "sqlalchemy", "alembic", "httpx", "cheroot", "falcon")

Document = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What a stay of the daemon has left, by the place it lies in; the secrets by name; what is known to be there."""

    places: Mapping[str, bytes]
    secrets: Mapping[str, bytes]
    planted: Mapping[str, bytes]


def behind(url: URL, tap: Tap) -> str:
    return url.set(host="127.0.0.1", port=tap.port).render_as_string(hide_password=False)


def dumped(url: URL) -> bytes:
    """The whole database as text, which has bytes as hex, and those bytes themselves."""
    where = [f"--host={url.host}", f"--port={url.port}", f"--username={url.username}", str(url.database)]
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": str(url.password)}
    text = subprocess.run(["pg_dump", *where], env=environment, capture_output=True, check=True).stdout
    fields = text.replace(b"\\\\x", b"\t").split()
    raw = [bytes.fromhex(field.decode()) for field in fields if len(field) % 2 == 0 and _is_hex(field)]
    return b"\n".join((text, *raw))


def _is_hex(field: bytes) -> bool:
    return not field.strip(b"0123456789abcdef")


@contextmanager
def without_servers() -> Iterator[None]:
    """Our own environment tells where the servers are, and their passwords; the daemon's is not to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("INJECTOR_TEST_")]:
            patch.delenv(name)
        patch.setenv("INJECTOR_PLANTED", MARK)
        yield


def verbose(**default: Any) -> dict[str, Any]:
    """Everything that anybody logs."""
    return {"debug": True, "default_log_levels": ",".join(f"{name}=DEBUG" for name in _VERBOSE), **default}


def asked(daemon: Daemon, how: str) -> Document:
    return {
        "name": NAME,
        "imageRef": daemon.call("GET", "/v2/images")["images"][0]["id"],
        "flavorRef": "1",
        "networks": "none",
        "adminPass": GIVEN[f"password over {how}"].decode(),
        "user_data": b64(b"#!/bin/sh\n# " + GIVEN[f"userdata over {how}"]),
        "personality": [{"path": "/etc/word", "contents": b64(GIVEN[f"file over {how}"])}],
    }


def lived_over_rest(daemon: Daemon) -> tuple[str, bytes]:
    """A server's life, some refusals, and another server that stays: its id, and the password that was made for it."""
    server = asked(daemon, "rest")
    daemon.call("POST", "/v2.1/servers/injector-preview", {"server": server})
    made = daemon.call("POST", "/v2.1/servers", {"server": server}, 202)["server"]["id"]
    daemon.wait_for_status(made, "ACTIVE")
    daemon.act(made, {"injector:refresh": {"policy": "new-id"}})
    for path in ("injector-receipt", "injector-verify", "injector-diff", "injector-generations"):
        daemon.http.get(f"/v2.1/servers/{made}/{path}")
    malformed = GIVEN["malformed over rest"].decode()
    for wrong in ({"adminPass": {"is": malformed}}, {"user_data": malformed + "%"}, {"colour": malformed}):
        daemon.call("POST", "/v2.1/servers", {"server": server | wrong}, 400)
    daemon.http.post("/v2.1/servers", content=b'{"server": ' + malformed.encode())
    del server["adminPass"]
    other = daemon.call("POST", "/v2.1/servers", {"server": server}, 202)["server"]
    daemon.wait_for_status(other["id"], "ACTIVE")
    daemon.delete(made)
    return str(other["id"]), str(other["adminPass"]).encode()


def lived_over_rpc(daemon: Daemon, broker: str) -> bytes:
    """Two lives; the password that was made for the second."""
    server = asked(daemon, "rpc")
    given = BootOptions(
        networks="none",
        admin_password=server["adminPass"],
        user_data=b"#!/bin/sh\n# " + GIVEN["userdata over rpc"],
        files=(File("/etc/word", GIVEN["file over rpc"]),),
    )
    conf = cfg.ConfigOpts()
    conf([], project="injector")
    with Client.connect(conf, broker) as client:
        client.preview(NAME, server["imageRef"], "1", given)
        booted = client.boot(NAME, server["imageRef"], "1", given)
        malformed = GIVEN["malformed over rpc"].decode()
        for wrong in ({"adminPass": {"is": malformed}}, {"user_data": malformed + "%"}, {"colour": malformed}):
            with pytest.raises(InvalidRequest):
                client.create_servers(server | wrong)
        other = client.boot(NAME, server["imageRef"], "1", BootOptions(networks="none"))
        for one in (*booted.servers, *other.servers):
            daemon.wait_for_status(one["id"], "ACTIVE")
            client.receipt(one["id"])
            client.delete(one["id"])
    return str(other.admin_password).encode()


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    with ExitStack() as stack:
        database = make_url(stack.enter_context(servers.a_database("postgresql")))
        broker = make_url(stack.enter_context(servers.a_vhost()))
        assert broker.port
        assert database.port
        bus, queries = stack.enter_context(a_tap(broker.port)), stack.enter_context(a_tap(database.port))
        processes = stack.enter_context(Watch())
        tapped = behind(broker, bus)
        options = {"database": {"connection": behind(database, queries)}}
        with without_servers():
            scratch = tmp_path_factory.mktemp("image")
            running = a_daemon_without_guests(scratch, options, **verbose(transport_url=tapped))
            daemon = stack.enter_context(running)
        processes.look_at(daemon.pid)
        server_id, made_over_rest = lived_over_rest(daemon)
        made_over_rpc = lived_over_rpc(daemon, tapped)
        kept = [path.read_bytes() for path in daemon.state.rglob("*.json") if path.is_file()]
        # A clean end takes a while over a broker, and there is nothing to clean up.
        daemon.kill()
        yield Evidence(
            places={
                "log": daemon.log.read_bytes(),
                "state": b"\n".join(kept),
                "dump": dumped(database),
                "broker": bus.heard,
                "queries": queries.heard,
                "command lines": b"\n".join(processes.command_lines),
                "environments": b"\n".join(processes.environments),
            },
            secrets={
                **GIVEN,
                "made over rest": made_over_rest,
                "made over rpc": made_over_rpc,
                "key": (daemon.state / "secrets.key").read_bytes(),
                "token": (daemon.state / "admin-token").read_bytes().strip(),
                "password of the broker": str(broker.password).encode(),
                "password of the database": str(database.password).encode(),
            },
            planted={
                "log": server_id.encode(),
                "state": server_id.encode(),
                "dump": NAME.encode(),
                "broker": NAME.encode(),
                "queries": NAME.encode(),
                "command lines": str(daemon.config).encode(),
                "environments": MARK.encode(),
            },
        )


PLACES = ("log", "state", "dump", "broker", "queries", "command lines", "environments")
# Without TLS a broker is told its password in clear (SASL PLAIN): that is what TLS is for.
_TOLD = {("broker", "password of the broker")}


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_found(evidence: Evidence, place: str) -> None:
    found = {
        (place, name)
        for name, secret in evidence.secrets.items()
        if any(trace in evidence.places[place] for trace in traces(secret))
    }
    assert found - _TOLD == set()


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_is_no_secret(evidence: Evidence, place: str) -> None:
    assert any(trace in evidence.places[place] for trace in spellings(evidence.planted[place]))


def test_the_log_has_everything_that_can_be_logged(evidence: Evidence) -> None:
    lines = evidence.places["log"].splitlines()
    for library in (b"oslo_messaging", b"sqlalchemy"):
        assert any(b" DEBUG " in line and library in line for line in lines), f"{library!r} has said nothing"


@pytest.mark.parametrize("which", ["broker", "database"])
def test_a_server_that_does_not_take_the_password_is_named_without_it(which: str) -> None:
    wrong = "tr0ub4dor-and-three"
    urls = {"broker": make_url(servers.rabbit_url()), "database": make_url(os.environ["INJECTOR_TEST_POSTGRESQL"])}
    told = {which: urls[which].set(password=wrong, database="postgres" if which == "database" else "")}
    url = told[which].render_as_string(hide_password=False)
    default = verbose(transport_url=url) if which == "broker" else verbose()
    database = {"database": {"connection": url}} if which == "database" else {}
    libvirt = {"connection_uri": "test:///default", "virt_type": "qemu"}
    with a_daemon({"DEFAULT": default, "libvirt": libvirt, **database}) as daemon:
        daemon.start(wait=False)
        said = said_of(daemon, "broker" if which == "broker" else "database")
        if daemon.process is not None:
            daemon.kill()
    assert [trace for trace in traces(wrong.encode()) if trace in said] == []


def said_of(daemon: Daemon, word: str) -> bytes:
    """The log, once it complains of it, or once the daemon has given up."""
    assert daemon.process is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = daemon.log.read_bytes()
        if daemon.process.poll() is not None:
            daemon.process = None
            return daemon.log.read_bytes()
        if word.encode() in said and b"refused" in said.lower():
            return said
        time.sleep(0.1)
    raise AssertionError("nobody complains: " + said.decode()[-3000:])
