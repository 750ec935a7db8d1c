"""Guests that attack whoever writes into them: each is one small ext4 with something in the way of an item."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from injector.inject.partition.errand import Wanted
from injector.model.facts import Root
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from injector.system.process import run
from tests import builders as a
from tests.memory_files import PASSWD, SHADOW

MIB = 1024 * 1024
SIZE = 16 * MIB
ROOT = Root(0, 0, SIZE, "ext4", "the test")
PASSWORD = "hunter2"
CONTENT = b"what was asked for\n"
CROWD = 100_000
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202eevil\x9b31m\r"

_FILES = {
    "etc/passwd": PASSWD,
    "etc/group": b"root:x:0:\nada:x:1000:\n",
    "etc/shadow": SHADOW,
    "etc/motd": b"old\n",
    "etc/os-release": b"ID=debian\nVERSION_ID=12\n",
    "etc/network/interfaces": b"auto lo\niface lo inet loopback\n",
    "sbin/ifup": b"\x7fELF",
    "a\nnew line/and\nmore": b"old\n",
}
_DIRECTORIES = ("root", "home/ada", "srv", "proc", "dev", "sys")


def key() -> Wanted:
    return Wanted(a.an_item(ItemKind.KEY, "laptop"), Secret(a.PUBLIC_KEY))


def password() -> Wanted:
    return Wanted(a.an_item(ItemKind.PASSWORD, "password"), Secret(PASSWORD))


def file(path: str, **changes: object) -> Wanted:
    return Wanted(a.an_item(ItemKind.FILE, path, **changes), Secret(CONTENT))


KEYS = f"{a.PUBLIC_KEY}\n".encode()


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done to the guest (as debugfs takes it), what is asked, and what must come of it.

    ``refused`` is a part of the reason, None where it is written after all: then ``lands`` says which files of the
    guest hold what. ``either``: back ends may differ, as long as it is one of the two. ``more`` is done to its tree.
    """

    done: tuple[str, ...]
    wanted: Wanted
    refused: str | None = None
    lands: Mapping[str, bytes] = field(default_factory=dict)
    either: bool = False
    sound: bool = True


def _chain(links: int, end: str) -> tuple[str, ...]:
    """``/srv/0`` leads over so many links to ``end``; and the last is relative, for a change."""
    names = [f"/srv/{number}" for number in range(links)]
    targets = [*names[1:], end]
    return tuple(f"symlink {name} {target}" for name, target in zip(names, targets, strict=True))


def _instead(path: str, *then: str) -> tuple[str, ...]:
    return (f"rm {path}", *then)


_OTHER = "a device, a FIFO or a socket"
_FAR = "../" * 40

ATTACKS: Mapping[str, Attack] = {
    "ssh leads to the host's etc": Attack(
        ("symlink /root/.ssh /etc",), key(), lands={"/etc/authorized_keys": KEYS}
    ),
    "ssh leads far up": Attack(
        (f"symlink /root/.ssh {_FAR}etc",), key(), lands={"/etc/authorized_keys": KEYS}
    ),
    "root's home is a link out": Attack(
        ("rmdir /root", f"symlink /root {_FAR}srv"), key(), lands={"/srv/.ssh/authorized_keys": KEYS}
    ),
    "a home of many dots": Attack(
        (),
        file(f"/{_FAR}etc/injector-canary"),
        lands={"/etc/injector-canary": CONTENT},
    ),
    "a path without a beginning": Attack(
        (), file("../../../../../etc/injector-canary"), lands={"/etc/injector-canary": CONTENT}
    ),
    "a link up and down": Attack(
        (f"symlink /srv/up {_FAR}",), file("/srv/up/etc/motd"), lands={"/etc/motd": CONTENT}
    ),
    "41 links": Attack(_chain(41, "../etc/motd"), file("/srv/0"), "too many links"),
    "40 links": Attack(_chain(40, "../etc/motd"), file("/srv/0"), lands={"/etc/motd": CONTENT}),
    "a loop of two": Attack(("symlink /srv/a b", "symlink /srv/b a"), file("/srv/a/x"), "too many links"),
    "shadow leads to itself": Attack(
        _instead("/etc/shadow", "symlink /etc/shadow /etc/shadow"), password(), "too many links"
    ),
    "a FIFO": Attack(_instead("/etc/motd", "cd /etc", "mknod motd p"), file("/etc/motd"), _OTHER),
    "a character device": Attack(_instead("/etc/motd", "cd /etc", "mknod motd c 1 1"), file("/etc/motd"), _OTHER),
    "a block device": Attack(_instead("/etc/motd", "cd /etc", "mknod motd b 8 0"), file("/etc/motd"), _OTHER),
    "a socket": Attack((), file("/srv/socket"), _OTHER),
    "a device on the way": Attack(("cd /srv", "mknod disk b 8 0"), file("/srv/disk/x"), _OTHER),
    "shadow is a device": Attack(_instead("/etc/shadow", "cd /etc", "mknod shadow c 1 1"), password(), _OTHER),
    "a directory": Attack((), file("/srv"), "is a directory, and no file"),
    "a directory of keys": Attack(
        ("mkdir /root/.ssh", "mkdir /root/.ssh/authorized_keys"), key(), "is a directory, and no file"
    ),
    "a passwd of 512 MiB": Attack(("set_inode_field /etc/passwd size 536870912",), password(), "bytes"),
    "keys of 512 MiB": Attack(
        (
            "mkdir /root/.ssh",
            "write /dev/null /root/.ssh/authorized_keys",
            "set_inode_field /root/.ssh/authorized_keys size 536870912",
        ),
        key(),
        "bytes",
    ),
    "a passwd of one line": Attack((), password(), "no user 'root'"),
    "etc is a file": Attack(("set_inode_field /etc mode 0100755",), key(), "'/etc' is a file", sound=False),
    "a directory in itself": Attack(
        ("link /etc /etc/again",), file("/etc/again/again/again/again/motd"), lands={"/etc/motd": CONTENT}, sound=False
    ),
    "the root in itself": Attack(
        ("link / /srv/root",), file("/srv/root/srv/root/etc/motd"), lands={"/etc/motd": CONTENT}, sound=False
    ),
    "a crowd": Attack((), file("/crowd/newcomer"), lands={"/crowd/newcomer": CONTENT}, sound=False),
    "new lines": Attack((), file("/a\nnew line/and\nmore"), lands={"/a\nnew line/and\nmore": CONTENT}),
    "new lines that were not there": Attack(
        (), file("/etc/x\nrm /etc/passwd\n"), lands={"/etc/x\nrm /etc/passwd\n": CONTENT, "/etc/passwd": PASSWD}
    ),
    "into the host's proc": Attack(
        ("symlink /srv/x /proc/self/root/etc/injector-canary",),
        file("/srv/x"),
        lands={"/proc/self/root/etc/injector-canary": CONTENT},
    ),
    "into the host's devices": Attack(
        ("symlink /srv/x /dev/injector-canary",), file("/srv/x"), lands={"/dev/injector-canary": CONTENT}
    ),
    "descriptors of the worker": Attack(
        ("symlink /srv/x /proc/self/fd/3",), file("/srv/x"), lands={"/proc/self/fd/3": CONTENT}
    ),
    "immutable": Attack(
        ("set_inode_field /etc/motd flags 0x80010",), file("/etc/motd"), "", {"/etc/motd": CONTENT}, either=True
    ),
    "immutable directory": Attack(
        ("set_inode_field /srv flags 0x80010",), file("/srv/new"), "", {"/srv/new": CONTENT}, either=True
    ),
    "attributes of a block": Attack(
        (f"ea_set /etc/motd user.long {'x' * 900}", *(f"ea_set /etc/motd user.{n} {'y' * 9}" for n in range(3))),
        file("/etc/motd"),
        lands={"/etc/motd": CONTENT},
    ),
    "an owner of escapes": Attack((), file("/etc/motd", owner=f"{ESCAPES}eve"), "no user"),
    "a name of escapes in the way": Attack((), file(f"/etc/motd/{ESCAPES}"), "is a file, and no directory"),
}  # fmt: skip

