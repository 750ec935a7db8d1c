"""What a server is called and what it gets at random: names, ids, password, seed."""

from __future__ import annotations

import re
import secrets
import string
import uuid

from injector.model.secret import Secret

_MAX_LABEL = 63
_SEED_BYTES = 512
# Nova's groups: letters and digits that are not mistaken for each other.
_SYMBOL_GROUPS = ("23456789", "ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz")


def new_instance_id() -> str:
    return str(uuid.uuid4())


def new_reservation_id() -> str:
    return "r-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def new_seed() -> Secret:
    """Random bytes of the system for one guest's entropy pool."""
    return Secret(secrets.token_bytes(_SEED_BYTES))


def new_password(length: int) -> Secret:
    """At least one character of each group, at places by chance."""
    characters = [secrets.choice(group) for group in _SYMBOL_GROUPS]
    everything = "".join(_SYMBOL_GROUPS)
    characters += [secrets.choice(everything) for _ in range(length - len(characters))]
    secrets.SystemRandom().shuffle(characters)
    return Secret("".join(characters))


def display_name(name: str, count: int, number: int) -> str:
    """Several servers of one request are told apart by ``-1``, ``-2``, …"""
    return name if count == 1 else f"{name}-{number}"


def hostname(name: str, instance_id: str, count: int = 1, number: int = 1) -> str:
    """The display name made fit for a host name, by Nova's rules; ``Server-<uuid>`` when nothing of it is left.

    The number of a server among several is part of the 63 characters a label may have (Nova adds it behind them).
    """
    suffix = "" if count == 1 else f"-{number}"
    latin = name.encode("latin-1", "ignore").decode("latin-1")[: _MAX_LABEL - len(suffix)]
    joined = re.sub(r"[ _.]", "-", latin)
    label = re.sub(r"[^A-Za-z0-9-]", "", joined).lower().strip("-")
    return f"{label}{suffix}" if label else f"Server-{instance_id}"
