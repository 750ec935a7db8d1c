"""Generations of config drives, what a refresh means, and what was found on the host: names, sizes and digests."""

from __future__ import annotations

from injector.api.operations.drives import Begun
from injector.api.views.delivery import receipt_items
from injector.api.views.viewpoint import Document, exact
from injector.model.generation import Difference, Generation, Inspection
from injector.model.instance import Instance, State

COLD_START = "the next cold start: a stop and start, or a reboot asked of injector; not one from within the guest"


def refreshing(begun: Begun) -> Document:
    """What was begun, what it means to the guest, and when the guest will have it."""
    wanted = begun.instance.refresh
    return {
        "server_id": begun.instance.id,
        "generation": None if wanted is None else wanted.number,
        "policy": None if wanted is None or wanted.policy is None else wanted.policy.value,
        "meaning": begun.meaning,
        "when": _when(begun.instance),
    }


def _when(instance: Instance) -> str:
    if instance.refresh is None or not instance.refresh.running:
        return "the guest is off, and comes up with it"
    if instance.plan is not None and instance.plan.medium_changes_live:
        return f"the running guest is given it at once, unless it has its drive mounted: then with {COLD_START}"
    return f"the drive's bus changes no medium of a running guest: it comes with {COLD_START}"


def in_guest(instance: Instance) -> str:
    """Whether the guest has the current drive, or when it will."""
    if instance.state is State.STOPPED:
        return "when it is started"
    if instance.inserted == instance.generation:
        return "now"
    return f"with {COLD_START}"


def generation(found: Generation, instance: Instance) -> Document:
    receipt = found.receipt
    return {
        "number": found.number,
        "current": found.number == instance.generation,
        "inserted": instance.state is not State.STOPPED and found.number == instance.inserted,
        "policy": None if found.policy is None else found.policy.value,
        "uuid": found.uuid,
        "made_at": exact(found.made_at),
        "drive_digest": receipt.drive_digest,
        "drive_size": receipt.drive_size,
        "drive_format": receipt.drive_format,
        "items": receipt_items(receipt),
    }


def difference(found: Difference) -> Document:
    return {"what": found.what, "change": found.change.value}


def inspection(server_id: str, found: Inspection) -> Document:
    return {
        "server_id": server_id,
        "generation": found.generation,
        "intact": found.intact,
        "differences": list(found.differences),
        "made_again": exact(found.made_again),
    }
