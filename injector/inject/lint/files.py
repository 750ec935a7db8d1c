"""Injected files by their paths: those that cannot be kept, will be lost, or are written again by cloud-init."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from injector.model.finding import Check, Finding
from injector.model.hostile import one_line
from injector.model.payload import InjectedFile

_PSEUDO = ("/proc", "/sys")
_VOLATILE = ("/dev", "/run", "/tmp", "/var/run", "/var/lock")  # noqa: S108  these are the guest's
# With cloud-init's defaults; the files of a drive are written before any of its modules runs.
_OVERWRITTEN = re.compile(
    r"/etc/hostname"
    r"|/etc/network/interfaces\.d/50-cloud-init(\.cfg)?"
    r"|/etc/netplan/50-cloud-init\.yaml"
    r"|/etc/ssh/ssh_host_\w+_key(\.pub)?"
    r"|/etc/apt/sources\.list(\.d/(debian|ubuntu)\.sources)?"
    r"|/var/lib/cloud/(data|handlers|instances?|sem|scripts)/.*"
)


def lint(files: Sequence[InjectedFile]) -> tuple[Finding, ...]:
    """In the order of the files; a field is ``personality[2].path``."""
    found: list[Finding] = []
    seen: dict[str, int] = {}
    for index, file in enumerate(files):
        name, path = f"personality[{index}]", _in_guest(file.path)
        found += _one(name, file)
        if path in seen:
            message = f"the same file as personality[{seen[path]}]: one of them would be lost"
            found.append(Finding(Check.FILE_DUPLICATE, f"{name}.path", message))
        seen.setdefault(path, index)
    return tuple(found)


def _one(name: str, file: InjectedFile) -> Iterator[Finding]:
    path, shown = _in_guest(file.path), one_line(file.path, 100)
    if not len(file.content):
        yield Finding(Check.FILE_EMPTY, f"{name}.contents", f"{shown} is empty")
    if file.path.endswith("/") or path == "/" or ".." in file.path.split("/"):
        yield Finding(Check.FILE_PATH, f"{name}.path", f"{shown} does not name a file")
        return
    if not file.path.startswith("/"):
        yield Finding(Check.FILE_RELATIVE, f"{name}.path", f"{shown} does not begin with '/': it will be {path}")
    yield from _doubtful(f"{name}.path", path, shown)


def _doubtful(field: str, path: str, shown: str) -> Iterator[Finding]:
    if _below(path, _PSEUDO):
        yield Finding(Check.FILE_PSEUDO, field, f"{shown} is in a file system of the kernel, where no file can be kept")
    elif _below(path, _VOLATILE):
        yield Finding(Check.FILE_VOLATILE, field, f"{shown} is where files are hidden or removed when a guest starts")
    elif _OVERWRITTEN.fullmatch(path):
        yield Finding(Check.FILE_OVERWRITTEN, field, f"{shown} is written by cloud-init too, afterwards")


def _in_guest(path: str) -> str:
    """Where cloud-init puts it; two slashes in front mean one."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


def _below(path: str, directories: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in directories)
