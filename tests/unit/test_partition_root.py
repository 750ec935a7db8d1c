"""Which file system of a disk is written into."""

from __future__ import annotations

from dataclasses import replace

import pytest

from injector.errors import GuestUnreadable
from injector.inject.partition.root import root_of
from injector.model.facts import ImageFacts, Partition, Root

ROOT = Root(3, 2**21, 2**30, "ext4", "by its partition type")
TABLE = (
    Partition(1, 2**20, 2**20, "ef"),
    Partition(3, 2**21, 2**30, "83", filesystem="ext4"),
    Partition(5, 2**31, 2**30, "83", filesystem="xfs"),
)
FACTS = ImageFacts("gpt", TABLE, ROOT)


def test_inspection_is_believed() -> None:
    assert root_of(FACTS, -1) == ROOT
    assert root_of(FACTS, 3) == ROOT, "named, and known better from inspection"


def test_a_named_partition_is_taken_whatever_inspection_says() -> None:
    root = root_of(FACTS, 5)
    assert (root.partition, root.start, root.size, root.filesystem) == (5, 2**31, 2**30, "xfs")


@pytest.mark.parametrize(
    "whole",
    [
        ImageFacts("none", (), Root(0, 0, 2**30, "ext4", "by inspection")),
        ImageFacts("none", (Partition(0, 0, 2**30, "", filesystem="ext4"),)),
    ],
)
def test_the_whole_disk_is_a_file_system_only_where_one_is_recognised(whole: ImageFacts) -> None:
    root = root_of(whole, 0)
    assert (root.partition, root.start, root.size, root.filesystem) == (0, 0, 2**30, "ext4")


@pytest.mark.parametrize(
    ("facts", "number", "why"),
    [
        (replace(FACTS, root=None, doubt="two systems: 3 and 5"), -1, "two systems: 3 and 5"),
        (replace(FACTS, root=None), -1, "nothing looks like one"),
        (FACTS, 0, "partition table .gpt."),
        (ImageFacts("none"), 0, "none is recognised"),
        (FACTS, 2, "it has: 1, 3, 5"),
        (ImageFacts("none"), 1, "it has: none"),
        (FACTS, 1, "no file system is recognised in the image's partition 1"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(facts: ImageFacts, number: int, why: str) -> None:
    with pytest.raises(GuestUnreadable, match=why):
        root_of(facts, number)
