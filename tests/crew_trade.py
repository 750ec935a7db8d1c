"""A trade for the crew's tests: what a worker does, and misdoes, is said by the path it is to look at."""

from __future__ import annotations

from collections.abc import Callable

from injector.inject.partition.errand import Answer, Errand, Inject, Injected, Look, Looked, SeenFile
from injector.inject.partition.filesystem import Disk
from injector.model.secret import Secret


def perform(errand: Errand, disk: Disk) -> Answer:
    if isinstance(errand, Inject):
        disk.write(errand.root.start, errand.wanted[0].content.reveal())
        disk.flush()
        return Answer(injected=Injected("none", (), (), ()))
    assert isinstance(errand, Look)
    verb, _, argument = errand.paths[0].partition(":")
    content = VERBS[verb](argument, disk, errand)
    return Answer(looked=Looked((SeenFile(verb, verb, Secret(content), 0, 0, 0),)))


def _read(argument: str, disk: Disk, errand: Look) -> bytes:
    return disk.read(errand.root.start, int(argument))


VERBS: dict[str, Callable[[str, Disk, Look], bytes]] = {"read": _read}
