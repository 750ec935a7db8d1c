"""Two ways to ask the api for the same: over REST on a real socket, and with the published RPC client.

A speaker's methods take and give documents; a request that is refused raises Refusal, whichever way it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import httpx

from injector.api import faults
from injector.errors import InjectorError
from injector.rpc import Client

Document = dict[str, Any]


class Refusal(Exception):
    """``status`` as HTTP has it, and the message for people."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


class Speaker(Protocol):
    def create_server(self, server: Mapping[str, Any]) -> tuple[list[str], str | None]:
        """The ids, and the password."""
        ...

    def preview(self, server: Mapping[str, Any]) -> Document: ...
    def servers(self, **parameters: str) -> list[Document]: ...
    def server(self, server_id: str) -> Document: ...
    def delete_server(self, server_id: str) -> None: ...
    def start(self, server_id: str) -> None: ...
    def stop(self, server_id: str) -> None: ...
    def reboot(self, server_id: str, hard: bool) -> None: ...
    def switch(self, server_id: str, word: str) -> None:
        """Pause, unpause, suspend or resume it."""
        ...

    def rebuild(self, server_id: str, rebuild: Mapping[str, Any]) -> tuple[Document, str | None]:
        """The server, and its new password."""
        ...

    def console(self, server_id: str, lines: int | None) -> str: ...
    def receipt(self, server_id: str) -> Document: ...
    def refresh(self, server_id: str, **wanted: Any) -> Document: ...
    def generations(self, server_id: str) -> list[Document]: ...
    def compare(self, server_id: str, one: int, other: int) -> list[Document]: ...
    def verify(self, server_id: str) -> Document: ...
    def diff(self, server_id: str) -> list[Document]: ...
    def metadata(self, server_id: str) -> Document: ...
    def set_metadata(self, server_id: str, metadata: Mapping[str, str], replace: bool) -> Document: ...
    def delete_metadata(self, server_id: str, key: str) -> None: ...
    def create(self, kind: str, document: Mapping[str, Any]) -> Document: ...
    def all(self, kind: str, **parameters: str) -> list[Document]: ...
    def one(self, kind: str, identity: str) -> Document: ...
    def delete(self, kind: str, identity: str) -> None: ...
    def hosts(self, **parameters: str) -> list[Document]: ...
    def host(self, name: str) -> Document: ...
    def enable_host(self, name: str) -> Document: ...
    def disable_host(self, name: str, reason: str | None) -> Document: ...
    def drain_host(self, name: str, reason: str | None) -> list[str]: ...
    def evacuate_host(self, name: str) -> list[str]: ...
    def forget_host(self, name: str) -> None: ...
    def limits(self) -> Document: ...


PATHS = {
    "keypair": "/v2.1/os-keypairs",
    "flavor": "/v2.1/flavors",
    "image": "/v2/images",
    "network": "/v2.0/networks",
}


