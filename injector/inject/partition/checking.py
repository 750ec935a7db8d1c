"""What a process says that has read a stranger's disk, before anybody believes it: bounded, harmless, possible."""

from __future__ import annotations

from dataclasses import replace

from injector.errors import GuestUnreadable
from injector.inject.partition.tables import MOST_PARTITIONS
from injector.model.facts import ImageFacts, Partition, Root
from injector.model.hostile import one_line

_LABEL, _WORD, _TEXT = 255, 64, 1000


def checked(facts: ImageFacts) -> ImageFacts:
    """The same, harmless to print; GuestUnreadable for what no partition table says."""
    roots = (facts.root,) if facts.root is not None else ()
    if len(facts.partitions) > MOST_PARTITIONS or not all(_possible(one) for one in (*facts.partitions, *roots)):
        raise GuestUnreadable("what was read as its partition table cannot be one")
    return replace(
        facts,
        table=one_line(facts.table, _WORD),
        partitions=tuple(_harmless(one) for one in facts.partitions),
        root=None if facts.root is None else _harmless_root(facts.root),
        os=_text(facts.os, _WORD),
        os_version=_text(facts.os_version, _WORD),
        network=tuple(dict.fromkeys(facts.network)),
        agent_seen=_text(facts.agent_seen, _LABEL),
        selinux=_text(facts.selinux, _WORD),
        back_end=_text(facts.back_end, _WORD),
        doubt=_text(facts.doubt, _TEXT),
    )


def _possible(place: Partition | Root) -> bool:
    number = place.number if isinstance(place, Partition) else place.partition
    return 0 <= number < 2**16 and place.start >= 0 and place.size > 0 and place.start + place.size < 2**63


def _harmless(partition: Partition) -> Partition:
    return replace(
        partition,
        type=one_line(partition.type, _WORD),
        name=_text(partition.name, _LABEL),
        filesystem=_text(partition.filesystem, _WORD),
        label=_text(partition.label, _LABEL),
        uuid=_text(partition.uuid, _WORD),
    )


def _harmless_root(root: Root) -> Root:
    """A volume is a name for libguestfs, and goes back to it as it came."""
    found_by, volume = one_line(root.found_by, _LABEL), root.volume
    if volume is not None and (len(volume) > _LABEL or one_line(volume, _LABEL) != volume):
        raise GuestUnreadable("the name of its root's volume is no name")
    return replace(root, filesystem=one_line(root.filesystem, _WORD), found_by=found_by)


def _text(text: str | None, limit: int) -> str | None:
    return None if text is None else one_line(text, limit)
