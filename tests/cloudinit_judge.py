"""Runs inside an unpacked cloud-init: reads drives laid out as directories, and user-data; one JSON line in, one out.

Started by ``tests/cloudinit_reader.py`` with cloud-init and its libraries as PYTHONPATH, and never as root of a
machine's own cloud-init: it only calls the reader, which writes nothing.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from typing import Any

from cloudinit import handlers, util  # type: ignore[import-not-found]
from cloudinit.config import cc_set_passwords  # type: ignore[import-not-found]
from cloudinit.handlers.cloud_config import CloudConfigPartHandler  # type: ignore[import-not-found]
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


_OF_THE_IMAGE = {"users": ["default"]}
"""What the configuration of every distribution has."""


class _Distro:
    """A guest that notes what would be done to its users."""

    name = "debian"

    def __init__(self) -> None:
        self.passwords: list[tuple[str, str, bool]] = []
        self.expired: list[str] = []

    def chpasswd(self, pairs: list[tuple[str, str]], hashed: bool) -> None:
        self.passwords += [(user, password, hashed) for user, password in pairs]

    def expire_passwd(self, user: str) -> None:
        self.expired.append(user)

    def get_default_user(self) -> dict[str, str]:
        return {"name": "debian"}

    def get_option(self, _name: str, default: str) -> str:
        return default

    def manage_service(self, _action: str, _service: str) -> None:
        pass


class _Guest:
    def __init__(self) -> None:
        self.distro = _Distro()


class _Nowhere:
    """cloud-init's paths: nothing is written by what is called here."""

    def get_ipath(self, _name: str) -> None:
        return None


def _merged(raw: Any) -> dict[str, Any]:
    """The cloud-config that the parts of some user-data or vendor data make together."""
    handler = CloudConfigPartHandler(_Nowhere())

    def take(_data: Any, name: str, payload: Any, headers: Any) -> None:
        if headers["Content-Type"] == "text/cloud-config":
            handler.handle_part(None, "text/cloud-config", name, payload, None, headers)

    handlers.walk(UserDataProcessor(None).process(raw), take, None)
    return handler.cloud_buf or {}


def _passwords(directory: str) -> dict[str, Any]:
    """Which passwords cloud-init's module would set in a guest with this drive, and the vendor data's cloud-config."""
    found = read_config_drive(directory)
    vendor, vendor2 = (_merged(convert_vendordata(found.get(name)) or "") for name in ("vendordata", "vendordata2"))
    config = util.mergemanydict([_merged(found.get("userdata") or ""), vendor2, vendor, _OF_THE_IMAGE])
    # It would be done to this host's sshd.
    config.pop("ssh_pwauth", None)
    guest = _Guest()
    cc_set_passwords.handle("set-passwords", config, guest, logging.getLogger("judge"), [])
    return {"set": guest.distro.passwords, "expired": guest.distro.expired, "vendor": vendor, "vendor2": vendor2}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "user_data" in question:
                answer = _parts(base64.b64decode(question["user_data"]))
            elif "passwords" in question:
                answer = _passwords(question["passwords"])
            else:
                answer = _judge(question["directory"], question["macs"])
        except Exception as error:  # the verdict, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=_plain), flush=True)


if __name__ == "__main__":
    main()
