"""The second packer of ISO9660 drives, by pycdlib: what the first promises is no peculiarity of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pycdlib

from injector.inject.configdrive.packer import Volume
from injector.inject.configdrive.tree import Tree
from tests.iso_dates import set_dates

_FILE_MODE = 0o100444
_DIRECTORY_MODE = 0o040555


class PycdlibPacker:
    """Equal content is stored once here too."""

    format = "iso9660"

    def pack(self, tree: Tree, volume: Volume, into: BinaryIO) -> None:
        iso = pycdlib.PyCdlib()
        iso.new(
            interchange_level=3,
            joliet=3,
            rock_ridge="1.09",
            sys_ident="LINUX",
            vol_ident=volume.label,
            pub_ident_str=volume.publisher,
            app_ident_str=volume.publisher,
        )
        try:
            for path in _directories(tree):
                iso.add_directory(_iso_path(path), _last(path), f"/{path}", _DIRECTORY_MODE)
            _add_files(iso, tree)
            packed = io.BytesIO()
            iso.write_fp(packed)
        finally:
            iso.close()
        image = packed.getbuffer()
        # pycdlib takes every date from the clock and cannot be told otherwise.
        set_dates(image, volume.made_at)
        into.write(image)


def _add_files(iso: Any, tree: Tree) -> None:
    first: dict[bytes, str] = {}
    for path, content in tree.items():
        iso_path = f"{_iso_path(path)};1"
        twin = first.setdefault(content, iso_path)
        if twin == iso_path:
            iso.add_fp(io.BytesIO(content), len(content), iso_path, _last(path), f"/{path}", _FILE_MODE)
        else:
            iso.add_hard_link(iso_old_path=twin, iso_new_path=iso_path, rr_name=_last(path))
            iso.add_hard_link(iso_old_path=twin, joliet_new_path=f"/{path}")


def _directories(tree: Tree) -> Iterator[str]:
    """Every directory of the tree once, parents first."""
    seen: set[str] = set()
    for path in tree:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth])
            if directory not in seen:
                seen.add(directory)
                yield directory


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _iso_path(path: str) -> str:
    """The plain ISO9660 name, which no reader of drives looks at: capitals, digits, underscores and one dot."""
    return "/" + path.upper().replace("-", "_")
