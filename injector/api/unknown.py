"""Whether what the record says of a guest can be relied on: not while its host is silent and it may be running there.

Derived whenever somebody looks and never stored: the host's first word makes it true again.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from injector.model.instance import Instance, State

UNKNOWN = "UNKNOWN"

CERTAIN = frozenset({State.STOPPED, State.SUSPENDED, State.ERROR, State.DELETING, State.DELETED})
"""Told as they are: no guest ran when its host was last heard, and only its own compute would start one there; or
there is something more urgent to tell, an error or a delete that waits for the host."""


def is_unknown(instance: Instance, silent: AbstractSet[str]) -> bool:
    """``silent``: the names of the hosts that are not heard of."""
    return instance.may_run and instance.host in silent and instance.state not in CERTAIN
