"""The `injector` command in this process, against canned answers; unit tests have both as ``run`` and ``api``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from injector.client.shell import Shell
from tests.canned_api import CannedApi

ID = "5ca1ab1e-0000-4000-8000-000000000001"
OTHER = "5ca1ab1e-0000-4000-8000-000000000002"
IMAGE = "5ca1ab1e-1111-4000-8000-000000000001"
NETWORK = "5ca1ab1e-2222-4000-8000-000000000001"
SERVERS = "/v2.1/servers"
DETAIL = "/v2.1/servers/detail"
EVERY_BYTE = bytes(range(256))
BOOT = ("boot", "--image", "debian", "--flavor", "1", "vm")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


def a_server(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": ID,
        "name": "vm",
        "status": "ACTIVE",
        "OS-EXT-STS:task_state": None,
        "image": {"id": IMAGE},
        "flavor": {"original_name": "m1.small"},
        "addresses": {"lan": [{"addr": "10.0.0.5"}], "dhcp": []},
        "metadata": {"role": "web"},
        "config_drive": "True",
        "OS-EXT-SRV-ATTR:host": None,
        "OS-EXT-SRV-ATTR:reservation_id": "r-1",
        "OS-EXT-SRV-ATTR:launch_index": 0,
        "injector:guest": {"state": "unknown", "detail": "", "witness": None, "at": None},
        "injector:plan": {"channel": "config_drive", "reason": "the operator wants one", "drive_bus": "scsi"},
        "injector:forwards": [{"host": "127.0.0.1", "host_port": 20022, "guest_port": 22, "mac": "fa:16:3e:00:00:01"}],
        "injector:marks": [],
        "injector:request_id": "req-boot",
    }
    return known | changes


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def runner(api: CannedApi) -> Run:
    """Runs a command with its words; ``endpoint`` may be another than that of ``api``, ``typed`` is at a terminal."""

    def run(*argv: str, endpoint: str = api.endpoint, typed: str | None = None) -> Result:
        out, err = io.StringIO(), io.StringIO()
        stdin = None if typed is None else Terminal(typed)
        code = Shell(stdin=stdin, stdout=out, stderr=err).run(["--endpoint", endpoint, *argv])
        return Result(code, out.getvalue(), err.getvalue())

    return run
