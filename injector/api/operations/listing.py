"""A list of servers, read from the store a page at a time: it may have to look at more records than it shows."""

from __future__ import annotations

from collections.abc import Iterator

from injector.api import query
from injector.api.unknown import UNKNOWN, is_unknown
from injector.db import Store
from injector.model.instance import Instance

_GROWTH = 4


def matching(
    store: Store, project_id: str | None, asked: query.ServerQuery, silent: frozenset[str], down_after: float
) -> Iterator[Instance]:
    """What was asked for, the newest first, its limit left to the caller; ``project_id`` None is everybody's.

    ``silent``: the names of the hosts that were not heard for longer than ``down_after`` seconds.
    """
    if asked.limit == 0:
        return
    # As a rule the first page is all that is wanted; where much of it is sorted out here, larger ones follow.
    size, marker = asked.limit, asked.marker
    while True:
        page = store.instances(
            project_id,
            name=asked.name,
            states=asked.states,
            host=asked.host,
            silent_for=down_after if asked.status == UNKNOWN else None,
            deleted=asked.deleted,
            limit=size,
            marker=marker,
        )
        yield from (one for one in page if _is_meant(one, asked, silent))
        if len(page) < size:
            return
        size, marker = min(size * _GROWTH, query.PAGE), page[-1].id


def _is_meant(one: Instance, asked: query.ServerQuery, silent: frozenset[str]) -> bool:
    if asked.reservation_id is not None and one.reservation_id != asked.reservation_id:
        return False
    return asked.status is None or is_unknown(one, silent) == (asked.status == UNKNOWN)
