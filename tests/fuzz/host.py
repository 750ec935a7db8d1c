"""What a run must leave of this host as it was: files that no guest may reach, and no process but those kept ready."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection
from pathlib import Path

WATCHED = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/motd", "/etc/hosts", "/etc/ssh", "/root/.ssh")
_SETTLES = 10.0


def fingerprint(*places: str | Path) -> dict[str, str]:
    """Content, mode, owner and times of everything at and below these paths; also what could not be read."""
    found = {}
    for path in (path for place in places for path in _below(Path(place))):
        seen = path.lstat()
        owner = f"{seen.st_mode:o} {seen.st_uid} {seen.st_gid} {seen.st_mtime_ns} {seen.st_ctime_ns}"
        found[str(path)] = f"{_digest(path)} {owner}"
    return found


def processes(parent: int) -> frozenset[int]:
    """Everything that descends from a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, ahead = set[int](), [parent]
    while ahead:
        above = ahead.pop()
        children = [one for one, its in parents.items() if its == above and one not in found]
        found.update(children)
        ahead += children
    return frozenset(found)


def left_over(before: Collection[int]) -> frozenset[int]:
    """Processes of ours that are none of those ``before``; those that are ending get some time for it."""
    until = time.monotonic() + _SETTLES
    while (left := processes(os.getpid()) - set(before)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _below(place: Path) -> list[Path]:
    return [place, *sorted(place.rglob("*"))] if os.path.lexists(place) else []


def _digest(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except PermissionError:
        return "unreadable"
