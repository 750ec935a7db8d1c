"""Key pairs as the Compute API shows them."""

from __future__ import annotations

from injector.api.views.viewpoint import Document, Viewpoint, seconds
from injector.model.keypair import KeyPair


def brief(keypair: KeyPair, seen: Viewpoint) -> Document:
    document = {"name": keypair.name, "public_key": keypair.public_key, "fingerprint": keypair.fingerprint}
    return document | ({"type": keypair.type} if seen.since(2) else {})


def created(keypair: KeyPair, seen: Viewpoint) -> Document:
    return brief(keypair, seen) | {"user_id": keypair.user_id}


def detail(keypair: KeyPair, seen: Viewpoint) -> Document:
    """``id`` is 0: key pairs are found by name here."""
    return created(keypair, seen) | {
        "id": 0,
        "created_at": seconds(keypair.created_at).removesuffix("Z"),
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }
