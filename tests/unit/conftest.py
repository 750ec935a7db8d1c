"""The `injector` command against canned answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.client import console, watch
from tests.canned_api import CannedApi
from tests.commands import DETAIL, ID, IMAGE, NETWORK, SERVERS, Run, a_server, runner


@pytest.fixture
def api(tmp_path: Path) -> Iterator[CannedApi]:
    with CannedApi(tmp_path / "api.sock") as canned:
        canned.answer("GET", "/v2/images", {"images": [{"id": IMAGE, "name": "debian"}]})
        canned.answer("GET", "/v2.1/flavors/1", {"flavor": {"id": "1", "name": "m1.small"}})
        canned.answer("GET", "/v2.1/flavors/detail", {"flavors": [{"id": "1", "name": "m1.small"}]})
        canned.answer("GET", "/v2.0/networks", {"networks": [{"id": NETWORK, "name": "lan"}]})
        canned.answer("GET", DETAIL, {"servers": [a_server()]})
        canned.answer("POST", SERVERS, {"server": {"id": ID, "adminPass": "s3cret"}}, status=202)
        canned.answer("GET", f"{SERVERS}/{ID}", {"server": a_server()})
        yield canned


@pytest.fixture
def run(api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> Run:
    for module, name in ((watch, "FAST"), (watch, "SLOW"), (console, "INTERVAL")):
        monkeypatch.setattr(module, name, 0.01)
    return runner(api)
