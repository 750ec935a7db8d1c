"""What leaves the api for one guest: everything resolved, nothing looked up again further down the road."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from injector.model.finding import Finding
from injector.model.flavor import Flavor
from injector.model.image import Image
from injector.model.keypair import KeyPair
from injector.model.network import Network
from injector.model.payload import Item
from injector.model.secret import Sealed


@dataclass(frozen=True, slots=True)
class NicOrder:
    """One card to plug: the network as it is now, and an address and a tag if the caller named one."""

    network: Network
    fixed_ip: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class BootRequest:
    """One guest to boot; ``payload`` was sealed for ``instance_id``; ``findings`` did not refuse it."""

    instance_id: str
    name: str
    hostname: str
    project_id: str
    user_id: str
    reservation_id: str
    image: Image
    flavor: Flavor
    payload: Sealed
    kernel: Image | None = None
    ramdisk: Image | None = None
    key: KeyPair | None = None
    more_keys: tuple[KeyPair, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    nics: tuple[NicOrder, ...] = ()
    disk_tag: str | None = None
    config_drive: bool = False
    availability_zone: str | None = None
    launch_index: int = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientToken:
    """The caller's own name for one create, so that asking again makes nothing again.

    ``digest`` (hex) is of all that was asked for: the same token with another digest is another request.
    """

    project_id: str
    token: str
    digest: str


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A guest to be made anew on its host, from ``image``, with its name, addresses and size.

    ``payload`` None: the same again; else ``items`` are of it. ``kernel`` and ``ramdisk`` belong to the image.
    ``seen_metadata``: what the record had when its metadata were to stay as they are.
    """

    image: Image
    kernel: Image | None = None
    ramdisk: Image | None = None
    name: str | None = None
    payload: Sealed | None = None
    items: tuple[Item, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    seen_metadata: Mapping[str, str] | None = None
    key: KeyPair | None = None
    more_keys: tuple[KeyPair, ...] = ()
    findings: tuple[Finding, ...] = ()
