"""Reads a config drive back: an ISO9660 reader of our own, which shares nothing with what packs the drive."""

from __future__ import annotations

import struct

from injector.inject.configdrive import ecma119
from injector.inject.configdrive.ecma119 import PRIMARY, SUPPLEMENTARY, Descriptor, Record

_LABEL = slice(40, 72)


def read_iso9660(image: bytes) -> dict[str, bytes]:
    """Every file by its path in the Rock Ridge tree; ValueError for a damaged image, or one whose trees differ.

    Guests read either tree (Linux Rock Ridge, Windows Joliet), so both have to say the same.
    """
    try:
        trees = {found.kind: _tree(image, found) for found in ecma119.descriptors(image)}
    except (struct.error, IndexError) as error:
        raise ValueError("the image is cut off") from error
    rock_ridge, joliet = trees.get(PRIMARY), trees.get(SUPPLEMENTARY)
    if rock_ridge is None or joliet is None:
        raise ValueError("a tree is missing")
    if rock_ridge != joliet:
        raise ValueError("the Rock Ridge and the Joliet tree differ")
    return rock_ridge


def label_of(image: bytes) -> str:
    """The volume identifier of the primary descriptor."""
    first = next(iter(ecma119.descriptors(image)))
    return image[first.offset :][_LABEL].decode("ascii").rstrip(" ")


def _tree(image: bytes, descriptor: Descriptor) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    waiting = [("", ecma119.root(image, descriptor))]
    visited: set[int] = set()
    for path, directory in waiting:
        if directory.start in visited:
            raise ValueError("a directory is reached twice")
        visited.add(directory.start)
        for record in ecma119.children(image, directory):
            if record.is_self_or_parent:
                continue
            name = path + _name(image, record, descriptor)
            if record.is_directory:
                waiting.append((name + "/", record))
            else:
                files[name] = _content(image, record)
    return files


def _name(image: bytes, record: Record, descriptor: Descriptor) -> str:
    if descriptor.kind == SUPPLEMENTARY:
        return record.identifier.decode("utf-16-be").removesuffix(";1")
    parts = (image[begin + 5 : end] for signature, begin, end in ecma119.entries(image, record) if signature == b"NM")
    name = b"".join(parts).decode()
    if not name or "/" in name:
        raise ValueError("a file has no Rock Ridge name")
    return name


def _content(image: bytes, record: Record) -> bytes:
    if record.start + record.size > len(image):
        raise ValueError("a file lies outside the image")
    return image[record.start : record.start + record.size]
