"""Finds the items of a request on a config drive that was read back, as a guest's agent would look for them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import Any

from injector.inject import linux_password
from injector.inject.configdrive.tree import Tree
from injector.inject.plan import READER_MODE, ROOT_PASSWORD, canonical
from injector.inject.receipt import Seen, Thing, address_lines, tag_lines, things
from injector.model.payload import ItemKind
from injector.model.secret import Secret

_DOCUMENTS = ("meta_data.json", "user_data", "network_data.json")
"""What ``seen_on`` looks at in the directory of a version; what they refer to lies outside of it, once for all."""


def versions_on(tree: Tree) -> tuple[str, ...]:
    """The OpenStack versions of the drive, newest first; of those that tell the very same, the newest alone."""
    parts = (path.split("/") for path in tree)
    versions = (part[1] for part in parts if part[0] == "openstack" and part[2:] == ["meta_data.json"])
    newest: dict[tuple[bytes | None, ...], str] = {}
    for version in sorted(versions, reverse=True):  # "latest" sorts behind every date
        newest.setdefault(tuple(tree.get(f"openstack/{version}/{name}") for name in _DOCUMENTS), version)
    return tuple(newest.values())


def seen_on(tree: Tree, version: str) -> dict[Thing, Seen]:
    """What an agent that reads this version finds; ``where`` is a path, with a JSON pointer after ``#`` into a file.

    ValueError when a document of the version is malformed; KeyError when one refers to what is not there.
    """
    where = f"openstack/{version}/meta_data.json"
    document = json.loads(tree[where])
    seen = _files(tree, document)
    seen |= {thing: Seen(content, f"{where}#{pointer}") for thing, content, pointer in _metadata(document)}
    seen |= _root_password(tree, version)
    if (user_data := tree.get(f"openstack/{version}/user_data")) is not None:
        seen[Thing(ItemKind.USER_DATA, "user_data")] = Seen(Secret(user_data), f"openstack/{version}/user_data")
    if network := tree.get(f"openstack/{version}/network_data.json"):
        addresses = Secret(_addresses(json.loads(network)))
        seen[Thing(ItemKind.NETWORK, "network")] = Seen(addresses, f"openstack/{version}/network_data.json")
    return seen


def _files(tree: Tree, document: Mapping[str, Any]) -> dict[Thing, Seen]:
    entries = document.get("files", [])
    named = things((ItemKind.FILE, entry["path"]) for entry in entries)
    paths = ["openstack/" + entry["content_path"].lstrip("/") for entry in entries]
    return {thing: Seen(Secret(tree[path]), path, READER_MODE) for thing, path in zip(named, paths, strict=True)}


def _metadata(document: Mapping[str, Any]) -> Iterator[tuple[Thing, Secret, str]]:
    for name, text in document.get("public_keys", {}).items():
        yield Thing(ItemKind.KEY, name), Secret(text), f"/public_keys/{_escape(name)}"
    if "meta" in document:
        yield Thing(ItemKind.METADATA, "metadata"), Secret(canonical(document["meta"])), "/meta"
    if document.get("devices"):
        tags = ((one["type"], one.get("mac", ""), *one["tags"]) for one in document["devices"])
        yield Thing(ItemKind.DEVICES, "devices"), Secret(tag_lines(tags)), "/devices"
    if "admin_pass" in document:
        yield Thing(ItemKind.PASSWORD, "password"), Secret(document["admin_pass"]), "/admin_pass"
    yield Thing(ItemKind.HOSTNAME, "hostname"), Secret(document["hostname"]), "/hostname"


def _root_password(tree: Tree, version: str) -> dict[Thing, Seen]:
    where = f"openstack/{version}/vendor_data.json"
    document = json.loads(tree.get(where, b"{}"))
    found = linux_password.seen_in(document) if isinstance(document, dict) else None
    if found is None:
        return {}
    seen = Seen(found, f"{where}#/{linux_password.KEY}")
    return {Thing(ItemKind.PASSWORD, ROOT_PASSWORD): seen}


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _addresses(document: Mapping[str, Any]) -> bytes:
    macs = {link["id"]: link["ethernet_mac_address"] for link in document.get("links", [])}
    static = (network for network in document.get("networks", []) if "ip_address" in network)
    return address_lines((macs[one["link"]], f"{one['ip_address']}/{_length(one['netmask'])}") for one in static)


def _length(netmask: str) -> int:
    return int(ipaddress.ip_address(netmask)).bit_count()
