"""Every path of one instance on its host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    """``instances_dir`` holds a directory an instance; Nova's names for the files in it."""

    instances_dir: Path
    instance_id: str

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
        return self.path / "disk.config"

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
