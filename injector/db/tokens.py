"""Client tokens: the callers' own names for their creates, by which one that is repeated is known again."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select

from injector.db import tables
from injector.db.clock import epoch
from injector.model.boot import ClientToken

_ROW = tables.tokens.c


def add_token(connection: Connection, token: ClientToken, instance_ids: Collection[str]) -> None:
    """IntegrityError when it is known; waits for whoever is about to make it known."""
    row = {"project_id": token.project_id, "token": token.token, "digest": token.digest}
    connection.execute(insert(tables.tokens).values(instance_ids="\n".join(instance_ids), created=epoch(), **row))


def known_token(connection: Connection, project_id: str, token: str) -> tuple[str, tuple[str, ...]] | None:
    """The digest of what was asked for, and the ids of what was made."""
    query = select(_ROW.digest, _ROW.instance_ids).where(_ROW.project_id == project_id, _ROW.token == token)
    row = connection.execute(query).first()
    return None if row is None else (row.digest, tuple(row.instance_ids.split()))


def purge_tokens(connection: Connection, older_than: float, limit: int) -> None:
    """Those that were made known longer ago than this, in seconds."""
    old = select(_ROW.project_id, _ROW.token).where(_ROW.created < epoch() - older_than).limit(limit)
    for row in connection.execute(old).all():
        connection.execute(delete(tables.tokens).where(_ROW.project_id == row.project_id, _ROW.token == row.token))
