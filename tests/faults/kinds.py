"""The faults: what is done to a rig at a random moment, and how it is mended again."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.faults import clock
from tests.faults.private import Servers
from tests.faults.traffic import Guest
from tests.rig import Rig, Service

HOST_DOWN_AFTER = 5
_CHECKOUT = Path(__file__).parents[2]
_HOUR = 3600
# Moments, in seconds, for which a killed service is away; no host is missed for so short a time.
_AWAY = (0.0, 2.0)


@dataclass(frozen=True)
class Scene:
    """What a fault may be done to. ``small`` is the host with a disk of its own; ``outage``: seconds of the broker."""

    rig: Rig
    servers: Servers
    chance: random.Random
    small: str
    outage: float

    def a_compute(self) -> Service:
        return self.rig.computes[self.chance.choice(sorted(self.rig.computes))]

    def wait(self, least: float, most: float) -> None:
        time.sleep(self.chance.uniform(least, most))


def _never(_server: Mapping[str, Any], _guest: Guest) -> bool:
    return False


@dataclass(frozen=True)
class Kind:
    """``strike`` does the fault and mends it, ``during`` holds for the whole case; both say in a few words to whom.

    ``explains``: whether a server (as shown) in ERROR could not be helped.
    """

    strike: Callable[[Scene], str] = lambda _scene: ""
    during: Callable[[Scene], AbstractContextManager[str]] = lambda _scene: nullcontext("")
    explains: Callable[[Mapping[str, Any], Guest], bool] = _never


def _killed(scene: Scene, service: Service, away: tuple[float, float] = _AWAY) -> str:
    service.kill()
    scene.wait(*away)
    service.start()
    return service.name


def _dispatchers_killed(scene: Scene) -> str:
    victims = scene.chance.choice([scene.rig.dispatchers[:1], scene.rig.dispatchers[1:], scene.rig.dispatchers])
    for one in victims:
        one.kill()
    scene.wait(*_AWAY)
    for one in victims:
        one.start()
    return " ".join(one.name for one in victims)


def _away(scene: Scene) -> str:
    return _killed(scene, scene.a_compute(), (HOST_DOWN_AFTER + 3, HOST_DOWN_AFTER + 6))


def _frozen(scene: Scene, victim: Service) -> str:
    """What had been sent to it comes late, after others have gone on."""
    victim.freeze()
    scene.wait(HOST_DOWN_AFTER + 3, HOST_DOWN_AFTER + 6)
    victim.thaw()
    return victim.name


def _broker_stopped(scene: Scene) -> str:
    scene.servers.broker.down()
    time.sleep(scene.outage)
    scene.servers.broker.up()
    return f"{scene.outage:g} s"


def _broker_killed(scene: Scene) -> str:
    scene.servers.broker.kill()
    scene.servers.broker.up()
    return ""


def _database_restarted(scene: Scene) -> str:
    if how := scene.chance.choice(("", "killed")):
        scene.servers.database.kill()
    else:
        scene.servers.database.down()
    scene.wait(*_AWAY)
    scene.servers.database.up()
    return how


def _libvirt_restarted(scene: Scene) -> str:
    name = scene.chance.choice(sorted(scene.rig.libvirts))
    libvirt = scene.rig.libvirts[name]
    assert libvirt.daemon is not None
    if how := scene.chance.choice(("", "killed")):
        libvirt.daemon.kill()
    else:
        libvirt.daemon.stop()
    scene.wait(*_AWAY)
    libvirt.start_again()
    return f"{name} {how}".strip()


def _disk_full(scene: Scene) -> str:
    """To the last block, for some seconds; what had been promised room is to go elsewhere."""
    ballast = scene.rig.computes[scene.small].state / "ballast"
    with ballast.open("wb") as file:
        size = 0
        for step in (1 << 28, 1 << 22, 1 << 16, 1 << 12):
            try:
                while True:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
            except OSError:
                pass
    scene.wait(6, 10)
    ballast.unlink()
    return scene.small


def _disk_explains(server: Mapping[str, Any], guest: Guest) -> bool:
    """A guest that is on a host already cannot go elsewhere to be made anew."""
    return "rebuild" in guest.story.steps and "disk is full" in str(server["injector:fault"])


def _libvirt_explains(server: Mapping[str, Any], guest: Guest) -> bool:
    """What is done to a guest where it is, and libvirt was away."""
    return "rebuild" in guest.story.steps and "libvirt" in str(server["injector:fault"])


@contextmanager
def _other_program(service: Service, command: list[str]) -> Iterator[None]:
    """The service as another command; as before, in the end."""
    before = service.command
    assert service.stop() == 0, service.words()[-4000:]
    service.command = command
    service.start()
    try:
        yield
    finally:
        if service.runs:
            service.kill()
        service.command = before
        service.start()


def _program(module: str) -> list[str]:
    """That of tests.faults, in place of a service's own."""
    code = f"import sys; sys.path.insert(0, {str(_CHECKOUT)!r}); from tests.faults import {module}; {module}.main()"
    return [sys.executable, "-c", code]


@contextmanager
def _messages_twice(scene: Scene) -> Iterator[str]:
    rig = scene.rig
    services = [*rig.dispatchers, *rig.computes.values()]
    before = {one.name: one.command for one in services}
    _restart(services, lambda one: [*_program("twice"), one.kind, f"--config-file={one.config}"])
    try:
        yield ""
    finally:
        _restart(services, lambda one: before[one.name])


def _restart(services: list[Service], command: Callable[[Service], list[str]]) -> None:
    for one in services:
        one.kill()
        one.command = command(one)
        one.start(wait=False)
    for one in services:
        one.wait_until_up(120)


@contextmanager
def _clock_off(scene: Scene) -> Iterator[str]:
    victim = scene.a_compute()
    sign = scene.chance.choice((1, -1))
    wrong = [f"{name}={value}" for name, value in clock.environment(sign * _HOUR).items()]
    with _other_program(victim, ["env", *wrong, *_program("clock"), f"--config-file={victim.config}"]):
        yield f"{victim.name} {sign:+d} h"
        said = datetime.fromisoformat(victim.news().splitlines()[-1][:19])
        assert abs((said - datetime.now()).total_seconds() - sign * _HOUR) < _HOUR / 2, "its clock was right"


KINDS: dict[str, Kind] = {
    "nothing": Kind(),
    "api_killed": Kind(lambda scene: _killed(scene, scene.rig.api)),
    "dispatcher_killed": Kind(_dispatchers_killed),
    "compute_killed": Kind(lambda scene: _killed(scene, scene.a_compute())),
    "compute_away": Kind(_away),
    "compute_frozen": Kind(lambda scene: _frozen(scene, scene.a_compute())),
    "dispatcher_frozen": Kind(lambda scene: _frozen(scene, scene.chance.choice(scene.rig.dispatchers))),
    "broker_stopped": Kind(_broker_stopped),
    "broker_killed": Kind(_broker_killed),
    "database_restarted": Kind(_database_restarted),
    "libvirt_restarted": Kind(_libvirt_restarted, explains=_libvirt_explains),
    "disk_full": Kind(_disk_full, explains=_disk_explains),
    "messages_twice": Kind(during=_messages_twice),
    "clock_off": Kind(during=_clock_off),
}
