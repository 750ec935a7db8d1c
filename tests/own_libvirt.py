"""A libvirtd of one's own beside the machine's: another host on one machine, to be killed without disturbing others.

libvirt has one place each for its sockets, its state and its configuration; each of these sees its own there, in a
namespace of mounts. Two of them can run the same guest at once, as two hosts could, which one alone would refuse.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from tests.running import Running
from tests.system import leftovers

_PLACES = {"run": "/run/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt", "etc": "/etc/libvirt"}
_CONFIGURATION = """\
unix_sock_group = "libvirt"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""


class OwnLibvirt:
    """libvirtd and virtlogd with all that is theirs below ``directory``; ``daemon`` may be killed and started again.

    What is mounted on the machine later is not seen by them, nor by their guests.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o711)
        for place in _PLACES:
            (directory / place).mkdir(mode=0o755)
        (directory / "libvirtd.conf").write_text(_CONFIGURATION)
        self.uri = f"qemu+unix:///system?socket={directory}/run/libvirt-sock"
        self.seat = leftovers.Seat(self.uri, directory / "lib/qemu/save")
        self._mounts: subprocess.Popen[bytes] | None = None
        self._virtlogd: Running | None = None
        self.daemon: Running | None = None

    def start(self) -> None:
        self._mounts = self._a_namespace()
        self._virtlogd = self._a_daemon("virtlogd")
        self._virtlogd.launch()
        self._virtlogd.wait_until((self._directory / "run/virtlogd-sock").exists)
        self.daemon = self._a_daemon("libvirtd", "-f", f"{self._directory}/libvirtd.conf")
        self.start_again()

    def start_again(self) -> None:
        """libvirtd, which has ended or was killed; its guests run on."""
        assert self.daemon is not None
        self.daemon.launch()
        self.daemon.wait_until(self._answers)

    def emulators(self) -> dict[str, int]:
        """The pid of each QEMU that libvirt has started and that still is there, by the name of its domain."""
        found = {}
        for file in (self._directory / "run/qemu").glob("injector-*.pid"):
            # The file stays when libvirtd was killed, and the pid may be another's by now.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
                pid = int(file.read_text())
                if f"guest={file.stem}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found[file.stem] = pid
        return found

    def end(self) -> None:
        """Whatever they are doing. Guests are for the caller to end before."""
        for one in (self.daemon, self._virtlogd):
            if one is not None and one.process is not None:
                one.kill()
        if self._mounts is not None:
            self._mounts.kill()
            self._mounts.wait()

    def _answers(self) -> bool:
        asked = subprocess.run(["virsh", "--connect", self.uri, "version"], capture_output=True, check=False)
        return asked.returncode == 0

    def _a_namespace(self) -> subprocess.Popen[bytes]:
        """A process that does nothing but keep it, and ends with this one."""
        mounts = "; ".join(
            f"mkdir -p {seen}; mount --bind {self._directory}/{own} {seen}" for own, seen in _PLACES.items()
        )
        keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", f"{mounts}; echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert keeper.stdout is not None
        assert keeper.stdout.read(1), "no namespace of mounts could be made"
        return keeper

    def _a_daemon(self, program: str, *options: str) -> Running:
        assert self._mounts is not None
        enter = ["nsenter", "--target", str(self._mounts.pid), "--mount"]
        pid_file = f"--pid-file={self._directory}/{program}.pid"
        return Running([*enter, program, pid_file, *options], self._directory / f"{program}.log")
