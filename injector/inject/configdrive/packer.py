"""The promise every format of the config drive keeps: a tree becomes a file, and the file a tree again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from injector.inject.configdrive.tree import Tree

LABEL = "config-2"
"""How every reader finds the drive."""

PUBLISHER = "injector"
"""Without a version: the same record gives the same bytes after an upgrade too."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What the disk says of itself; ``made_at`` (aware) is every date on it, so that no clock shows."""

    made_at: datetime
    label: str = LABEL
    publisher: str = PUBLISHER


class Packer(Protocol):
    """One disk format. The same tree and volume give the same bytes, whatever the time or the host."""

    @property
    def format(self) -> str:
        """As in ``config_drive_format``: ``iso9660`` or ``vfat``."""
        ...

    def pack(self, tree: Tree, volume: Volume, into: BinaryIO) -> None:
        """Write the disk to ``into``, an empty file open for writing. Files are 0444, directories 0555, root's."""
        ...
