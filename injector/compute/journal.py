"""``intent.json`` beside a guest's files: which attempt is at which step, on disk before the step's first effect."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from injector.model.instance import Step
from injector.model.workspace import Workspace
from injector.system import files

_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Intent:
    """What was about to be done when this was written."""

    attempt: int
    step: Step


class Journal:
    """The journals of this host's instances; the directories get QEMU's group."""

    def __init__(self, instances_dir: Path, group: int | None) -> None:
        self._instances_dir = instances_dir
        self._group = group

    def write(self, instance_id: str, intent: Intent) -> None:
        """Durable when this returns; NoSpace when the disk is full."""
        workspace = Workspace(self._instances_dir, instance_id)
        text = json.dumps({"attempt": intent.attempt, "step": intent.step.value}).ljust(_WIDTH).encode()
        with files.disk_full("write the journal"):
            try:
                descriptor = os.open(workspace.journal, os.O_WRONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                files.make_directory(workspace.path, 0o750, self._group)
                files.write_atomic(workspace.journal, text, mode=0o600)
                return
            # Over what was there: of equal length and within one sector, so that it is the old line or the new one.
            try:
                os.pwrite(descriptor, text, 0)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, instance_id: str) -> Intent | None:
        """None when there is none, or only a torn one (then nothing of its step can have happened)."""
        try:
            data = json.loads(Workspace(self._instances_dir, instance_id).journal.read_text())
            return Intent(int(data["attempt"]), Step(data["step"]))
        except (FileNotFoundError, ValueError, KeyError):
            return None
