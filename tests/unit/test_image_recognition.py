"""What an image's first bytes may pass for, and the judgement while it streams past."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from injector.errors import ImageRejected, TooLarge
from injector.images.inspection import Facts, Inspection
from injector.images.recognition import HEAD_BYTES, recognise
from injector.model.image import DiskFormat
from tests import crafted

HOLE = bytes(4096)
CPIO = b"070701" + b"0" * 104 + b"init\0\0"
KERNEL = (b"MZ" + bytes(508) + b"\x55\xaa").ljust(4096, b"\x90")


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (HOLE, {"raw"}),
        (crafted.noise(4096), {"raw"}),
        (b"\x7fELF" + HOLE, {"raw"}),
        (CPIO + HOLE, {"raw"}),
        (crafted.raw_disk(), {"gpt"}),
        (KERNEL, {"gpt"}),
        (crafted.iso(), {"iso"}),
        (b"QFI\xfb\0\0\0\3" + HOLE, {"qcow2"}),
        (b"QFI\xfb\0\0\0\1", {"qcow2"}),
        (b"QED\0" + HOLE, {"qed"}),
        (b"conectix" + HOLE, {"vhd"}),
        (b"vhdxfile" + HOLE, {"vhdx"}),
        (b"LUKS\xba\xbe\0\2" + HOLE, {"luks"}),
        (bytes(64) + b"\x7f\x10\xda\xbe" + HOLE, {"vdi"}),
        (b"KDMV\1\0\0\0" + HOLE, {"vmdk"}),
        (b"COWD\1\0\0\0" + HOLE, {"vmdk"}),
        (b"Bochs Virtual HD Image" + HOLE, {"bochs"}),
        (b"WithoutFreeSpace" + HOLE, {"parallels"}),
        (crafted.TEXT_DESCRIPTOR, {"vmdk", "text"}),
        (crafted.TEXT_DESCRIPTOR.upper(), {"vmdk", "text"}),
        (crafted.TEXT_DESCRIPTOR.replace(b"\n", b"\r\n"), {"vmdk", "text"}),
        (crafted.DESCRIPTOR_AFTER_COMMENTS, {"vmdk", "text"}),
        (crafted.PADDED_DESCRIPTOR, {"vmdk"}),
        (crafted.DESCRIPTOR_WITHOUT_TYPE, {"vmdk"}),
        (b"#!/bin/sh\necho I am no disk\n" * 30 + b"\xff\xfe" + HOLE, {"text"}),
        (b"QFI\xfb\0\0\0\3" + bytes(502) + b"\x55\xaa" + HOLE, {"qcow2", "gpt"}),
        (b"QFI\xfb" + crafted.iso()[4:], {"qcow2", "iso"}),
    ],
)
def test_names_of_all_it_could_pass_for(head: bytes, names: set[str]) -> None:
    assert recognise(head) == names


def judged(declared: DiskFormat, content: bytes, step: int = 64 * 1024, max_size: int = 1 << 30) -> Facts:
    inspection = Inspection(declared, max_size)
    for start in range(0, len(content), step):
        inspection.feed(content[start : start + step])
    return inspection.finish()


@pytest.mark.parametrize("step", [1, 7, 512, 4096, 1 << 20])
def test_judgement_does_not_depend_on_where_pieces_end(step: int) -> None:
    honest = crafted.raw_disk(16 * 1024)
    assert judged(DiskFormat.RAW, honest, step) == Facts(len(honest), len(honest), hashlib.sha256(honest).hexdigest())
    with pytest.raises(ImageRejected, match="its content is text and vmdk"):
        judged(DiskFormat.RAW, crafted.DESCRIPTOR_AFTER_COMMENTS, step)


@pytest.mark.parametrize(
    ("declared", "content"),
    [(DiskFormat.KERNEL, KERNEL), (DiskFormat.RAMDISK, CPIO + HOLE), (DiskFormat.RAMDISK, b"\x1f\x8b\x08" + HOLE)],
)
def test_kernel_and_ramdisk_are_taken_as_they_are(declared: DiskFormat, content: bytes) -> None:
    assert judged(declared, content).size == len(content)


@pytest.mark.parametrize("declared", [DiskFormat.KERNEL, DiskFormat.RAMDISK, DiskFormat.RAW])
@pytest.mark.parametrize(
    "content", [b"QFI\xfb\0\0\0\3" + HOLE, crafted.TEXT_DESCRIPTOR, crafted.iso(), b"LUKS\xba\xbe\0\1" + HOLE]
)
def test_nothing_else_passes_for_raw_bytes(declared: DiskFormat, content: bytes) -> None:
    with pytest.raises(ImageRejected, match=f"declared {declared.value}, its content is") as caught:
        judged(declared, content)
    assert caught.value.field == "image"


@pytest.mark.parametrize("content", [crafted.raw_disk(), HOLE, b"QFI\xfb", b"QFI\xfb\0\0\0\3" + bytes(92)])
def test_what_is_no_qcow2_does_not_pass_for_one(content: bytes) -> None:
    with pytest.raises(ImageRejected):
        judged(DiskFormat.QCOW2, content)


@pytest.mark.parametrize("declared", list(DiskFormat))
def test_empty_image_is_refused(declared: DiskFormat) -> None:
    with pytest.raises(ImageRejected, match="it is empty"):
        judged(declared, b"")


def test_raw_size_is_counted_in_sectors() -> None:
    assert judged(DiskFormat.RAW, crafted.noise(1008)).virtual_size == 1024


class Endless:
    """An upload that never ends, and counts how much of it was taken."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        yield self.beginning
        while True:
            self.given += 65536
            yield bytes(65536)


def fed(declared: DiskFormat, upload: Endless, max_size: int) -> None:
    inspection = Inspection(declared, max_size)
    for chunk in upload:
        inspection.feed(chunk)


def test_a_wrong_beginning_is_refused_before_the_rest_has_come() -> None:
    upload = Endless(b"KDMV")
    with pytest.raises(ImageRejected):
        fed(DiskFormat.RAW, upload, 1 << 40)
    assert upload.given <= HEAD_BYTES


def test_no_more_than_the_limit_is_taken() -> None:
    upload = Endless(b"\x7f")
    with pytest.raises(TooLarge, match="larger than the 5000000 bytes"):
        fed(DiskFormat.RAW, upload, 5_000_000)
    assert upload.given < 5_100_000


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        (b"QFI\xfb", "qcow2"),
        (b"QED\0", "qed"),
        (b"KDMV", "vmdk"),
        (b"COWD", "vmdk"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vhd"),
        (b"LUKS\xba\xbe", "luks"),
        (b"Bochs Virtual HD Image", "bochs"),
        (b"WithoutFreeSpace", "parallels"),
        (b"WithouFreSpacExt", "parallels"),
    ],
)
def test_a_signature_is_known_however_short_the_file(signature: bytes, name: str) -> None:
    assert name in recognise(signature)
    assert name in recognise(signature + bytes(600))
    assert name not in recognise(bytes(1) + signature + bytes(600))


def test_a_text_ends_with_the_first_sector_and_nothing_is_no_text() -> None:
    assert recognise(b"a" * 512 + b"\0") == {"text"}
    assert "text" not in recognise(b"a" * 511 + b"\0")
    assert recognise(b"") == {"raw"}
