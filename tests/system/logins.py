"""The two ways in which people get into a guest: ssh, and typing at its serial console."""

from __future__ import annotations

import os
import select
import subprocess
import time
import tty
from pathlib import Path
from typing import Any

_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=10")


def over_ssh(server: Any, key: Path, command: str, *, user: str = "debian", said: str = "", patience: float = 0) -> str:
    """What a command printed that was given ``said``; for so many seconds it is tried again while nobody lets it in."""
    port, until = server["injector:forwards"][0]["host_port"], time.monotonic() + patience
    options = [f"-o{option}" for option in _OPTIONS]
    ssh = ["ssh", "-i", str(key), "-p", str(port), *options, f"{user}@127.0.0.1", command]
    while True:
        ended = subprocess.run(ssh, input=said, capture_output=True, text=True, check=False, timeout=120)
        # 255 is ssh's own failure.
        if ended.returncode != 255 or time.monotonic() > until:
            assert ended.returncode == 0, ended.stderr + ended.stdout
            return ended.stdout
        time.sleep(0.5)


def said_at_the_console(server_id: str, *dialogue: tuple[str, str]) -> str:
    """As a person at the serial console does: wait for each prompt, type the answer; what came after the last."""
    tty_path = subprocess.run(["virsh", "ttyconsole", server_id], capture_output=True, text=True, check=True).stdout
    console = os.open(tty_path.strip(), os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(console)
        os.write(console, b"\n")
        for prompt, answer in dialogue:
            read_until(console, prompt)
            os.write(console, answer.encode() + b"\n")
        return read_until(console, "END OF DIALOGUE")
    finally:
        os.close(console)


def read_until(console: int, prompt: str, seconds: float = 60) -> str:
    seen, deadline = "", time.monotonic() + seconds
    while prompt not in seen:
        ready, _, _ = select.select([console], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"no {prompt!r} in {seen!r}"
        seen += os.read(console, 4096).decode(errors="replace")
    return seen