class RestSpeaker:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _ask(self, method: str, path: str, **arguments: Any) -> Document:
        answer = self._client.request(method, path, **arguments)
        if answer.is_success:
            return dict(answer.json()) if answer.content else {}
        (body,) = answer.json().values()
        assert body["code"] == answer.status_code
        raise Refusal(answer.status_code, body["message"])

    def create_server(self, server: Mapping[str, Any]) -> tuple[list[str], str | None]:
        text = json.dumps({"server": dict(server)})  # ASCII: httpx itself cannot say half a character
        said = {"content": text, "headers": {"Content-Type": "application/json"}}
        made = self._ask("POST", "/v2.1/servers", **said)["server"]
        reservation = self.server(made["id"])["OS-EXT-SRV-ATTR:reservation_id"]
        together = self.servers(reservation_id=reservation)
        together.sort(key=lambda view: int(view["OS-EXT-SRV-ATTR:launch_index"]))
        return [view["id"] for view in together], made.get("adminPass")

    def preview(self, server: Mapping[str, Any]) -> Document:
        return dict(self._ask("POST", "/v2.1/servers/injector-preview", json={"server": dict(server)})["preview"])

    def servers(self, **parameters: str) -> list[Document]:
        return list(self._ask("GET", "/v2.1/servers/detail", params=parameters)["servers"])

    def server(self, server_id: str) -> Document:
        return dict(self._ask("GET", f"/v2.1/servers/{server_id}")["server"])

    def delete_server(self, server_id: str) -> None:
        self._ask("DELETE", f"/v2.1/servers/{server_id}")

    def _act(self, server_id: str, action: Document) -> Document:
        return self._ask("POST", f"/v2.1/servers/{server_id}/action", json=action)

    def start(self, server_id: str) -> None:
        self._act(server_id, {"os-start": None})

    def stop(self, server_id: str) -> None:
        self._act(server_id, {"os-stop": None})

    def reboot(self, server_id: str, hard: bool) -> None:
        self._act(server_id, {"reboot": {"type": "HARD" if hard else "SOFT"}})

    def switch(self, server_id: str, word: str) -> None:
        self._act(server_id, {word: None})

    def rebuild(self, server_id: str, rebuild: Mapping[str, Any]) -> tuple[Document, str | None]:
        view = dict(self._act(server_id, {"rebuild": dict(rebuild)})["server"])
        return view, view.pop("adminPass", None)

    def console(self, server_id: str, lines: int | None) -> str:
        return str(self._act(server_id, {"os-getConsoleOutput": {"length": lines}})["output"])

    def receipt(self, server_id: str) -> Document:
        return dict(self._ask("GET", f"/v2.1/servers/{server_id}/injector-receipt")["receipt"])

    def refresh(self, server_id: str, **wanted: Any) -> Document:
        return dict(self._act(server_id, {"injector:refresh": wanted})["refresh"])

    def generations(self, server_id: str) -> list[Document]:
        return list(self._ask("GET", f"/v2.1/servers/{server_id}/injector-generations")["generations"])

    def compare(self, server_id: str, one: int, other: int) -> list[Document]:
        asked = {"compare": f"{one},{other}"}
        found = self._ask("GET", f"/v2.1/servers/{server_id}/injector-generations", params=asked)
        return list(found["differences"])

    def diff(self, server_id: str) -> list[Document]:
        return list(self._ask("GET", f"/v2.1/servers/{server_id}/injector-diff")["differences"])

    def verify(self, server_id: str) -> Document:
        return dict(self._ask("GET", f"/v2.1/servers/{server_id}/injector-verify")["verify"])

    def metadata(self, server_id: str) -> Document:
        return dict(self._ask("GET", f"/v2.1/servers/{server_id}/metadata")["metadata"])

    def set_metadata(self, server_id: str, metadata: Mapping[str, str], replace: bool) -> Document:
        body = {"metadata": dict(metadata)}
        return dict(
            self._ask("PUT" if replace else "POST", f"/v2.1/servers/{server_id}/metadata", json=body)["metadata"]
        )

    def delete_metadata(self, server_id: str, key: str) -> None:
        self._ask("DELETE", f"/v2.1/servers/{server_id}/metadata/{key}")

    def create(self, kind: str, document: Mapping[str, Any]) -> Document:
        if kind == "image":
            return self._ask("POST", PATHS[kind], json=dict(document))
        return dict(self._ask("POST", PATHS[kind], json={kind: dict(document)})[kind])

    def all(self, kind: str, **parameters: str) -> list[Document]:
        path = PATHS[kind] + ("/detail" if kind == "flavor" else "")
        found = list(self._ask("GET", path, params=parameters)[f"{kind}s"])
        return [item["keypair"] for item in found] if kind == "keypair" else found

    def one(self, kind: str, identity: str) -> Document:
        document = self._ask("GET", f"{PATHS[kind]}/{identity}")
        return document if kind == "image" else dict(document[kind])

    def delete(self, kind: str, identity: str) -> None:
        self._ask("DELETE", f"{PATHS[kind]}/{identity}")

    def hosts(self, **parameters: str) -> list[Document]:
        return list(self._ask("GET", "/v2.1/injector-hosts", params=parameters)["hosts"])

    def host(self, name: str) -> Document:
        return dict(self._ask("GET", f"/v2.1/injector-hosts/{name}")["host"])

    def _act_on_host(self, name: str, action: Document) -> Document:
        return self._ask("POST", f"/v2.1/injector-hosts/{name}/action", json=action)

    def enable_host(self, name: str) -> Document:
        return dict(self._act_on_host(name, {"enable": None})["host"])

    def disable_host(self, name: str, reason: str | None) -> Document:
        return dict(self._act_on_host(name, {"disable": {"reason": reason}})["host"])

    def drain_host(self, name: str, reason: str | None) -> list[str]:
        return list(self._act_on_host(name, {"drain": {"reason": reason}})["servers"])

    def evacuate_host(self, name: str) -> list[str]:
        return list(self._act_on_host(name, {"evacuate": None})["servers"])

    def forget_host(self, name: str) -> None:
        self._ask("DELETE", f"/v2.1/injector-hosts/{name}")

    def limits(self) -> Document:
        return dict(self._ask("GET", "/v2.1/limits")["limits"]["absolute"])


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except InjectorError as error:
        raise Refusal(error.status, faults.sentence(error)) from error


