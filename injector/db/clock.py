"""The database's clock: services on many machines agree on no other, and one of those may be an hour off."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double


class epoch(FunctionElement[float]):
    """Seconds since 1970 when the statement began.

    One moment for the whole statement, so that an index can be searched by it: PostgreSQL's ``clock_timestamp()`` is
    another with each row, and reads them all. MariaDB's session is in UTC (``engine``): its NOW() is local time, which
    comes twice in an autumn night.
    """

    type = Double()
    inherit_cache = True


@compiles(epoch, "postgresql")
def _postgresql(_element: epoch, _compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch from statement_timestamp()) AS double precision)"


@compiles(epoch, "mysql")
@compiles(epoch, "mariadb")
def _mysql(_element: epoch, _compiler: Any, **_: Any) -> str:
    return "UNIX_TIMESTAMP(NOW(6))"


@compiles(epoch, "sqlite")
def _sqlite(_element: epoch, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
