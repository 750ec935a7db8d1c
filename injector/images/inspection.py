"""The gate every image goes through before anything else reads it: is it what it claims, and only itself?

The bytes are judged as they stream past (``Inspection``), then QEMU's own reader has to agree (``confirm``).
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_utils.imageutils import format_inspector

from injector.errors import ImageRejected, TooLarge
from injector.images.recognition import HEAD_BYTES, inspectors, recognise
from injector.model.hostile import harmless
from injector.model.image import DiskFormat
from injector.settings import ImageSettings
from injector.system.process import Finished, Limits, run

# A partition table, and the boot sector that a kernel carries, are contents of a raw disk. An ISO image is refused as
# one, as Nova does: it has a format of its own, and nothing to boot from when it is a disk.
_PASSES_FOR = {
    DiskFormat.RAW: frozenset({"raw", "gpt"}),
    DiskFormat.QCOW2: frozenset({"qcow2"}),
    DiskFormat.KERNEL: frozenset({"raw", "gpt"}),
    DiskFormat.RAMDISK: frozenset({"raw", "gpt"}),
}
_VIOLATIONS = {
    "backing_file": "it has a backing file",
    "data_file": "it keeps its data in another file",
    "unknown_features": "it uses a version or features of qcow2 that are not known here",
}
_QCOW2_CORRUPT = 1 << 1
_SECTOR = 512
_CHECK_CORRUPT = 2
_CHECK_LEAKS = 3


def rejected(why: str, detail: str | None = None) -> ImageRejected:
    return ImageRejected(f"the image cannot be used: {why}", field="image", detail=detail)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out: bytes in the file, bytes a guest will see, and the digest in hex."""

    size: int
    virtual_size: int
    sha256: str


class Inspection:
    """One image on its way in, in pieces of any size; ImageRejected as soon as it is known to be wrong."""

    def __init__(self, declared: DiskFormat, max_size: int) -> None:
        self._declared = declared
        self._max_size = max_size
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._head: bytearray | None = bytearray()
        self._virtual_size: int | None = None

    def feed(self, chunk: bytes) -> None:
        """TooLarge when more than ``max_size`` bytes have come."""
        self._size += len(chunk)
        if self._size > self._max_size:
            raise TooLarge(f"the image is larger than the {self._max_size} bytes allowed here", field="image")
        self._sha256.update(chunk)
        if self._head is not None:
            self._head += chunk
            if len(self._head) >= HEAD_BYTES:
                self._judge()

    def finish(self) -> Facts:
        """ImageRejected here as well: a short image has not been judged before."""
        if not self._size:
            raise rejected("it is empty")
        if self._head is not None:
            self._judge()
        virtual_size = self._virtual_size or -(-self._size // _SECTOR) * _SECTOR
        return Facts(self._size, virtual_size, self._sha256.hexdigest())

    def _judge(self) -> None:
        head = bytes((self._head or b"")[:HEAD_BYTES])
        self._head = None
        found = recognise(head)
        if not found <= _PASSES_FOR[self._declared]:
            names = " and ".join(sorted(found - {"gpt"} or found))
            raise rejected(f"it is declared {self._declared.value}, its content is {names}")
        if self._declared is DiskFormat.QCOW2:
            self._virtual_size = _qcow2_size(head, self._max_size)


def _qcow2_size(head: bytes, max_size: int) -> int:
    """The virtual size a qcow2 header claims, if nothing in it reaches beyond the file itself."""
    inspector = inspectors(head)[0]
    if str(inspector) != "qcow2":
        raise rejected("it is truncated or damaged")
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        raise rejected("; ".join(_VIOLATIONS.get(name, name) for name in error.failures)) from error
    version, size, crypt, snapshots, features = struct.unpack(">4xI16xQI24xI8xQ", head[:80])
    if crypt:
        raise rejected("it is encrypted")
    if snapshots:
        # An image is one disk; the rest would be carried along for ever, unseen. (Nova lets it pass.)
        raise rejected("it has internal snapshots")
    if version > 2 and features & _QCOW2_CORRUPT:
        raise rejected("it is marked as corrupt")
    if not size:
        raise rejected("its virtual size is zero")
    if size > max_size:
        raise rejected(f"its virtual size of {size} bytes is more than the {max_size} allowed here")
    return int(size)


def confirm(path: Path, declared: DiskFormat, facts: Facts, settings: ImageSettings) -> None:
    """Have QEMU's own reader agree with ``facts``, and find all of a qcow2's clusters inside the file.

    A kernel or ramdisk is read by no disk driver. ImageRejected when QEMU disagrees or the image exhausts its limits.
    """
    if declared in (DiskFormat.KERNEL, DiskFormat.RAMDISK):
        return
    info = _answer(_qemu_img("info", path, declared, settings))
    details = info.get("format-specific", {}).get("data", {})
    if info.get("format") != declared.value or info.get("virtual-size") != facts.virtual_size:
        raise rejected("QEMU sees another format or size in it", detail=json.dumps(info)[:1000])
    outside = {"backing-filename", "full-backing-filename"} & info.keys() or {"data-file"} & details.keys()
    if outside or info.get("encrypted") or info.get("snapshots"):
        raise rejected("QEMU finds it encrypted, or referring to something else", detail=json.dumps(info)[:1000])
    if declared is DiskFormat.QCOW2:
        _require_whole(_qemu_img("check", path, declared, settings))


def _qemu_img(verb: str, path: Path, declared: DiskFormat, settings: ImageSettings) -> Finished:
    return run(
        ["qemu-img", verb, "--output=json", "-f", declared.value, path.absolute()],
        purpose="inspect an image",
        limits=Limits(settings.cpu_time_limit, settings.address_space_limit, open_files=64),
        timeout=settings.wall_time_limit,
        accept=None,
    )


def _answer(finished: Finished) -> dict[str, Any]:
    if finished.returncode != 0:
        raise _unreadable(finished)
    try:
        return dict(json.loads(finished.stdout))
    except ValueError as error:
        raise _unreadable(finished) from error


def _require_whole(finished: Finished) -> None:
    # What lies beyond the end of the file would read as zeros: the guest would find its disk damaged, later.
    if finished.returncode == _CHECK_CORRUPT:
        raise rejected("it is truncated or damaged", detail=harmless(finished.stderr, 1000))
    if finished.returncode not in (0, _CHECK_LEAKS):
        raise _unreadable(finished)


def _unreadable(finished: Finished) -> ImageRejected:
    why = "reading it takes more time or memory than allowed" if finished.returncode < 0 else "QEMU cannot read it"
    return rejected(why, detail=f"status {finished.returncode}: {harmless(finished.stderr, 1000)}")
