"""The disks of the suite over guest file systems: each is made once, and each test has its own copy."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from injector.system.process import run
from tests.guest_disks import MIB, GuestDisk, crashed, debugfs, fsck, make_ext

LAYOUTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ext4": ("ext4", ()),
    "ext4-4k": ("ext4", ("-b", "4096")),
    "ext4-2k": ("ext4", ("-b", "2048")),
    "ext4-1k-small-inodes": ("ext4", ("-b", "1024", "-I", "128")),
    "ext4-plain": ("ext4", ("-O", "^metadata_csum,^64bit,^flex_bg,^huge_file")),
    "ext4-uninit_bg": ("ext4", ("-O", "^metadata_csum,uninit_bg")),
    "ext4-seed": ("ext4", ("-b", "4096", "-O", "metadata_csum,metadata_csum_seed,64bit")),
    "ext4-orphan_file": ("ext4", ("-O", "orphan_file")),
    "ext4-fast_commit": ("ext4", ("-O", "fast_commit")),
    "ext4-sparse_super2": ("ext4", ("-O", "sparse_super2")),
    "ext4-meta_bg": ("ext4", ("-O", "meta_bg,^resize_inode")),
    "ext4-large_dir": ("ext4", ("-O", "large_dir")),
    "ext4-no-journal": ("ext4", ("-O", "^has_journal")),
    "ext4-no-extents": ("ext4", ("-O", "^extents,^64bit")),
    "ext3": ("ext3", ()),
    "ext3-4k": ("ext3", ("-b", "4096")),
    "ext2": ("ext2", ()),
    "ext2-4k": ("ext2", ("-b", "4096")),
    "ext2-bare": ("ext2", ("-O", "^filetype,^dir_index,^ext_attr,^resize_inode,^large_file", "-I", "128")),
}
"""Name → kind and options for mke2fs."""

OLD = "old content\n" * 10
PLACES = ("/etc/motd", "/etc/big", "/etc/one", "/etc/empty", "/home/ubuntu", "/etc")


def plain_tree(root: Path) -> Path:
    """What every disk of the suite has."""
    (root / "etc").mkdir(parents=True)
    (root / "home" / "ubuntu").mkdir(parents=True)
    (root / "etc" / "motd").write_text(OLD)
    (root / "etc" / "motd").chmod(0o640)
    (root / "etc" / "big").write_bytes(bytes(range(256)) * 4096)
    (root / "etc" / "one").write_bytes(b"1")
    (root / "etc" / "empty").write_bytes(b"")
    return root


def odd_tree(root: Path) -> Path:
    """Entries of every kind, and names of every kind."""
    plain_tree(root)
    odd = root / "odd"
    odd.mkdir()
    os.mkfifo(odd / "fifo")
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(odd / "socket"))
    (odd / "short").symlink_to("../etc/motd")
    (odd / "long").symlink_to("/" + "/".join(["far"] * 40))
    (odd / "loop").symlink_to("loop")
    (odd / "naïve ☃ name").write_text("snow")
    (odd / "quote\"s 'n\nnewlines").write_text("script")
    Path(os.fsdecode(os.fsencode(odd) + b"/caf\xe9")).write_text("latin")
    (odd / ("n" * 255)).write_text("long")
    with (odd / "holes").open("wb") as holes:
        holes.seek(300_000)
        holes.write(b"end")
    return root


def kept_tree(root: Path) -> Path:
    """A file with two names and attributes that a rewrite has to keep."""
    plain_tree(root)
    os.link(root / "etc" / "motd", root / "etc" / "issue")
    return root


def crowded_tree(root: Path) -> Path:
    plain_tree(root)
    (root / "crowd").mkdir()
    for number in range(3000):
        (root / "crowd" / f"member-{number:05}").write_bytes(b"")
    return root


@dataclass(frozen=True)
class Maker:
    """Where disks are made, and of what."""

    into: Path
    plain: Path
    odd: Path
    kept: Path
    crowded: Path

    @classmethod
    def at(cls, work: Path) -> Maker:
        into = work / "disks"
        into.mkdir()
        trees = (
            plain_tree(work / "plain"),
            odd_tree(work / "odd"),
            kept_tree(work / "kept"),
            crowded_tree(work / "crowded"),
        )
        return cls(into, *trees)


def _layout(kind: str, options: tuple[str, ...]) -> Callable[[Maker, Path], GuestDisk]:
    return lambda maker, path: make_ext(path, kind=kind, options=options, tree=maker.plain)


def _odd(maker: Maker, path: Path) -> GuestDisk:
    disk = make_ext(path, tree=maker.odd)
    debugfs(disk, "cd odd", "mknod character c 1 3", "mknod block b 8 0")
    return disk


def _kept(maker: Maker, path: Path) -> GuestDisk:
    disk = make_ext(path, tree=maker.kept)
    label = "system_u:object_r:etc_t:s0"
    debugfs(
        disk,
        *(f"sif /etc/motd {field}" for field in ("uid 70000", "gid 70001", "mode 0106750", "flags 0x80050")),
        "sif /etc/motd crtime 20200101000000",
        "ea_set /etc/motd user.owner somebody",
        # Too much for the inode: it takes a block of its own.
        f"ea_set /etc/motd user.story {'x' * 300}",
        f'ea_set /etc/motd security.selinux "{label}\\000"',
    )
    return disk


def _full(maker: Maker, path: Path) -> GuestDisk:
    """Some 60 KiB are free."""
    disk = make_ext(path, size=8 * MIB, options=("-m", "0", "-O", "^has_journal"), tree=maker.plain)
    filler = path.with_suffix(".filler")
    free = int(debugfs(disk, "stats").split("Free blocks:")[1].split()[0])
    filler.write_bytes(b"f" * 1024 * (free - 90))
    debugfs(disk, f"write {filler} filler")
    filler.unlink()
    return disk


def _crashed(maker: Maker, path: Path) -> GuestDisk:
    alive = make_ext(path.with_suffix(".alive"), tree=maker.plain)
    disk = crashed(alive, path, maker.into / "mnt")
    alive.path.unlink()
    return disk


def _indexed(maker: Maker, path: Path) -> GuestDisk:
    disk = make_ext(path, tree=maker.crowded, options=("-N", "8000"))

    run(["e2fsck", "-fyD", disk.place], purpose="index a directory", limits=None, timeout=60, accept=(0, 1))
    return disk


RECIPES: Mapping[str, Callable[[Maker, Path], GuestDisk]] = {
    **{f"layout {name}": _layout(*options) for name, options in LAYOUTS.items()},
    "odd": _odd,
    "kept": _kept,
    "full": _full,
    "full of inodes": lambda maker, path: make_ext(path, options=("-N", "16"), tree=maker.plain),
    "reserved": lambda maker, path: make_ext(path, options=("-m", "45"), tree=maker.plain),
    "indexed": _indexed,
    "linear": lambda maker, path: make_ext(path, options=("-N", "8000"), tree=maker.plain),
    "sizes ext4": lambda maker, path: make_ext(path, tree=maker.plain),
    "sizes ext3": lambda maker, path: make_ext(path, kind="ext3", tree=maker.plain),
    "refused": lambda maker, path: make_ext(path, tree=maker.odd),
    "read": lambda maker, path: make_ext(path, tree=maker.plain),
    "left": lambda maker, path: make_ext(path, tree=maker.plain),
    "twice": lambda maker, path: make_ext(path, tree=maker.plain),
    # Only root can have a kernel write a journal.
    **({"crashed": _crashed} if os.geteuid() == 0 else {}),
    "whole": lambda maker, path: make_ext(path, start=0, tree=maker.plain),
}


def make_all(maker: Maker) -> dict[str, GuestDisk]:
    """Each of them sound, or the judge of the tests would judge the builder."""
    made = {name: recipe(maker, maker.into / f"{place}.raw") for place, (name, recipe) in enumerate(RECIPES.items())}
    faults = {name: said for name, disk in made.items() if name != "crashed" and (said := fsck(disk))}
    if faults:
        raise ValueError(f"not sound before anything was done: {faults}")
    return made
