"""The formats of a config drive by name: who writes one, and who reads it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from injector.inject.configdrive.by_pycdlib import read_by_pycdlib
from injector.inject.configdrive.fat import label_of_vfat, read_vfat
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.inject.configdrive.packer import Packer
from injector.inject.configdrive.reading import label_of, read_iso9660
from injector.inject.configdrive.vfat import VfatPacker


@dataclass(frozen=True, slots=True)
class Format:
    """``read`` gives every file by its path, ``label_of`` the volume's label; all raise ValueError on damage.

    ``read_by_others`` gives the same by code that shares no author with the packer: slower perhaps, and for whoever
    verifies a drive later.
    """

    packer: Packer
    read: Callable[[bytes], dict[str, bytes]]
    read_by_others: Callable[[bytes], dict[str, bytes]]
    label_of: Callable[[bytes], str]


FORMATS: Mapping[str, Format] = {
    Iso9660Packer.format: Format(Iso9660Packer(), read_iso9660, read_by_pycdlib, label_of),
    # mtools wrote it: our own reader is the other one.
    VfatPacker.format: Format(VfatPacker(), read_vfat, read_vfat, label_of_vfat),
}
