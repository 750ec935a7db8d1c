"""Who asks, and under which request id: carried by every message and every log line."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


def new_request_id() -> str:
    """``req-`` and a random UUID, the form OpenStack's log tools know."""
    return f"req-{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class Context:
    """The caller of a request; ``user_id`` owns key pairs, ``project_id`` owns instances."""

    request_id: str = field(default_factory=new_request_id)
    user_id: str = "admin"
    project_id: str = "admin"
