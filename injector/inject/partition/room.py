"""Whether there is room in a guest's file system; for back ends that cannot take back what a full disk cut short."""

from __future__ import annotations

from injector.errors import ItemRefused
from injector.inject.partition.filesystem import Room
from injector.inject.partition.paths import shown


def require_room(room: Room, path: str, length: int, held: int = 0, *, new: bool = False) -> None:
    """For ``length`` bytes at ``path``, which has ``held`` bytes of the disk already. ItemRefused when there is not."""
    if new and room.inodes < 1:
        raise ItemRefused("the guest's file system has no free inode")
    if -(-length // room.block) * room.block > room.bytes + held:
        raise ItemRefused(f"the guest's file system is full: {room.bytes} bytes are free, for {shown(path)}")
