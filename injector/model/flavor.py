"""A size: how much processor, memory and disk a guest gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from injector.model.host import Room

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Flavor:
    """``ram`` in MiB, ``disk`` in GiB (0: as large as the image), as in the Compute API."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)

    def need(self, virtual_size: int | None) -> Room:
        """What a guest of this size takes of its host; ``virtual_size`` (bytes) is its image's, for ``disk`` 0."""
        image = -(-(virtual_size or 0) // _GIB)
        return Room(self.vcpus, self.ram, self.disk or image)
