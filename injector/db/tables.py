"""The tables. A row holds the columns that are searched or must be unique, and the value itself as a document."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

_ID = String(64)
_NAME = String(255)
_TIME = String(40)


def _document() -> Column[str]:
    """The value in its wire form (``injector.wire``), with its version."""
    return Column("document", Text, nullable=False)


keypairs = Table(
    "keypairs",
    metadata,
    Column("user_id", _ID, primary_key=True),
    Column("name", _NAME, primary_key=True),
    _document(),
)

flavors = Table(
    "flavors", metadata, Column("id", _NAME, primary_key=True), Column("name", _NAME, unique=True), _document()
)

images = Table(
    "images",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", _ID, nullable=False, index=True),
    Column("created_at", _TIME, nullable=False),
    _document(),
)

# Images with the same bytes share a row; it outlives them, for another may come with the same.
image_facts = Table("image_facts", metadata, Column("sha256", String(64), primary_key=True), _document())

networks = Table(
    "networks",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _ID, nullable=False, index=True),
    Column("name", _NAME, nullable=False),
    _document(),
)

hosts = Table("hosts", metadata, Column("name", _NAME, primary_key=True), _document())

instances = Table(
    "instances",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _ID, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("state", String(32), nullable=False),
    Column("host", _NAME, nullable=True),
    Column("vcpus", Integer, nullable=False),
    Column("ram", Integer, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("revision", Integer, nullable=False),
    _document(),
    Index("instances_by_project", "project_id", "created_at", "id"),
    # With all that a sum over hosts needs: the rows themselves are as long as their documents.
    Index("instances_by_host", "host", "state", "vcpus", "ram"),
    Index("instances_by_state", "state", "updated_at"),
)


payloads = Table(
    "payloads",
    metadata,
    Column("instance_id", _ID, ForeignKey("instances.id"), primary_key=True),
    Column("key_id", _ID, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
)


generations = Table(
    "generations",
    metadata,
    Column("instance_id", _ID, ForeignKey("instances.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _document(),
)


def _claimant() -> Column[str]:
    return Column("instance_id", _ID, ForeignKey("instances.id"), nullable=False, index=True)


ports = Table(
    "ports",
    metadata,
    Column("mac", String(17), primary_key=True),
    Column("network_id", _ID, ForeignKey("networks.id"), nullable=False, index=True),
    _claimant(),
)

addresses = Table(
    "addresses",
    metadata,
    Column("network_id", _ID, ForeignKey("networks.id"), primary_key=True),
    Column("ip", String(45), primary_key=True),
    _claimant(),
)

forwards = Table(
    "forwards",
    metadata,
    Column("host", _NAME, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    _claimant(),
)
