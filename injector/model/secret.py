"""Values that must not be seen: wrapped in memory (Secret) and sealed at rest and on the bus (Sealed)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


class Secret:
    """Bytes that only ``reveal()`` shows; ``repr``, ``str`` and formatting show nothing, not even the length."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        return self._value

    def text(self) -> str:
        """The secret as UTF-8 text; raises UnicodeDecodeError when it is none."""
        return self._value.decode()

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a Secret is not hashable: its hash would tell it")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled; seal it")


@dataclass(frozen=True, slots=True)
class Sealed:
    """Authenticated ciphertext; the instance's id is its associated data, so it cannot be moved to another instance."""

    key_id: str
    nonce: bytes
    ciphertext: bytes
