"""The healthy file systems that are broken: small guests by mke2fs, e2fsck and debugfs, one feature set each."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from injector.model.facts import Root
from injector.system.process import run
from tests.fuzz.layout import Layout
from tests.guest_layouts import LINUX, MIB, ROOT_X86, Slot, partitioned

LABEL = "system_u:object_r:shadow_t:s0"
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n",
    "etc/group": "root:x:0:\nada:x:1000:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nada:!:19000:0:99999:7:::\n",
    "etc/login.defs": "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 1000\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n",
    "etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n",
    "etc/motd": "welcome\n" * 300,
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "root/.ssh/authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOld old@guest\n",
    "sbin/ifup": "\x7fELF",
    "lib/systemd/systemd": "\x7fELF",
    "lib/systemd/system/networking.service": "[Service]\n",
    "home/ada/.profile": "umask 022\n",
}
_LINKS = {
    "sbin/init": "/lib/systemd/systemd",
    "etc/systemd/system/multi-user.target.wants/networking.service": "/lib/systemd/system/networking.service",
    "srv/far": "../" * 30 + "home/ada",
}
_MANY = 400


@dataclass(frozen=True, slots=True)
class Kind:
    """How one is made. ``table`` None is a disk without partitions; ``dirty``: its journal wants to be replayed."""

    name: str
    type: str
    mib: int
    options: tuple[str, ...] = ()
    table: str | None = None
    indexed: bool = False
    dirty: bool = False


@dataclass(frozen=True)
class Base:
    """A whole disk's bytes and the root in it; ``layout`` of the file system alone."""

    kind: Kind
    disk: bytes
    root: Root
    layout: Layout


KINDS = (
    Kind("ext2-1k", "ext2", 4, ("-b", "1024", "-I", "128")),
    Kind("ext2-4k-indexed", "ext2", 8, ("-b", "4096"), indexed=True),
    Kind("ext3-1k", "ext3", 8, ("-b", "1024", "-J", "size=1")),
    Kind("ext3-1k-dirty", "ext3", 8, ("-b", "1024", "-J", "size=1"), dirty=True),
    Kind("ext4-1k-bare", "ext4", 8, ("-b", "1024", "-J", "size=1", "-O", "^metadata_csum,^64bit")),
    Kind("ext4-4k-bare", "ext4", 16, ("-b", "4096", "-O", "^metadata_csum,^64bit,^uninit_bg"), indexed=True),
    Kind("ext4-4k-gdt", "ext4", 16, ("-b", "4096", "-O", "^metadata_csum,uninit_bg"), table="dos"),
    Kind("ext4-1k-csum", "ext4", 8, ("-b", "1024", "-J", "size=1"), indexed=True),
    Kind("ext4-4k-csum", "ext4", 16, ("-b", "4096"), table="gpt", indexed=True),
    Kind("ext4-4k-dirty", "ext4", 16, ("-b", "4096", "-O", "^metadata_csum"), dirty=True),
    Kind("ext4-1k-csum-dirty", "ext4", 8, ("-b", "1024", "-J", "size=1"), indexed=True, dirty=True),
    Kind("ext4-orphan-file", "ext4", 16, ("-b", "4096", "-O", "orphan_file,metadata_csum_seed")),
    Kind("ext4-logical", "ext4", 8, ("-b", "1024", "-J", "size=1", "-O", "^metadata_csum"), table="logical"),
    Kind("ext4-meta-bg", "ext4", 12, ("-b", "1024", "-g", "2048", "-O", "meta_bg,^resize_inode,^metadata_csum")),
)


def make(kind: Kind, directory: Path) -> Base:
    """Made afresh: the same guest each time, but for times, uuids and seeds of hashes."""
    tree = directory / "tree"
    if not tree.exists():
        _grow(tree)
    slot = directory / f"{kind.name}.slot"
    with slot.open("wb") as file:
        file.truncate(kind.mib * MIB)
    _tool("mke2fs", "-q", "-F", "-t", kind.type, "-m", "1", *kind.options, "-E", "root_owner=0:0", "-d", tree, slot)
    _debugfs(slot, list(_finish(tree)))
    if kind.indexed:
        _tool("e2fsck", "-fyD", slot, accept=(0, 1))
    layout = Layout(slot.read_bytes())
    if kind.dirty:
        _leave_dirty(slot, layout, directory)
        layout = Layout(slot.read_bytes())
    return Base(kind, *_placed(kind, slot, directory), layout)


