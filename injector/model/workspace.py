"""Every path of one instance on its host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    """``instances_dir`` holds a directory an instance; Nova's names for the files in it.

    ``generation``: of the config drive. Each has a file of its own: QEMU may have an earlier one open.
    """

    instances_dir: Path
    instance_id: str
    generation: int = 1

    @property
    def path(self) -> Path:
        return self.instances_dir / self.instance_id

    @property
    def disk(self) -> Path:
        return self.path / "disk"

    @property
    def kernel(self) -> Path:
        return self.path / "kernel"

    @property
    def ramdisk(self) -> Path:
        return self.path / "ramdisk"

    @property
    def config_drive(self) -> Path:
        first = self.path / "disk.config"
        return first if self.generation == 1 else first.with_name(f"{first.name}.{self.generation}")

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    @property
    def journal(self) -> Path:
        return self.path / "intent.json"

    @property
    def delivered(self) -> Path:
        """Plan and receipt of the build, on disk before the guest starts."""
        return self.path / "delivered.json"

    @property
    def renewed(self) -> Path:
        """The newest generation of the config drive, on disk before the guest is given it."""
        return self.path / "renewed.json"

    @property
    def mended(self) -> Path:
        """Which config drives were lost, and when each was made again."""
        return self.path / "mended.json"
