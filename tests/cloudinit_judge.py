"""Runs inside an unpacked cloud-init: reads drives laid out as directories, and user-data; one JSON line in, one out.

Started by ``tests/cloudinit_reader.py`` with cloud-init and its libraries as PYTHONPATH, and never as root of a
machine's own cloud-init: it only calls the reader, which writes nothing.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from cloudinit import handlers  # type: ignore[import-not-found]
from cloudinit.net import eni  # type: ignore[import-not-found]
from cloudinit.sources import convert_vendordata  # type: ignore[import-not-found]
from cloudinit.sources.DataSourceConfigDrive import read_config_drive  # type: ignore[import-not-found]
from cloudinit.sources.helpers import openstack  # type: ignore[import-not-found]
from cloudinit.user_data import UserDataProcessor  # type: ignore[import-not-found]


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return "base64:" + base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in what cloud-init read")


def _judge(directory: str, macs: dict[str, str]) -> dict[str, Any]:
    found = read_config_drive(directory)
    for name in ("vendordata", "vendordata2"):
        convert_vendordata(found.get(name))
    network = found.get("networkdata")
    if network is not None:
        found["network"] = openstack.convert_net_json(network, known_macs=macs)
    if found.get("network_config"):
        found["interfaces"] = eni.convert_eni_data(found["network_config"])
    return dict(found)


def _parts(user_data: bytes) -> dict[str, Any]:
    """The content types that cloud-init would look for handlers of."""
    found: list[str] = []
    message = UserDataProcessor(None).process(user_data)
    handlers.walk(message, lambda _data, _name, payload, headers: found.append(headers["Content-Type"]), None)
    return {"parts": found}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "user_data" in question:
                answer = _parts(base64.b64decode(question["user_data"]))
            else:
                answer = _judge(question["directory"], question["macs"])
        except Exception as error:  # the verdict, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=_plain), flush=True)


if __name__ == "__main__":
    main()
