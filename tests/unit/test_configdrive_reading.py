"""The reader that proves drives: right on whole images, and never worse than ValueError on damaged ones."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from injector.inject.configdrive import ecma119
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.inject.configdrive.packer import Volume
from injector.inject.configdrive.reading import label_of, read_iso9660
from tests import builders as a
from tests.iso_dates import set_dates

TREE = {
    "openstack/content/0000": b"hello",
    "openstack/latest/meta_data.json": b'{"uuid": "x"}',
    "openstack/2012-08-10/meta_data.json": b'{"uuid": "x"}',
}


def packed() -> bytes:
    into = io.BytesIO()
    Iso9660Packer().pack(TREE, Volume(a.NOON), into)
    return into.getvalue()


IMAGE = packed()
_PRIMARY, _JOLIET = (found.offset for found in ecma119.descriptors(IMAGE))


def test_what_was_packed_is_read() -> None:
    assert read_iso9660(IMAGE) == TREE
    assert label_of(IMAGE) == "config-2"


def test_the_dates_of_an_image_are_set_whatever_they_were() -> None:
    image = bytearray(IMAGE)
    set_dates(image, a.NOON.replace(year=2031))
    assert image != IMAGE
    set_dates(image, a.NOON)
    assert image == IMAGE


def _with(offset: int, content: bytes) -> bytes:
    return IMAGE[:offset] + content + IMAGE[offset + len(content) :]


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (b"", "do not end"),
        (b"\0" * 65536, "no volume descriptor"),
        (_with(_PRIMARY + 1, b"CD002"), "no volume descriptor"),
        (_with(_JOLIET, b"\x00"), "a tree is missing"),
        (IMAGE[: len(IMAGE) // 2], "outside|cut off"),
        (IMAGE.replace("meta_data.json".encode("utf-16-be"), "meta_date.json".encode("utf-16-be")), "differ"),
        (IMAGE.replace(b"NM\x13\x01\x00meta_data.json", b"XX\x13\x01\x00meta_data.json"), "no Rock Ridge name"),
    ],
)
def test_damage_is_named(image: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_iso9660(image)


def test_a_directory_inside_itself_does_not_read_for_ever() -> None:
    top = ecma119.root(IMAGE, ecma119.Descriptor(ecma119.PRIMARY, _PRIMARY))
    child = next(one for one in ecma119.children(IMAGE, top) if not one.is_self_or_parent)
    turned = _with(child.offset + 2, (top.start // 2048).to_bytes(4, "little"))
    with pytest.raises(ValueError, match="reached twice"):
        read_iso9660(turned)


# Where something is written: damage there has an effect.
_WRITTEN = [offset for offset in range(_PRIMARY, len(IMAGE)) if IMAGE[offset]]


@settings(max_examples=500)
@given(some.lists(some.tuples(some.sampled_from(_WRITTEN), some.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_are_read_or_refused(flips: list[tuple[int, int]]) -> None:
    image = bytearray(IMAGE)
    for offset, value in flips:
        image[offset] = value
    with contextlib.suppress(ValueError):
        read_iso9660(bytes(image))
