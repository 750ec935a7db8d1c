"""The tables. A row holds the columns that are searched or must be unique, and the value itself as a document."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, false, text, true
from sqlalchemy.types import TypeEngine

from injector.db import columns
from injector.db.columns import BLOB, COUNT, EPOCH, ID, NAME, TIME

metadata = MetaData()


def _table(name: str, *parts: Column[Any] | Index) -> Table:
    return Table(name, metadata, *parts, **columns.TABLE_OPTIONS)


def _document() -> Column[str]:
    """The value in its wire form (``injector.wire``), with its version."""
    return Column("document", columns.DOCUMENT, nullable=False)


def _number(name: str, kind: TypeEngine[Any] = COUNT) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=text("0"))


keypairs = _table(
    "keypairs", Column("user_id", ID, primary_key=True), Column("name", NAME, primary_key=True), _document()
)

flavors = _table("flavors", Column("id", NAME, primary_key=True), Column("name", NAME, unique=True), _document())

images = _table(
    "images",
    Column("id", ID, primary_key=True),
    Column("owner", ID, nullable=False, index=True),
    Column("created_at", TIME, nullable=False),
    _document(),
)

# Images with the same bytes share a row; it outlives them, for another may come with the same.
image_facts = _table("image_facts", Column("sha256", ID, primary_key=True), _document())

networks = _table(
    "networks",
    Column("id", ID, primary_key=True),
    Column("project_id", ID, nullable=False, index=True),
    Column("name", NAME, nullable=False),
    _document(),
)

# ``room_…`` is what a host may promise, ``used_…`` what it has promised: the sum over its instances, kept with each
# change of one. ``load`` is the part of its memory that it has promised. ``kind`` is a digest of ``HostFacts.kind``,
# and empty until the host reports itself to a dispatcher of this release.
hosts = _table(
    "hosts",
    Column("name", NAME, primary_key=True),
    Column("zone", NAME, nullable=False, server_default=""),
    Column("kind", ID, nullable=False, server_default=""),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("reason", columns.DOCUMENT, nullable=True),
    _number("heard", EPOCH),
    _number("room_vcpus"),
    _number("room_ram"),
    _number("room_disk"),
    _number("used_guests"),
    _number("used_vcpus"),
    _number("used_ram"),
    _number("used_disk"),
    _number("load", EPOCH),
    _document(),
    # Candidates are read from these in their order, as many as are wanted.
    Index("hosts_by_load", "enabled", "load", "name"),
    Index("hosts_by_zone", "enabled", "zone", "load", "name"),
    Index("hosts_by_kind", "enabled", "kind", "load", "name"),
)

# ``guests`` (0 or 1), ``vcpus``, ``ram`` and ``disk`` are what the instance takes of its host's room.
# ``touched`` is when the row was last written. ``gone``: DELETED.
instances = _table(
    "instances",
    Column("id", ID, primary_key=True),
    Column("project_id", ID, nullable=False),
    Column("name", NAME, nullable=False),
    Column("state", columns.text(32), nullable=False),
    Column("host", NAME, nullable=True),
    _number("guests"),
    Column("vcpus", COUNT, nullable=False),
    Column("ram", COUNT, nullable=False),
    _number("disk"),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    _number("touched", EPOCH),
    Column("gone", Boolean, nullable=False, server_default=false()),
    Column("revision", COUNT, nullable=False),
    _document(),
    # A page of a list is read from one of these in its order; the rows themselves are as long as their documents.
    Index("instances_by_project", "project_id", "gone", "created_at", "id"),
    Index("instances_by_age", "gone", "created_at", "id"),
    Index("instances_by_name", "name", "project_id", "gone", "created_at", "id"),
    Index("instances_by_host", "host", "gone", "created_at", "id"),
    Index("instances_by_project_and_state", "project_id", "state", "created_at", "id"),
    Index("instances_by_state", "state", "touched"),
)


payloads = _table(
    "payloads",
    Column("instance_id", ID, ForeignKey("instances.id"), primary_key=True),
    Column("key_id", ID, nullable=False, index=True),
    Column("nonce", BLOB, nullable=False),
    Column("ciphertext", BLOB, nullable=False),
)


generations = _table(
    "generations",
    Column("instance_id", ID, ForeignKey("instances.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", ID, nullable=False, index=True, server_default=""),
    _document(),
)


def _claimant() -> Column[str]:
    return Column("instance_id", ID, ForeignKey("instances.id"), nullable=False, index=True)


ports = _table(
    "ports",
    Column("mac", columns.text(17), primary_key=True),
    Column("network_id", ID, ForeignKey("networks.id"), nullable=False, index=True),
    _claimant(),
)

addresses = _table(
    "addresses",
    Column("network_id", ID, ForeignKey("networks.id"), primary_key=True),
    Column("ip", columns.text(45), primary_key=True),
    _claimant(),
)

forwards = _table(
    "forwards",
    Column("host", NAME, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    _claimant(),
)

# The token by which a caller's creates are known again. ``instance_ids`` a line each; they may be gone by now.
tokens = _table(
    "tokens",
    Column("project_id", ID, primary_key=True),
    Column("token", NAME, primary_key=True),
    Column("digest", NAME, nullable=False),
    Column("instance_ids", columns.DOCUMENT, nullable=False),
    Column("created", EPOCH, nullable=False, index=True),
)
