"""Many services over one database: hosts have room and are heard, tokens are kept, time is the database's.

What is there stays: the new columns are filled from the documents. It may be run again where it was interrupted, as it
can be on MariaDB and MySQL, whose changes of tables are no part of any transaction.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from injector.db.columns import COUNT, DOCUMENT, EPOCH, ID, NAME, TABLE_OPTIONS

revision = "0005"
down_revision = "0004"

_PAGE = 500

_NUMBERS = ("room_vcpus", "room_ram", "room_disk", "used_guests", "used_vcpus", "used_ram", "used_disk")


def _column(name: str, kind: Any, default: Any = "0") -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text(default) if default == "0" else default)


def upgrade() -> None:
    _widen()
    _add("instances", _column("guests", COUNT), _column("disk", COUNT), _column("touched", EPOCH))
    _add("instances", _column("gone", sa.Boolean, sa.false()))
    # What kind a host is, and when it is heard, its next report says.
    _add("hosts", _column("zone", NAME, ""), _column("kind", ID, ""), _column("enabled", sa.Boolean, sa.true()))
    _add("hosts", sa.Column("reason", DOCUMENT, nullable=True), _column("heard", EPOCH), _column("load", EPOCH))
    _add("hosts", *(_column(name, COUNT) for name in _NUMBERS))
    _add("generations", _column("key_id", ID, ""))
    if not sa.inspect(op.get_bind()).has_table("tokens"):
        op.create_table(
            "tokens",
            sa.Column("project_id", ID, primary_key=True),
            sa.Column("token", NAME, primary_key=True),
            sa.Column("digest", NAME, nullable=False),
            sa.Column("instance_ids", DOCUMENT, nullable=False),
            sa.Column("created", EPOCH, nullable=False),
            **TABLE_OPTIONS,
        )
    _fill_instances()
    _fill_hosts()
    _fill_generations()
    _index("ix_tokens_created", "tokens", "created")
    _index("ix_payloads_key_id", "payloads", "key_id")
    _index("ix_generations_key_id", "generations", "key_id")
    _index("hosts_by_load", "hosts", "enabled", "load", "name")
    _index("hosts_by_zone", "hosts", "enabled", "zone", "load", "name")
    _index("hosts_by_kind", "hosts", "enabled", "kind", "load", "name")
    _index("instances_by_project", "instances", "project_id", "gone", "created_at", "id")
    _index("instances_by_age", "instances", "gone", "created_at", "id")
    _index("instances_by_name", "instances", "name", "project_id", "gone", "created_at", "id")
    _index("instances_by_host", "instances", "host", "gone", "created_at", "id")
    _index("instances_by_project_and_state", "instances", "project_id", "state", "created_at", "id")
    _index("instances_by_state", "instances", "state", "touched")
    _tell_sqlite()


# As ANALYZE writes it for a large installation: how many rows there are, and how many of them one value of the first
# column picks, of the first two and so on.
_STATISTICS = {
    ("hosts", "hosts_by_load"): "10000 5000 2 1",
    ("hosts", "hosts_by_zone"): "10000 5000 1000 2 1",
    ("hosts", "hosts_by_kind"): "10000 5000 1000 2 1",
    ("instances", "instances_by_project"): "100000 10000 9000 2 1",
    ("instances", "instances_by_age"): "100000 50000 2 1",
    ("instances", "instances_by_name"): "100000 20 20 20 2 1",
    ("instances", "instances_by_host"): "100000 50 40 2 1",
    ("instances", "instances_by_project_and_state"): "100000 10000 1000 2 1",
    ("instances", "instances_by_state"): "100000 10000 2",
}


def _tell_sqlite() -> None:
    """It takes every column for equally telling unless it was told otherwise, and it is not told by itself."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("ANALYZE")
    op.execute("DELETE FROM sqlite_stat1 WHERE tbl IN ('hosts', 'instances')")
    statistics = _table("sqlite_stat1", "tbl", "idx", "stat")
    for (table, index), stat in _STATISTICS.items():
        op.execute(sa.insert(statistics).values(tbl=table, idx=index, stat=stat))


def _widen() -> None:
    """SQLite's INTEGER has 64 bits anyway."""
    if op.get_bind().dialect.name != "sqlite":
        for name in ("vcpus", "ram", "revision"):
            op.alter_column("instances", name, type_=sa.BigInteger, existing_type=sa.Integer, existing_nullable=False)


def _add(table: str, *columns: sa.Column[Any]) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)


def _index(name: str, table: str, *columns: str) -> None:
    """In place of one of that name which has other columns."""
    for there in sa.inspect(op.get_bind()).get_indexes(table):
        if there["name"] == name:
            if there["column_names"] == list(columns):
                return
            op.drop_index(name, table)
    op.create_index(name, table, list(columns))


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))


def _pages(table: sa.TableClause, *key: str) -> Iterator[Any]:
    """Every row, a page at a time, so that no more than a page is in memory."""
    columns = [table.c[name] for name in key]
    seen: tuple[Any, ...] | None = None
    while True:
        query = sa.select(table).order_by(*columns).limit(_PAGE)
        if seen is not None:
            query = query.where(sa.tuple_(*columns) > seen)
        rows = op.get_bind().execute(query).all()
        if not rows:
            return
        yield from rows
        seen = tuple(getattr(rows[-1], name) for name in key)


def _data(row: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(row.document)["data"]
    return data


def _fill_instances() -> None:
    table = _table("instances", "id", "state", "updated_at", "document", "guests", "disk", "touched", "gone")
    for row in _pages(table, "id"):
        data = _data(row)
        holds = row.state != "deleted" and not (row.state == "error" and data.get("launched_at") is None)
        values = {
            "guests": int(holds),
            "disk": data["flavor"]["disk"] if holds else 0,
            "touched": datetime.fromisoformat(row.updated_at).timestamp(),
            "gone": row.state == "deleted",
        }
        op.get_bind().execute(sa.update(table).where(table.c.id == row.id).values(**values))


def _fill_hosts() -> None:
    table = _table("hosts", "name", "zone", "document", "load", *_NUMBERS)
    instances = _table("instances", "host", "guests", "vcpus", "ram", "disk")
    sums = [sa.func.coalesce(sa.func.sum(instances.c[name]), 0) for name in ("guests", "vcpus", "ram", "disk")]
    for row in _pages(table, "name"):
        data = _data(row)
        query = sa.select(*sums).where(instances.c.host == row.name, instances.c.guests > 0)
        guests, vcpus, ram, disk = map(int, op.get_bind().execute(query).one())
        values = {
            "zone": data.get("availability_zone", "nova"),
            "room_vcpus": data["vcpus"],
            "room_ram": data["memory_mib"],
            "room_disk": data["disk_gib"],
            "used_guests": guests,
            "used_vcpus": vcpus,
            "used_ram": ram,
            "used_disk": disk,
            "load": ram / max(data["memory_mib"], 1),
        }
        op.get_bind().execute(sa.update(table).where(table.c.name == row.name).values(**values))


def _fill_generations() -> None:
    table = _table("generations", "instance_id", "number", "key_id", "document")
    for row in _pages(table, "instance_id", "number"):
        key = (table.c.instance_id == row.instance_id, table.c.number == row.number)
        changed = sa.update(table).where(*key).values(key_id=_data(row)["ingredients"]["key_id"])
        op.get_bind().execute(changed)
