"""What a start waits for, and what it refuses since no waiting would mend it."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
from oslo_config import cfg

from injector.cmd.patience import Ended, Patience
from injector.cmd.wiring import configure
from injector.db import open_store
from injector.errors import BusUnavailable, HostError, InvalidRequest


def test_what_is_waited_for_is_told_with_the_option_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    ending = threading.Event()

    def attempt() -> None:
        ending.set()
        raise HostError("it does not answer", field="[database] connection", detail="refused")

    with pytest.raises(Ended):
        Patience(ending, 0).until("the database", attempt)
    assert "waiting for the database: it does not answer [[database] connection] (refused)" in caplog.text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("swordfish", "cannot be read"),
        ("nosuch://u:swordfish@127.0.0.1/db", "cannot be read"),
        ("postgresql+nosuch://u:swordfish@127.0.0.1/db", "cannot be read"),
        ("postgresql+psycopg://u:x@swordfish@127.0.0.1/db", "written as %40"),
        ("postgresql+psycopg://u:x@127.0.0.1:swordfish/db", "cannot be read"),
        ("mysql+oursql://u:swordfish@127.0.0.1/db", "cannot be read"),
        ("mysql+mysqldb://u:swordfish@127.0.0.1/db", "driver is not installed"),
        ("mysql+pymysql://u:swordfish@127.0.0.1/db?nosuch=1", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_is_not_waited_for(url: str, why: str) -> None:
    patience = Patience(threading.Event(), 60)
    with pytest.raises(InvalidRequest, match=why) as caught:
        patience.until("the database", partial(open_store, url, migrate=False))
    assert caught.value.field == "[database] connection"
    assert "swordfish" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"


def configured(tmp_path: Path, transport_url: str) -> None:
    file = tmp_path / "injector.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = {transport_url}\n")
    configure(cfg.ConfigOpts(), [f"--config-file={file}"], "1")


def test_a_bus_that_cannot_be_is_refused_with_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match="transport_url cannot be read") as caught:
        configured(tmp_path, "rabbit://u:trout/fish@127.0.0.1:5672/")
    assert "trout" not in f"{caught.value!r} {caught.value.detail}"
    with pytest.raises(InvalidRequest, match="written as") as refused:
        configured(tmp_path, "rabbit://u:x$swordfish@127.0.0.1:5672/")
    assert "swordfish" not in f"{refused.value!r} {refused.value.detail}"