Tree = Callable[[Path], None]


def _one_line(tree: Path) -> None:
    (tree / "etc/passwd").write_bytes(b"root:x:0:0" * (MIB // 10))


def _socket(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(tree / "srv/socket"))


_TREES: Mapping[str, Tree] = {"a passwd of one line": _one_line, "a socket": _socket}


def grow(tree: Path, *, files: Mapping[str, bytes] | None = None) -> Path:
    """What every one of them has; ``files`` beside or instead."""
    for name, content in {**_FILES, **(files or {})}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True, exist_ok=True)
    return tree


def make(name: str, place: Path) -> Path:
    """The disk of an attack, a raw file."""
    tree = grow(place / "tree")
    if more := _TREES.get(name):
        more(tree)
    disk = format_tree(tree, place / "disk.raw")
    if name == "a crowd":
        crowd = place / "crowd"
        crowd.write_bytes(_directory(CROWD))
        tell_debugfs(
            disk, f"write {crowd} /crowd", "set_inode_field /crowd mode 040755", "set_inode_field /crowd links_count 2"
        )
    tell_debugfs(disk, *ATTACKS[name].done)
    return disk


def format_tree(tree: Path, disk: Path) -> Path:
    """Everything in it is root's, whoever makes it."""
    with disk.open("wb") as raw:
        raw.truncate(SIZE)
    options = ["-b", "1024", "-N", "512", "-m", "0", "-O", "^metadata_csum", "-E", "root_owner=0:0"]
    run(
        ["mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", tree, disk],
        purpose="make a guest",
        limits=None,
        timeout=60,
    )
    if os.geteuid() != 0:
        paths = [path.relative_to(tree) for path in tree.rglob("*") if "\n" not in str(path)]
        tell_debugfs(disk, *(f'sif "/{path}" {owner} 0' for path in paths for owner in ("uid", "gid")))
    return disk


def tell_debugfs(disk: Path, *commands: str) -> None:
    """ValueError when it does not obey."""
    script = "".join(f"{command}\n" for command in commands).encode()
    said = run(["debugfs", "-w", "-f", "-", disk], purpose="make a guest", limits=None, timeout=60, input=script)
    complaints = [line for line in said.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if complaints:
        raise ValueError("\n".join(complaints))


def _directory(names: int) -> bytes:
    """The content of a directory with so many names, of one directory (inode 11 is lost+found), unsorted."""
    blocks, block = [], _entry(2, b".") + _entry(2, b"..")
    for number in range(names):
        entry = _entry(11, b"member-%06d" % number)
        if len(block) + len(entry) > 1024:
            blocks.append(_whole(block))
            block = b""
        block += entry
    return b"".join([*blocks, _whole(block)])


def _entry(inode: int, name: bytes) -> bytes:
    length = (8 + len(name) + 3) // 4 * 4
    return (struct.pack("<IHBB", inode, length, len(name), 2) + name).ljust(length, b"\0")


def _whole(block: bytes) -> bytes:
    """The last entry goes on to the block's end."""
    at = 0
    while at + (length := struct.unpack_from("<H", block, at + 4)[0]) < len(block):
        at += length
    last = struct.pack("<H", 1024 - at)
    return (block[: at + 4] + last + block[at + 6 :]).ljust(1024, b"\0")
