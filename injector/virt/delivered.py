"""What a build delivered, kept beside the guest's files before it starts: an interrupted build can so be finished."""

from __future__ import annotations

import json

from injector import wire
from injector.errors import InternalError
from injector.model.generation import Generation
from injector.model.plan import Plan
from injector.model.receipt import Receipt
from injector.model.workspace import Workspace
from injector.system import files
from injector.virt.driver import Spawned


def keep(workspace: Workspace, attempt: int, spawned: Spawned) -> None:
    """Durable when this returns; NoSpace when the disk is full."""
    generation = None if spawned.generation is None else wire.pack(spawned.generation)
    content = {
        "attempt": attempt,
        "plan": wire.pack(spawned.plan),
        "receipt": wire.pack(spawned.receipt),
        "generation": generation,
    }
    files.write_atomic(workspace.delivered, json.dumps(content).encode(), mode=0o600)


def recall(workspace: Workspace, attempt: int) -> Spawned | None:
    """What was kept for this attempt; None when nothing was, or it cannot be read."""
    try:
        content = json.loads(workspace.delivered.read_bytes())
        if content["attempt"] != attempt:
            return None
        generation = content["generation"] and wire.unpack(content["generation"], Generation)
        return Spawned(wire.unpack(content["plan"], Plan), wire.unpack(content["receipt"], Receipt), generation)
    except (FileNotFoundError, ValueError, KeyError, TypeError, InternalError):
        return None
