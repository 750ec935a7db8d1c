"""Finds out what is in an image that no other back end can look into: by the table, and by libguestfs's inspection."""

from __future__ import annotations

import re
from dataclasses import replace

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.guest import look_around
from injector.inject.partition.guestfs.appliance import Bytes, Handle, Refusal, ask, require
from injector.inject.partition.guestfs.opener import SUBVOLUME, GuestfsOpener
from injector.inject.partition.survey import survey as survey_by_table
from injector.model.facts import ImageFacts, Partition, Root

_BY = "libguestfs's inspection"


def survey(handle: Handle, drive: str = "/dev/sda") -> ImageFacts:
    """As every back end does it; inspection, which takes long, only where that finds no root.

    Without a root, and with the reason, when inspection finds none or several.
    """
    facts = survey_by_table(
        Bytes(handle, drive, require(handle.blockdev_getsize64, drive)), GuestfsOpener(handle, drive)
    )
    if facts.root is not None:
        return facts
    try:
        found = ask(handle.inspect_os)
    except Refusal as refusal:
        return replace(facts, doubt=f"libguestfs could not look into it: {refusal.text}")
    if len(found) != 1:
        what = "no operating system" if not found else f"{len(found)} operating systems"
        return replace(facts, doubt=f"libguestfs found {what} in it")
    return look_into(handle, drive, facts, root_at(handle, drive, facts.partitions, found[0]))


def look_into(handle: Handle, drive: str, facts: ImageFacts, root: Root) -> ImageFacts:
    """The facts with this root, and what is seen in it."""
    facts = replace(facts, root=root, doubt=None)
    try:
        with GuestfsOpener(handle, drive).open(root, writable=False, stamp=0) as files:
            seen = look_around(files)
    except (CannotServe, GuestUnreadable) as error:
        return replace(facts, doubt=error.message)
    return replace(seen.added_to(facts), doubt=seen.doubt)


def root_at(handle: Handle, drive: str, partitions: tuple[Partition, ...], mountable: str) -> Root:
    """What libguestfs calls by a name, as a place on the disk: a partition, a subvolume in one, a volume of its own."""
    device, volume = mountable, None
    if mountable.startswith(SUBVOLUME):
        device, volume = "/".join(mountable.removeprefix(SUBVOLUME).split("/")[:3]), mountable
    filesystem = str(require(handle.vfs_type, mountable))
    numbered = re.fullmatch(re.escape(drive) + r"(\d*)", device)
    if numbered is None:
        return Root(0, 0, require(handle.blockdev_getsize64, device), filesystem, f"{mountable}, by {_BY}", mountable)
    number = int(numbered[1] or 0)
    by = f"partition {number}, by {_BY}" if number else f"the whole disk, by {_BY}"
    for partition in partitions:
        if partition.number == number:
            return Root(number, partition.start, partition.size, filesystem, by, volume)
    raise GuestUnreadable(f"libguestfs found the root in partition {number}, which is not in the table")
