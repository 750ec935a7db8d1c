"""A worker that makes the same edits with one debugfs on a raw file: the floor. Arguments: the raw disk, a directory.

No overlay, no journal, no read-back, no password to hash (its line is ready), and nothing is synced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.bench import _asked as asked
from tests.bench._rounds import serve

START = 1024**2
SHADOW = "root:$6$abcdefgh$" + "x" * 86 + ":19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nada:!:19000:0:99999:7:::\n"
INTERFACES = "auto lo\niface lo inet loopback\n" + "".join(
    f"\nauto eth{number}\niface eth{number} inet static\n    hwaddress ether {card.mac}\n    address {card.ip}\n"
    f"    netmask 255.255.255.0\n    gateway {card.gateway}\n    dns-nameservers {card.dns}\n"
    for number, card in enumerate(asked.CARDS)
)


def main(disk: Path, scratch: Path) -> None:
    sources = {
        "/root/.ssh/authorized_keys": asked.PUBLIC_KEY.encode() + b"\n",
        "/etc/network/interfaces": INTERFACES.encode(),
        "/meta.js": json.dumps(asked.METADATA).encode(),
        "/etc/shadow": SHADOW.encode(),
        **dict(asked.FILES),
    }

    def prepare(directory: Path) -> None:
        subprocess.run(["cp", "--sparse=always", disk, directory / "disk"], check=True)
        for number, content in enumerate(sources.values()):
            (directory / f"source{number}").write_bytes(content)

    serve(lambda directory: _edit(directory, list(sources)), scratch, prepare=prepare)


def _edit(directory: Path, paths: list[str]) -> None:
    lines = ["rm /etc/network/interfaces", "rm /etc/shadow", "mkdir /root/.ssh", "sif /root/.ssh mode 040700"]
    lines += [f"write {directory}/source{number} {path}" for number, path in enumerate(paths)]
    lines += ["sif /root/.ssh/authorized_keys mode 0100600", "sif /etc/shadow mode 0100640", "sif /etc/shadow gid 42"]
    command = ["debugfs", "-w", "-f", "-", f"{directory}/disk?offset={START}"]
    text = "".join(f"{line}\n" for line in lines)
    subprocess.run(command, input=text, text=True, capture_output=True, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
