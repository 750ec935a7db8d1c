"""The directories of a host's guests: one an instance, named by its id."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from injector.errors import HostError
from injector.model.workspace import Workspace
from injector.system import files

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def make(workspace: Workspace, group: int | None) -> None:
    """Not readable for anybody but the daemon and QEMU's group."""
    files.make_directory(workspace.path, 0o750, group)


def remove(workspace: Workspace) -> None:
    """With all that is in it; HostError when something cannot be removed. No error when it is not there."""
    try:
        shutil.rmtree(workspace.path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError("the guest's files could not be removed", detail=str(error)) from error


def ids(instances_dir: Path) -> frozenset[str]:
    """The instances that have a directory here."""
    if not instances_dir.exists():
        return frozenset()
    return frozenset(entry.name for entry in instances_dir.iterdir() if _UUID.fullmatch(entry.name))
