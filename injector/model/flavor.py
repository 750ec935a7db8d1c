"""A size: how much processor, memory and disk a guest gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Flavor:
    """``ram`` in MiB, ``disk`` in GiB (0: as large as the image), as in the Compute API."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)
