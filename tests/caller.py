"""The REST API as tests say it: one method a thing that is asked, an AssertionError where the answer is another."""

from __future__ import annotations

import base64
import contextlib
import os
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

import httpx

GUESTS = Path(os.environ.get("INJECTOR_TEST_GUESTS", "/var/lib/injector-devstack/guests"))
# On a busy host an emulated timer is late, and the kernel would panic: "IO-APIC + timer doesn't work".
COMMAND_LINE = "console=ttyS0 quiet no_timer_check"
HEADERS = {"OpenStack-API-Version": "compute 2.56"}


class Caller:
    """Whoever has an HTTP client for an API; ``http`` is that, and ``words`` is what the far side has logged."""

    http: httpx.Client

    @abstractmethod
    def words(self) -> str: ...

    def answers(self) -> bool:
        """Whether there is somebody."""
        with contextlib.suppress(httpx.HTTPError):
            return self.http.get("/v2.1/").status_code == 200
        return False

    def call(self, method: str, path: str, body: object = None, expect: int | None = None) -> Any:
        answer = self.http.request(method, path, json=body)
        wanted = range(200, 300) if expect is None else (expect,)
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add_image(self, name: str, file: Path, disk_format: str, **properties: str) -> str:
        container = disk_format if disk_format in ("aki", "ari") else "bare"
        record = {"name": name, "disk_format": disk_format, "container_format": container, **properties}
        image_id = str(self.call("POST", "/v2/images", record)["id"])
        with file.open("rb") as stream:
            answer = self.http.put(
                f"/v2/images/{image_id}/file", content=stream, headers={"Content-Type": "application/octet-stream"}
            )
        assert answer.status_code == 204, answer.text
        return image_id

    def add_tiny(self, disk: str = "root", options: str = "") -> str:
        """The tiny guest as Nova has such images, kernel and ramdisk apart; ``options`` for its kernel."""
        tiny = GUESTS / "tiny"
        kernel = self.add_image("tiny-kernel", tiny / "vmlinuz", "aki")
        ramdisk = self.add_image("tiny-ramdisk", tiny / "initrd", "ari")
        properties = {"kernel_id": kernel, "ramdisk_id": ramdisk, "os_command_line": COMMAND_LINE + options}
        return self.add_image("tiny", tiny / f"{disk}.qcow2", "qcow2", **properties)

    def add_flavor(self, flavor_id: str = "1", *, ram: int = 128, disk: int = 0, vcpus: int = 1) -> str:
        body = {"id": flavor_id, "name": f"f{flavor_id}", "ram": ram, "disk": disk, "vcpus": vcpus}
        return str(self.call("POST", "/v2.1/flavors", {"flavor": body})["flavor"]["id"])

    def add_network(self, name: str = "default", kind: str = "user", **more: Any) -> str:
        ours = {f"injector:{field}": value for field, value in {"kind": kind, **more}.items()}
        return str(self.call("POST", "/v2.0/networks", {"network": {"name": name, **ours}})["network"]["id"])

    def boot(self, image: str, name: str = "guest", flavor: str = "1", **server: Any) -> str:
        body = {"server": {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none", **server}}
        return str(self.call("POST", "/v2.1/servers", body, 202)["server"]["id"])

    def boot_many(self, image: str, name: str, flavor: str = "1", **server: Any) -> str:
        """The reservation's id."""
        body = {"server": {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none", **server}}
        return str(self.call("POST", "/v2.1/servers", body, 202)["reservation_id"])

    def server(self, server_id: str) -> Any:
        return self.call("GET", f"/v2.1/servers/{server_id}")["server"]

    def servers(self) -> list[Any]:
        return list(self.call("GET", "/v2.1/servers/detail")["servers"])

    def act(self, server_id: str, action: object) -> Any:
        return self.call("POST", f"/v2.1/servers/{server_id}/action", action)

    def receipt(self, server_id: str) -> Any:
        return self.call("GET", f"/v2.1/servers/{server_id}/injector-receipt")["receipt"]

    def console(self, server_id: str) -> str:
        return str(self.act(server_id, {"os-getConsoleOutput": {"length": None}})["output"])

    def wait_for_status(self, server_id: str, *statuses: str, seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            server = self.server(server_id)
            if server["status"] in statuses:
                return server
            assert server["status"] != "ERROR", server.get("fault")
            time.sleep(0.1)
        raise AssertionError(f"still {server['status']}, not {statuses}: {self.words()[-3000:]}")

    def wait_for_guest(self, server_id: str, *states: str, seconds: float = 240) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            server = self.server(server_id)
            if server["injector:guest"]["state"] in states:
                return server
            time.sleep(0.25)
        raise AssertionError(f"the guest says {server['injector:guest']}: {self.console(server_id)[-3000:]}")

    def delete(self, server_id: str) -> None:
        self.call("DELETE", f"/v2.1/servers/{server_id}", expect=204)

    def wait_until_gone(self, server_id: str, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.http.get(f"/v2.1/servers/{server_id}").status_code == 404:
                return
            time.sleep(0.05)
        raise AssertionError(f"{server_id} is still there")

    def empty(self) -> None:
        """Delete every server and wait until all are gone."""
        ids = [server["id"] for server in self.servers()]
        for server_id in ids:
            self.delete(server_id)
        for server_id in ids:
            self.wait_until_gone(server_id)


def b64(content: bytes | str) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
