"""Disk images for tests: honest ones made by qemu-img, hostile ones made by hand."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

from injector.system.process import run

KIB, MIB = 1024, 1024**2

TEXT_DESCRIPTOR = b"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
RW 2048 FLAT "/etc/passwd" 0
"""
DESCRIPTOR_AFTER_COMMENTS = b"# " + b"x" * 2000 + b"\n" + TEXT_DESCRIPTOR
PADDED_DESCRIPTOR = TEXT_DESCRIPTOR.ljust(64 * KIB, b"\0")
DESCRIPTOR_WITHOUT_TYPE = b'# a\n\n#b\nversion=1\nRW 2048 FLAT "/etc/passwd" 0\n'.ljust(4 * KIB, b"\0")


def qemu_img(*words: str | Path) -> None:
    run(["qemu-img", *words], purpose="make a test image", limits=None, timeout=60)


def noise(size: int) -> bytes:
    """Bytes that no format begins with, the same every time."""
    return b"".join(
        struct.pack("<QQ", 0x8000000000000001 * n & (1 << 64) - 1, ~n & (1 << 64) - 1) for n in range(size // 16)
    )


def raw_disk(size: int = MIB) -> bytes:
    """A disk with a DOS partition table, one partition, noise in it."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\0\0\0", 8, size // 512 - 8)
    sector = b"\xfa\xeb\xfe".ljust(446, b"\0") + entry.ljust(64, b"\0") + b"\x55\xaa"
    return sector + bytes(3584) + noise(size - 4096)


def qcow2(directory: Path, *options: str, content: bytes | None = None) -> bytes:
    """A qcow2 that holds ``content`` (default: a raw disk), as ``qemu-img convert`` with ``options`` makes it."""
    source, made = directory / "content.raw", directory / "content.qcow2"
    source.write_bytes(raw_disk() if content is None else content)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, source, made)
    return made.read_bytes()


def patched(image: bytes, offset: int, layout: str, value: int) -> bytes:
    """``image`` with one field of its header overwritten."""
    field = struct.pack(layout, value)
    return image[:offset] + field + image[offset + len(field) :]


def with_backing_file(directory: Path, behind: str = "/etc/passwd") -> bytes:
    made = directory / "backed.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", behind, made, "1M")
    return made.read_bytes()


def with_data_file(directory: Path) -> bytes:
    made = directory / "outside.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={directory / 'data'},data_file_raw=on", made, "1M")
    return made.read_bytes()


def luks(size: int = 64 * KIB) -> bytes:
    """The header of an encrypted volume; qemu-img takes seconds for a real one."""
    header = struct.pack(">6sH32s32s32sII", b"LUKS\xba\xbe", 1, b"aes", b"xts-plain64", b"sha256", 4096, 64)
    return header.ljust(4096, b"\0") + noise(size - 4096)


def with_snapshot(directory: Path) -> bytes:
    qcow2(directory)
    qemu_img("snapshot", "-c", "before", directory / "content.qcow2")
    return (directory / "content.qcow2").read_bytes()


def converted(directory: Path, kind: str) -> bytes:
    """The raw disk in another of QEMU's formats."""
    source, made = directory / "content.raw", directory / f"content.{kind}"
    source.write_bytes(raw_disk())
    qemu_img("convert", "-f", "raw", "-O", kind, source, made)
    return made.read_bytes()


def iso(size: int = 64 * KIB) -> bytes:
    descriptor = b"\x01CD001\x01".ljust(2048, b"\0")
    return (bytes(32 * KIB) + descriptor).ljust(size, b"\0")


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes at ``path``, for filling it; needs root."""
    path.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", path], purpose="mount", limits=None, timeout=10)
    try:
        yield path
    finally:
        run(["umount", "-l", path], purpose="unmount", limits=None, timeout=10)
