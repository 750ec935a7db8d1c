"""The answer to "how does this guest receive its identity?", with the reason, for everybody to read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from injector.model.payload import Item, ItemKind


class ChannelKind(StrEnum):
    """The two channels, and none."""

    CONFIG_DRIVE = "config_drive"
    PARTITION = "partition"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Carriage:
    """What one channel of one host can carry; ``any_mode``: whether files may have a mode or owner of their own.

    ``back_ends`` are those of partition injection that this host has, in the order in which they are tried.
    """

    channel: ChannelKind
    kinds: frozenset[ItemKind]
    any_mode: bool = False
    back_ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that will not be delivered, and why; only best-effort items, or any under ``undeliverable = warn``."""

    item: Item
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``items`` will be delivered through ``channel``; ``left_out`` will not.

    ``drive_bus`` is the bus of the config drive, ``drive_format`` iso9660 or vfat, and ``medium_changes_live`` whether
    a running guest can be given another medium there. Of partition injection: the root's ``filesystem`` and
    ``partition`` (0: the whole disk; None: a volume made of partitions), as far as the image was looked into, and the
    ``back_ends`` to be tried, in order.
    """

    channel: ChannelKind
    reason: str
    items: tuple[Item, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    drive_bus: str | None = None
    medium_changes_live: bool | None = None
    drive_format: str | None = None
    filesystem: str | None = None
    partition: int | None = None
    back_ends: tuple[str, ...] = ()
