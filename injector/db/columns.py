"""Column types that mean the same on SQLite, PostgreSQL and MariaDB, for the tables and for their migrations.

Text compares by its bytes everywhere: names are case sensitive, and lists come in one order whatever a server's locale.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Double, Integer, LargeBinary, String, Text
from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT
from sqlalchemy.types import TypeEngine

_MYSQL = ("mysql", "mariadb")

TABLE_OPTIONS: dict[str, Any] = {
    f"{name}_{option}": value
    for name in _MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
"""For every table."""


def text(length: int) -> TypeEngine[str]:
    """A key, a name or a word of at most ``length`` characters."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


ID = text(64)
NAME = text(255)
TIME = text(40)
"""A moment in ISO 8601 and UTC, so that the order of the text is the order of time."""

COUNT = BigInteger().with_variant(Integer(), "sqlite")
"""A number of things or MiB. Ratios make it larger than the 32 bits of PostgreSQL's INTEGER."""

EPOCH: Double[float] = Double()
"""Seconds since 1970 by the database's clock (``injector.db.clock``)."""

DOCUMENT = Text().with_variant(LONGTEXT(), *_MYSQL)
BLOB = LargeBinary().with_variant(LONGBLOB(), *_MYSQL)
