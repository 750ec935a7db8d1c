"""Readers of config drives that were not written here: isoinfo, mtools, fsck.vfat, blkid."""

from __future__ import annotations

import re
from pathlib import Path

from injector.system.process import run

_SECTOR = 2048
# "-r--r--r--   1    0    0            2048 Mar  1 2026 [     22 00]  name "
_LISTED = re.compile(r"\S+ +\d+ +\d+ +\d+ +(?P<size>\d+) \w+ +\d+ +\d+ \[ *(?P<extent>\d+) \d\d\]  (?P<name>.+) ")


def _ask(*argv: str | Path) -> bytes:
    return run(argv, purpose="judge a drive", limits=None, timeout=30, output_limit=64 * 1024 * 1024).stdout


def isoinfo_tree(drive: Path, names: str) -> dict[str, bytes]:
    """Every file as isoinfo extracts it; ``names`` is ``-R`` (Rock Ridge) or ``-J`` (Joliet)."""
    listing = _ask("isoinfo", names, "-f", "-i", drive).decode().splitlines()
    directories = {path.rpartition("/")[0] for path in listing}
    files = [path for path in listing if path not in directories]
    return {path.lstrip("/"): _ask("isoinfo", names, "-i", drive, "-x", path) for path in files}


def isoinfo_extents(drive: Path, names: str) -> dict[str, bytes]:
    """Every file where isoinfo sees it lie: one call for a whole drive, where ``isoinfo_tree`` needs one a file.

    ValueError for a line it does not understand.
    """
    image, directory = drive.read_bytes(), ""
    found: dict[str, bytes] = {}
    for line in _ask("isoinfo", names, "-l", "-i", drive).decode().splitlines():
        if line.startswith("Directory listing of /"):
            directory = line.removeprefix("Directory listing of /")
        elif line.startswith("-"):
            match = _LISTED.fullmatch(line)
            if match is None:
                raise ValueError(f"isoinfo says {line!r}")
            start, size = int(match["extent"]) * _SECTOR, int(match["size"])
            found[directory + match["name"]] = image[start : start + size]
    return found


def isoinfo_listing(drive: Path) -> list[str]:
    """The lines of ``ls -lR`` of the Rock Ridge tree that stand for files and directories."""
    lines = _ask("isoinfo", "-R", "-l", "-i", drive).decode().splitlines()
    return [line for line in lines if line.startswith(("-", "d"))]


def isoinfo_volume(drive: Path) -> dict[str, str]:
    """What the primary volume descriptor says, by isoinfo's names."""
    lines = _ask("isoinfo", "-d", "-i", drive).decode().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def fsck_vfat(drive: Path) -> str:
    """What fsck.vfat says of a file system that it would leave as it is; ProgramFailed when it would not."""
    return _ask("fsck.vfat", "-n", "-v", drive).decode()


def mtools_tree(drive: Path, into: Path) -> dict[str, bytes]:
    """Every file as mcopy extracts it to ``into``."""
    into.mkdir()
    _ask("mcopy", "-s", "-n", "-i", drive, "::", into)
    return {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}


def blkid(drive: Path) -> dict[str, str]:
    """The tags blkid finds by looking (``-p``: no cache)."""
    lines = _ask("blkid", "-p", "-o", "export", drive).decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def sha512_crypt(password: str, salt: str) -> str:
    """What a guest's /etc/shadow would have for the password, by openssl."""
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    hashed = run(command, purpose="judge a hash", limits=None, timeout=30, input=password.encode()).stdout
    return hashed.decode().strip()


def lay_out(tree: dict[str, bytes], directory: Path) -> Path:
    """The tree as files below ``directory``."""
    for path, content in tree.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return directory
