"""What guests said on their serial console: virtlogd keeps it, in files that only root may read after a while."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from injector.errors import HostError
from injector.model.workspace import Workspace
from injector.system import files
from injector.virt.libvirt.host import Host


class Console:
    """virtlogd appends to the file the daemon has made; from 2 MiB on it begins a new one, and keeps three old ones.

    The new one belongs to root, 0600. A daemon that is not root reads it through libvirt's own storage.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def prepare(self, workspace: Workspace) -> None:
        """Make the file, as the daemon's own, before libvirt can make it as root's."""
        os.close(os.open(workspace.console, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def begin(self, workspace: Workspace) -> None:
        """Remember where the next boot begins: what an earlier one said is no witness of it."""
        with contextlib.suppress(FileNotFoundError):
            said = workspace.console.stat().st_size
            files.write_atomic(_begun(workspace), str(said).encode(), mode=0o600)

    def tail(self, workspace: Workspace, length: int) -> bytes:
        """The last ``length`` bytes, of the file before as well when the newest is shorter."""
        newest = self._last(workspace.console, length)
        before = workspace.console.with_name(f"{workspace.console.name}.0")
        return self._last(before, length - len(newest)) + newest

    def of_this_boot(self, workspace: Workspace, length: int) -> bytes:
        """The last ``length`` bytes at most, none of which was said before the guest was last started."""
        try:
            begun, size = int(_begun(workspace).read_text()), workspace.console.stat().st_size
        except (FileNotFoundError, ValueError):
            return self.tail(workspace, length)
        if size < begun:
            return self.tail(workspace, length)  # begun anew by virtlogd since
        return self._last(workspace.console, min(length, size - begun))

    def _last(self, path: Path, length: int) -> bytes:
        if length <= 0:
            return b""
        try:
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - length))
                return file.read(length)
        except FileNotFoundError:
            return b""
        except PermissionError:
            return self._host.read_last(path, length)
        except OSError as error:
            raise HostError("the guest's console cannot be read", detail=str(error)) from error


def _begun(workspace: Workspace) -> Path:
    return workspace.console.with_name("console.begun")
