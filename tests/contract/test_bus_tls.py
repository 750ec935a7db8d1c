"""The options for TLS of oslo.messaging reach it through our bus: a broker that is not trusted is told nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from oslo_config import cfg

from injector.errors import BusUnavailable
from injector.rpc.bus import Bus
from tests.certificates import Issued, a_server, an_authority

HEADER = b"AMQP\x00\x00\x09\x01"


class Broker:
    """Listens like a broker, notes how each client begins, and hangs up."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard: list[bytes | str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    client.settimeout(10)
                    self.heard.append(self._listen(client))

    def _listen(self, client: socket.socket) -> bytes | str:
        try:
            with self._context.wrap_socket(client, server_side=True) as secured:
                return secured.recv(len(HEADER))
        except ssl.SSLError as error:
            return str(error.reason)
        except OSError as error:
            return type(error).__name__

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(15)


@contextmanager
def a_broker(certificate: Issued) -> Iterator[Broker]:
    broker = Broker(certificate.serving())
    try:
        yield broker
    finally:
        broker.close()


def said_to(broker: Broker, directory: Path, host: str, *options: str) -> list[bytes | str]:
    """What the broker hears of a client with these options of ``[oslo_messaging_rabbit]``."""
    file = directory / "injector.conf"
    rabbit = ("kombu_reconnect_delay = 0.1", "rabbit_retry_interval = 1", *options)
    file.write_text("\n".join(("[oslo_messaging_rabbit]", *rabbit)))
    conf = cfg.ConfigOpts()
    Bus.register(conf)
    conf([f"--config-file={file}"], project="injector")
    bus = Bus.open(conf, f"rabbit://injector:tr0ub4dor@{host}:{broker.port}/")
    with pytest.raises(BusUnavailable) as refusal:
        bus.cast("nobody", "nothing", version="1.0")
    bus.close()
    assert "tr0ub4dor" not in f"{refusal.value} {refusal.value.detail}"
    assert broker.heard, "nobody has called"
    return list(dict.fromkeys(broker.heard))


@pytest.fixture
def authority(tmp_path: Path) -> Issued:
    return an_authority(tmp_path)


def test_a_trusted_broker_is_spoken_to_in_tls(tmp_path: Path, authority: Issued) -> None:
    with a_broker(a_server(tmp_path, authority)) as broker:
        heard = said_to(broker, tmp_path, "localhost", "ssl = true", f"ssl_ca_file = {authority.chain}")
    assert heard == [HEADER]


def test_a_broker_that_another_authority_vouches_for_is_told_nothing(tmp_path: Path, authority: Issued) -> None:
    stranger = an_authority(tmp_path, "stranger")
    with a_broker(a_server(tmp_path, stranger)) as broker:
        heard = said_to(broker, tmp_path, "localhost", "ssl = true", f"ssl_ca_file = {authority.chain}")
    assert heard == ["TLSV1_ALERT_UNKNOWN_CA"]


def test_a_broker_of_another_name_is_told_nothing(tmp_path: Path, authority: Issued) -> None:
    with a_broker(a_server(tmp_path, authority, "elsewhere.example")) as broker:
        heard = said_to(broker, tmp_path, "localhost", "ssl = true", f"ssl_ca_file = {authority.chain}")
    assert HEADER not in heard


def test_without_a_file_of_authorities_those_of_the_system_are_asked(tmp_path: Path, authority: Issued) -> None:
    with a_broker(a_server(tmp_path, authority)) as broker:
        heard = said_to(broker, tmp_path, "localhost", "ssl = true")
    assert HEADER not in heard


def test_without_the_option_there_is_no_tls(tmp_path: Path, authority: Issued) -> None:
    with a_broker(a_server(tmp_path, authority)) as broker:
        heard = said_to(broker, tmp_path, "localhost")
    assert heard == ["WRONG_VERSION_NUMBER"]
