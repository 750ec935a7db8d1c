"""The published Python client: every operation of the API over the bus, bytes in, documents out.

    from oslo_config import cfg
    from injector.rpc import BootOptions, Client, File

    with Client.connect(cfg.ConfigOpts(), "rabbit://injector:secret@broker/") as client:
        made = client.boot("web", image_id, flavor_id, BootOptions(files=(File("/etc/motd", b"hello"),)))

Documents are those of REST at its newest microversion. Each method raises the errors of ``injector.errors`` that the
operation ends in; BusUnavailable when nobody answers. ``local://`` exists only inside ``injector serve``. The bytes of
an image do not travel on the bus: they are uploaded with ``PUT /v2/images/{id}/file``.

What a boot is given, and the password that is its answer, are sealed for the api (``injector.rpc.sealing``): the broker
does not see them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from injector.errors import BusUnavailable, KeyUnknown
from injector.model.context import Context
from injector.rpc.bus import Bus, Options
from injector.rpc.sealing import Sealer

TOPIC = "injector-api"
VERSION = "1.1"
"""1.1: ``sealing_key``, operations that take their body sealed, and what is done to hosts."""

_SINCE_FIRST = "1.0"

_PAGE = 1000

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """One file to inject; ``mode`` and ``owner`` (``user`` or ``user:group``) where the channel can give them.

    ``best_effort``: boot even if it cannot be delivered.
    """

    path: str
    content: bytes
    mode: int | None = None
    owner: str | None = None
    best_effort: bool = False

    def document(self) -> Document:
        said: Document = {"path": self.path, "contents": b64encode(self.content).decode()}
        if self.mode is not None:
            said["injector:mode"] = f"{self.mode:04o}"
        if self.owner is not None:
            said["injector:owner"] = self.owner
        if self.best_effort:
            said["injector:best_effort"] = True
        return said


@dataclass(frozen=True, slots=True)
class Card:
    """One card to plug, by the id of its network; ``tag`` is the role it plays, told to the guest."""

    network_id: str
    fixed_ip: str | None = None
    tag: str | None = None

    def document(self) -> Document:
        said = {"uuid": self.network_id, "fixed_ip": self.fixed_ip, "tag": self.tag}
        return {key: value for key, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What a guest is given beside its image and flavor; ``best_effort`` names kinds of item that may be left out.

    ``more_keys`` are names of key pairs beside ``key_name``; ``disk_tag`` is the role of the root disk.
    ``client_token`` is a word of the caller's own for this request: asked again with it, nothing is booted twice.
    """

    key_name: str | None = None
    more_keys: tuple[str, ...] = ()
    user_data: bytes | None = None
    files: tuple[File, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    networks: Literal["auto", "none"] | tuple[Card, ...] = "auto"
    config_drive: bool | None = None
    admin_password: str | None = None
    availability_zone: str | None = None
    hostname: str | None = None
    min_count: int = 1
    max_count: int | None = None
    best_effort: tuple[str, ...] = ()
    disk_tag: str | None = None
    client_token: str | None = None

    def document(self, image_id: str) -> Document:
        """As a ``server`` of the create call has it."""
        said: Document = {
            "key_name": self.key_name,
            "injector:keys": list(self.more_keys) or None,
            "user_data": None if self.user_data is None else b64encode(self.user_data).decode(),
            "personality": [file.document() for file in self.files] or None,
            "metadata": dict(self.metadata) or None,
            "config_drive": self.config_drive,
            "adminPass": self.admin_password,
            "availability_zone": self.availability_zone,
            "hostname": self.hostname,
            "min_count": self.min_count,
            "max_count": self.max_count,
            "injector:best_effort": list(self.best_effort) or None,
            "injector:client_token": self.client_token,
            "block_device_mapping_v2": None if self.disk_tag is None else [_root_disk(image_id, self.disk_tag)],
        }
        networks = self.networks if isinstance(self.networks, str) else [card.document() for card in self.networks]
        return {key: value for key, value in said.items() if value is not None} | {"networks": networks or "none"}


def _root_disk(image_id: str, tag: str) -> Document:
    """The image as a block device: the only place of a request that has a tag for it."""
    return {"uuid": image_id, "boot_index": 0, "source_type": "image", "destination_type": "local", "tag": tag}


@dataclass(frozen=True, slots=True)
class Booted:
    """The servers of one request; ``admin_password`` is told here and nowhere else."""

    servers: tuple[Document, ...]
    reservation_id: str
    admin_password: str | None


class Keep(Enum):
    """What stands for "as it was" where None means "nothing"."""

    AS_IT_WAS = "as it was"


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """What a guest is given when it is made anew; whatever is not named here it is given as it was.

    ``key_name`` None: no key at all; ``user_data`` None: none; ``files`` and ``metadata`` replace all there were.
    ``admin_password`` None: a new one is made. ``name`` None: as it was.
    """

    name: str | None = None
    key_name: str | Keep | None = Keep.AS_IT_WAS
    more_keys: tuple[str, ...] | Keep = Keep.AS_IT_WAS
    user_data: bytes | Keep | None = Keep.AS_IT_WAS
    files: tuple[File, ...] | Keep = Keep.AS_IT_WAS
    metadata: Mapping[str, str] | Keep = Keep.AS_IT_WAS
    admin_password: str | None = None
    best_effort: tuple[str, ...] | Keep = Keep.AS_IT_WAS

    def document(self) -> Document:
        """As a ``rebuild`` has it, but for its image."""
        said: Document = {name: value for name, value in self._plain().items() if value is not Keep.AS_IT_WAS}
        if self.name is not None:
            said["name"] = self.name
        if self.admin_password is not None:
            said["adminPass"] = self.admin_password
        if isinstance(self.user_data, bytes):
            said["user_data"] = b64encode(self.user_data).decode()
        return said

    def _plain(self) -> Document:
        return {
            "key_name": self.key_name,
            "injector:keys": _each(self.more_keys, str),
            "user_data": self.user_data,
            "personality": _each(self.files, File.document),
            "metadata": self.metadata if isinstance(self.metadata, Keep) else dict(self.metadata),
            "injector:best_effort": _each(self.best_effort, str),
        }


_Given = TypeVar("_Given")


def _each(given: tuple[_Given, ...] | Keep, say: Callable[[_Given], Any]) -> list[Any] | Keep:
    return given if isinstance(given, Keep) else [say(one) for one in given]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A server that is being made anew; ``admin_password`` is told here and nowhere else."""

    server: Document
    admin_password: str | None


class Client:
    """For any number of threads. ``context`` says who calls; None is the request of the thread, or a new one."""

    def __init__(self, bus: Bus, context: Context | None = None) -> None:
        self._bus = bus
        self._context = context
        self._sealer: Sealer | None = None

    @classmethod
    def connect(cls, conf: Options, url: str | None = None) -> Self:
        """Over a connection of its own; BusUnavailable at once where ``local://`` is not served in this process."""
        return cls(Bus.connect(conf, url))

    def close(self) -> None:
        """Close the connection."""
        self._bus.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    # servers

    def boot(self, name: str, image_id: str, flavor_id: str, options: BootOptions | None = None) -> Booted:
        """Returns once the records are durable; the guests are still being built then."""
        server = {"name": name, "imageRef": image_id, "flavorRef": flavor_id}
        return self.create_servers(server | (options or BootOptions()).document(image_id))

    def preview(self, name: str, image_id: str, flavor_id: str, options: BootOptions | None = None) -> Document:
        """What ``boot`` would do: the choice, the files of the channel with their digests, the domain; nothing is done.

        Raises what ``boot`` would.
        """
        server = {"name": name, "imageRef": image_id, "flavorRef": flavor_id}
        return self.preview_server(server | (options or BootOptions()).document(image_id))

    def preview_server(self, server: Mapping[str, Any]) -> Document:
        """The same from a ``server`` document as REST has it."""
        seen: Document = self._call_sealed("preview_server", {"server": dict(server)})
        return seen

    def create_servers(self, server: Mapping[str, Any]) -> Booted:
        """The same from a ``server`` document as REST has it."""
        made = self._call_sealed("create_servers", {"server": dict(server)})
        return Booted(tuple(made["servers"]), made["reservation_id"], made["admin_password"])

    def servers(self, **parameters: str | int | bool) -> list[Document]:
        """The newest first; ``name``, ``status``, ``host``, ``limit``, ``marker``, ``deleted``, … as in REST."""
        return self._pages("find_servers", parameters, "id")

    def show(self, server_id: str) -> Document:
        return self._document("show_server", server_id=server_id)

    def delete(self, server_id: str) -> None:
        """Begin to delete it; it is gone when ``show`` raises NotFound."""
        self._call("delete_server", server_id=server_id)

    def start(self, server_id: str) -> None:
        self._act(server_id, {"os-start": None})

    def stop(self, server_id: str) -> None:
        self._act(server_id, {"os-stop": None})

    def reboot(self, server_id: str, *, hard: bool = False) -> None:
        self._act(server_id, {"reboot": {"type": "HARD" if hard else "SOFT"}})

    def pause(self, server_id: str) -> None:
        self._act(server_id, {"pause": None})

    def unpause(self, server_id: str) -> None:
        self._act(server_id, {"unpause": None})

    def suspend(self, server_id: str) -> None:
        """Save its memory to disk and stop it; ``resume`` goes on where it was."""
        self._act(server_id, {"suspend": None})

    def resume(self, server_id: str) -> None:
        self._act(server_id, {"resume": None})

    def rebuild(self, server_id: str, image_id: str | None = None, options: RebuildOptions | None = None) -> Rebuilt:
        """Begin to make the guest anew from an image (None: the one it has), under its id, addresses and host name.

        Its disk is lost. What ``options`` do not name is delivered again as it was.
        """
        image_id = image_id or str(self.show(server_id)["image"]["id"])
        return self.rebuild_server(server_id, {"imageRef": image_id} | (options or RebuildOptions()).document())

    def rebuild_server(self, server_id: str, rebuild: Mapping[str, Any]) -> Rebuilt:
        """The same from a ``rebuild`` document as REST has it."""
        view: Document = self._call_sealed("act", {"rebuild": dict(rebuild)}, server_id=server_id)
        password = view.pop("adminPass", None)
        return Rebuilt(view, password)

    def console_log(self, server_id: str, lines: int | None = None) -> str:
        """The last ``lines`` of the console, harmless to print; None is all that is kept."""
        return str(self._act(server_id, {"os-getConsoleOutput": {"length": lines}}))

    def refresh(self, server_id: str, *, policy: str | None = None, to: int | None = None) -> Document:
        """Begin to give it another config drive, of the record as it is now; what that means, and when it is there.

        ``policy``: ``keep-id`` (the default) or ``new-id``; ``to``: back to that generation instead.
        """
        asked = {name: value for name, value in (("policy", policy), ("to", to)) if value is not None}
        begun: Document = self._call("act", server_id=server_id, body={"injector:refresh": asked})
        return begun

    def generations(self, server_id: str) -> list[Document]:
        """The config drives that are kept, the oldest first."""
        found: list[Document] = self._call("find_generations", server_id=server_id)
        return found

    def compare_generations(self, server_id: str, one: int, other: int) -> list[Document]:
        """What is added, removed or changed from ``one`` to ``other``; empty when they are the same to the byte."""
        found: list[Document] = self._call("compare_generations", server_id=server_id, pair=f"{one},{other}")
        return found

    def diff(self, server_id: str) -> list[Document]:
        """What a refresh now would change on the config drive: names of files and of what is in them."""
        found: list[Document] = self._call("diff_server", server_id=server_id)
        return found

    def verify(self, server_id: str) -> Document:
        """Whether the drive on the host is what was delivered, and a sentence for each difference."""
        return self._document("verify_server", server_id=server_id)

    def receipt(self, server_id: str) -> Document:
        """What was delivered, item by item; NotFound until something was."""
        return self._document("show_receipt", server_id=server_id)

    def metadata(self, server_id: str) -> Document:
        return self._document("show_metadata", server_id=server_id)

    def set_metadata(self, server_id: str, metadata: Mapping[str, str], *, replace: bool = False) -> Document:
        """Merge into the record's metadata, or replace it; what the guest was given stays as it is."""
        return self._document("set_metadata", server_id=server_id, body={"metadata": dict(metadata)}, replace=replace)

    def delete_metadata(self, server_id: str, key: str) -> None:
        self._call("delete_metadata", server_id=server_id, key=key)

    # key pairs, flavors, images, networks, hosts

    def add_keypair(self, name: str, public_key: str) -> Document:
        return self._document("create_keypair", body={"keypair": {"name": name, "public_key": public_key}})

    def keypairs(self) -> list[Document]:
        return self._find("find_keypairs", {})

    def keypair(self, name: str) -> Document:
        return self._document("show_keypair", name=name)

    def delete_keypair(self, name: str) -> None:
        self._call("delete_keypair", name=name)

    def create_flavor(self, flavor: Mapping[str, Any]) -> Document:
        """``name``, ``vcpus``, ``ram`` in MiB, ``disk`` in GiB, and perhaps ``id``."""
        return self._document("create_flavor", body={"flavor": dict(flavor)})

    def flavors(self, **parameters: str | int) -> list[Document]:
        return self._find("find_flavors", parameters)

    def flavor(self, flavor_id: str) -> Document:
        return self._document("show_flavor", flavor_id=flavor_id)

    def delete_flavor(self, flavor_id: str) -> None:
        self._call("delete_flavor", flavor_id=flavor_id)

    def create_image(self, image: Mapping[str, Any]) -> Document:
        """A record that waits for its bytes: ``name``, ``disk_format``, properties."""
        return self._document("create_image", body=dict(image))

    def images(self, **parameters: str | int) -> list[Document]:
        return self._find("find_images", parameters)

    def image(self, image_id: str) -> Document:
        return self._document("show_image", image_id=image_id)

    def delete_image(self, image_id: str) -> None:
        self._call("delete_image", image_id=image_id)

    def create_network(self, network: Mapping[str, Any]) -> Document:
        """``name``, ``injector:kind`` and what that kind needs, as REST has it."""
        return self._document("create_network", body={"network": dict(network)})

    def networks(self, **parameters: str | int) -> list[Document]:
        return self._find("find_networks", parameters)

    def network(self, network_id: str) -> Document:
        return self._document("show_network", network_id=network_id)

    def delete_network(self, network_id: str) -> None:
        self._call("delete_network", network_id=network_id)

    def hosts(self, **parameters: str | int) -> list[Document]:
        """What each compute last said of itself, by name; ``limit`` and ``marker`` (a name) page through them."""
        return self._pages("find_hosts", parameters, "name", since=VERSION)

    def host(self, name: str) -> Document:
        return self._document("show_host", since=VERSION, name=name)

    def enable_host(self, name: str) -> Document:
        return self._document("enable_host", since=VERSION, name=name)

    def disable_host(self, name: str, reason: str | None = None) -> Document:
        """It gets no more guests; those it has stay."""
        return self._document("disable_host", since=VERSION, name=name, reason=reason)

    def drain_host(self, name: str, reason: str | None = None) -> list[str]:
        """Disable it, and move what was not yet allowed to start there; the ids of the servers that are left on it."""
        left: list[str] = self._call("drain_host", since=VERSION, name=name, reason=reason)
        return left

    def evacuate_host(self, name: str) -> list[str]:
        """On your word that it is dead: make its guests anew elsewhere; the ids of those servers.

        A guest that still runs there would run twice. Conflict while the host gives signs of life.
        """
        moved: list[str] = self._call("evacuate_host", since=VERSION, name=name)
        return moved

    def forget_host(self, name: str) -> None:
        """Remove its record; Conflict while there are servers on it, or it gives signs of life."""
        self._call("forget_host", since=VERSION, name=name)

    def limits(self) -> Document:
        return self._document("show_limits")

    # how it is asked

    def _act(self, server_id: str, action: Document) -> str | None:
        output: str | None = self._call("act", server_id=server_id, body=action)
        return output

    def _pages(
        self, method: str, parameters: Mapping[str, str | int | bool], marked_by: str, *, since: str = _SINCE_FIRST
    ) -> list[Document]:
        """One page where a limit was given, else all of them."""
        found = page = self._find(method, parameters, since=since)
        while "limit" not in parameters and len(page) == _PAGE:
            page = self._find(method, {**parameters, "marker": page[-1][marked_by]}, since=since)
            found = found + page
        return found

    def _find(
        self, method: str, parameters: Mapping[str, str | int | bool], *, since: str = _SINCE_FIRST
    ) -> list[Document]:
        asked = {name: str(value) for name, value in parameters.items()}
        found: list[Document] = self._call(method, since=since, parameters=asked)
        return found

    def _document(self, method: str, **arguments: Any) -> Document:
        document: Document = self._call(method, **arguments)
        return document

    def _call(self, method: str, *, since: str = _SINCE_FIRST, **arguments: Any) -> Any:
        return self._bus.call(TOPIC, method, version=since, context=self._context, **arguments)

    def _call_sealed(self, method: str, body: Document, **arguments: Any) -> Any:
        """With a body that may hold secrets; so may the answer. The api's key may have been rotated meanwhile."""
        try:
            return self._call_once_sealed(self._sealer or self._learn(), method, body, arguments)
        except KeyUnknown:
            return self._call_once_sealed(self._learn(), method, body, arguments)

    def _call_once_sealed(self, sealer: Sealer, method: str, body: Document, arguments: Document) -> Any:
        question = sealer.seal(method, body)
        said = arguments | {"sealed": question.document}
        return question.answer(self._bus.call(TOPIC, method, version=VERSION, context=self._context, **said))

    def _learn(self) -> Sealer:
        told = self._bus.call(TOPIC, "sealing_key", version=VERSION, context=self._context)
        try:
            self._sealer = sealer = Sealer(told)
        except (KeyError, TypeError, ValueError) as error:
            raise BusUnavailable("the api told a key that is none") from error
        return sealer
