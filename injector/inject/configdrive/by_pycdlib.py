"""Reads an ISO9660 drive back by pycdlib: eyes that know neither our packer nor our reader."""

from __future__ import annotations

import io
from typing import Any


def read_by_pycdlib(image: bytes) -> dict[str, bytes]:
    """Every file by its path; ValueError for what pycdlib cannot read, or when the trees of the drive differ."""
    # Imported here, not above: only who verifies needs it.
    import pycdlib

    iso = pycdlib.PyCdlib()
    try:
        iso.open_fp(io.BytesIO(image))
        rock_ridge, joliet = _tree(iso, "rr_path"), _tree(iso, "joliet_path")
        iso.close()
    except Exception as error:
        # A damaged image makes it stumble anywhere: over an index, an attribute, a text, or its own checks.
        raise ValueError("pycdlib cannot read the image") from error
    if rock_ridge != joliet:
        raise ValueError("the Rock Ridge and the Joliet tree differ")
    return rock_ridge


def _tree(iso: Any, names: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for directory, _, found in iso.walk(**{names: "/"}):
        for name in found:
            path, into = f"{directory.rstrip('/')}/{name}", io.BytesIO()
            iso.get_file_from_iso_fp(into, **{names: path})
            files[path.lstrip("/")] = into.getvalue()
    return files
