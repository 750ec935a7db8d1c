"""Services of two commits together: an older compute with today's dispatcher boots a guest, and the other way.

``python -m tests.upgrade [COMMIT]``: the older one is COMMIT of this repository (default: the one before HEAD). It
needs git's history, the servers of devstack/test-servers.sh and libvirtd.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig import Rig, a_rig

_HERE = Path(__file__).parent.parent


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The code as it was."""
    with tempfile.TemporaryDirectory(prefix="injector-older-") as directory:
        place = Path(directory) / "injector"
        _git("worktree", "add", "--detach", str(place), commit)
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*words: str) -> None:
    subprocess.run(["git", "-C", str(_HERE), *words], check=True, capture_output=True)


def try_out(rig: Rig) -> None:
    """A whole life: booted, heard of, stopped, started, deleted."""
    rig.start()
    house = rig.furnish()
    server_id = rig.boot(house.tiny, "upgraded", networks=[{"uuid": house.network}], metadata={"role": "web"})
    rig.wait_for_status(server_id, "ACTIVE")
    rig.wait_for_guest(server_id, "done")
    for action, status in (("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")):
        rig.act(server_id, {action: None})
        rig.wait_for_status(server_id, status)
    rig.delete(server_id)
    rig.wait_until_gone(server_id)


def main(commit: str) -> None:
    with checkout(commit) as older:
        for old_compute in (True, False):
            with a_rig(hosts=1) as rig:
                for service in rig.services:
                    if (service.kind == "compute") is old_compute:
                        service.run_from(older)
                try_out(rig)
            said = "an older compute" if old_compute else "an older api and older dispatchers"
            print(f"{said} ({commit}) with today's others: booted, stopped, started, deleted")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "HEAD~1")