def _grow(tree: Path) -> None:
    for name, text in _FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    for name, target in _LINKS.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(target)
    (tree / "etc/motd.twin").hardlink_to(tree / "etc/motd")
    many = tree / "var/lib/many"
    many.mkdir(parents=True)
    for number in range(_MANY):
        (many / f"a-file-with-a-long-name-{number:04}").touch()
    (tree / "tmp").mkdir()
    big = tree / "var/big"
    with big.open("wb") as file:
        for place in range(40):
            file.seek(place * 16384)
            file.write(b"hole" * 64)


def _finish(tree: Path) -> Iterator[str]:
    """Owners as in a guest, whoever makes it, and extended attributes both in an inode and in a block."""
    for path in [tree, *sorted(tree.rglob("*"))]:
        if "many/" not in str(path):
            name = f"/{path.relative_to(tree)}"
            yield from (f"set_inode_field {name} {field} 0" for field in ("uid", "gid"))
    yield "set_inode_field /root mode 040700"
    yield f"ea_set /etc/shadow security.selinux {LABEL}"
    yield f"ea_set /etc/motd user.long {'x' * 300}"


def _leave_dirty(slot: Path, layout: Layout, directory: Path) -> None:
    """A transaction that was committed and not yet carried out, over the content of two files, and a revoked one."""
    blocks = [layout.blocks_of(_require(layout.number_of(path)))[0] for path in ("/etc/motd", "/etc/fstab")]
    content = directory / "content"
    content.write_bytes((b"# from the journal\n" * layout.block)[: layout.block])
    commands = [f"jw -b {blocks[0]} {content}", f"jw -b {blocks[1]} {content}", f"jw -r {blocks[0]}"]
    _debugfs(slot, ["jo", *commands, "jc"])


def _placed(kind: Kind, slot: Path, directory: Path) -> tuple[bytes, Root]:
    content = slot.read_bytes()
    if kind.table is None:
        return content, Root(0, 0, len(content), kind.type, "the whole disk")
    disk = directory / f"{kind.name}.disk"
    if kind.table == "logical":
        slots = [Slot(1, "83"), Slot(kind.mib + 8, "5"), Slot(1, "83"), Slot(kind.mib, "83")]
        start = _logical(disk, kind.mib)
        number = 5
    else:
        slots = [
            Slot(1, LINUX if kind.table == "gpt" else "83"),
            Slot(kind.mib, ROOT_X86 if kind.table == "gpt" else "83"),
        ]
        partitioned(disk, kind.table, slots)
        start, number = 2 * MIB, 2
    raw = bytearray(disk.read_bytes())
    raw[start : start + len(content)] = content
    return bytes(raw), Root(number, start, len(content), kind.type, "the test")


def _logical(disk: Path, mib: int) -> int:
    """An MBR with an extended partition of three logical ones, the first of which is the root."""
    sectors, chain = mib * 2048, (2048, 2048 * (mib + 4), 2048 * (mib + 8))
    raw = bytearray((mib + 16) * MIB)
    _entries(raw, 0, [(0x83, 64, 64), (0x05, chain[0], len(raw) // 512 - chain[0])])
    for place, here in enumerate(chain):
        entries = [(0x83, 2048, sectors if place == 0 else 2048)]
        if place + 1 < len(chain):
            entries.append((0x05, chain[place + 1] - chain[0], 4096))
        _entries(raw, here * 512, entries)
    disk.write_bytes(raw)
    return (chain[0] + 2048) * 512


def _entries(raw: bytearray, at: int, entries: Sequence[tuple[int, int, int]]) -> None:
    raw[at + 510 : at + 512] = b"\x55\xaa"
    for place, (kind, start, size) in enumerate(entries):
        struct.pack_into("<B3xB3xII", raw, at + 446 + 16 * place, 0, kind, start, size)


def _debugfs(slot: Path, commands: Sequence[str]) -> None:
    script = "\n".join(commands) + "\n"
    run(["debugfs", "-w", "-f", "-", slot], purpose="make a guest", limits=None, timeout=60, input=script.encode())


def _tool(*words: str | Path, accept: Sequence[int] = (0,)) -> None:
    run(words, purpose="make a guest", limits=None, timeout=60, accept=accept)


def _require(number: int | None) -> int:
    assert number is not None
    return number


def mend_gpt(disk: bytearray) -> None:
    """Make the checksums of both copies right again, as far as their headers still say where their entries are."""
    for header in (512, len(disk) - 512):
        (size,) = struct.unpack_from("<I", disk, header + 12)
        entries, count, each = struct.unpack_from("<QII", disk, header + 72)
        table = disk[entries * 512 : entries * 512 + min(count * each, MIB)]
        struct.pack_into("<I", disk, header + 88, zlib.crc32(table))
        struct.pack_into("<I", disk, header + 16, 0)
        struct.pack_into("<I", disk, header + 16, zlib.crc32(disk[header : header + min(size, 512)]))
