"""What a worker is born to do: errands in ext file systems, over whatever disk it is given."""

from __future__ import annotations

from typing import assert_never

from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.errand import Answer, Errand, Inject, Injected, Look, Looked, Survey, Surveyed
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.filesystem import Disk
from injector.inject.partition.survey import survey


def perform(errand: Errand, disk: Disk) -> Answer:
    """Raises whatever the file system and the errand raise."""
    opener = ExtOpener(disk)
    match errand:
        case Survey():
            return Answer(surveyed=Surveyed(survey(disk, opener)))
        case Inject() | Look():
            done = carry_out(errand, opener)
    match done:
        case Injected():
            return Answer(injected=done)
        case Looked():
            return Answer(looked=done)
        case _:
            assert_never(done)
