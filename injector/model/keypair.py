"""An SSH public key that was given a name by its user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``public_key`` is kept verbatim as it was sent; ``fingerprint`` is Nova's: MD5 in colon form for ssh."""

    name: str
    public_key: str
    fingerprint: str
    user_id: str
    created_at: datetime
    type: str = "ssh"