class RpcSpeaker:
    def __init__(self, client: Client) -> None:
        self._client = client

    def create_server(self, server: Mapping[str, Any]) -> tuple[list[str], str | None]:
        with _refusals():
            made = self._client.create_servers(server)
        return [view["id"] for view in made.servers], made.admin_password

    def preview(self, server: Mapping[str, Any]) -> Document:
        with _refusals():
            return self._client.preview_server(server)

    def servers(self, **parameters: str) -> list[Document]:
        with _refusals():
            return self._client.servers(**parameters)

    def server(self, server_id: str) -> Document:
        with _refusals():
            return self._client.show(server_id)

    def delete_server(self, server_id: str) -> None:
        with _refusals():
            self._client.delete(server_id)

    def start(self, server_id: str) -> None:
        with _refusals():
            self._client.start(server_id)

    def stop(self, server_id: str) -> None:
        with _refusals():
            self._client.stop(server_id)

    def reboot(self, server_id: str, hard: bool) -> None:
        with _refusals():
            self._client.reboot(server_id, hard=hard)

    def switch(self, server_id: str, word: str) -> None:
        with _refusals():
            getattr(self._client, word)(server_id)

    def rebuild(self, server_id: str, rebuild: Mapping[str, Any]) -> tuple[Document, str | None]:
        with _refusals():
            begun = self._client.rebuild_server(server_id, rebuild)
        return begun.server, begun.admin_password

    def console(self, server_id: str, lines: int | None) -> str:
        with _refusals():
            return self._client.console_log(server_id, lines)

    def receipt(self, server_id: str) -> Document:
        with _refusals():
            return self._client.receipt(server_id)

    def refresh(self, server_id: str, **wanted: Any) -> Document:
        with _refusals():
            return self._client.refresh(server_id, **wanted)

    def generations(self, server_id: str) -> list[Document]:
        with _refusals():
            return self._client.generations(server_id)

    def compare(self, server_id: str, one: int, other: int) -> list[Document]:
        with _refusals():
            return self._client.compare_generations(server_id, one, other)

    def diff(self, server_id: str) -> list[Document]:
        with _refusals():
            return self._client.diff(server_id)

    def verify(self, server_id: str) -> Document:
        with _refusals():
            return self._client.verify(server_id)

    def metadata(self, server_id: str) -> Document:
        with _refusals():
            return self._client.metadata(server_id)

    def set_metadata(self, server_id: str, metadata: Mapping[str, str], replace: bool) -> Document:
        with _refusals():
            return self._client.set_metadata(server_id, metadata, replace=replace)

    def delete_metadata(self, server_id: str, key: str) -> None:
        with _refusals():
            self._client.delete_metadata(server_id, key)

    def create(self, kind: str, document: Mapping[str, Any]) -> Document:
        with _refusals():
            if kind == "keypair":
                return self._client.add_keypair(**document)
            return dict(getattr(self._client, f"create_{kind}")(document))

    def all(self, kind: str, **parameters: str) -> list[Document]:
        with _refusals():
            return list(getattr(self._client, f"{kind}s")(**parameters))

    def one(self, kind: str, identity: str) -> Document:
        with _refusals():
            return dict(getattr(self._client, kind)(identity))

    def delete(self, kind: str, identity: str) -> None:
        with _refusals():
            getattr(self._client, f"delete_{kind}")(identity)

    def hosts(self, **parameters: str) -> list[Document]:
        with _refusals():
            return self._client.hosts(**parameters)

    def host(self, name: str) -> Document:
        with _refusals():
            return self._client.host(name)

    def enable_host(self, name: str) -> Document:
        with _refusals():
            return self._client.enable_host(name)

    def disable_host(self, name: str, reason: str | None) -> Document:
        with _refusals():
            return self._client.disable_host(name, reason)

    def drain_host(self, name: str, reason: str | None) -> list[str]:
        with _refusals():
            return self._client.drain_host(name, reason)

    def evacuate_host(self, name: str) -> list[str]:
        with _refusals():
            return self._client.evacuate_host(name)

    def forget_host(self, name: str) -> None:
        with _refusals():
            self._client.forget_host(name)

    def limits(self) -> Document:
        with _refusals():
            return self._client.limits()
