"""One case: guests live, a fault strikes, all comes to rest, is counted, and goes."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from injector.rpc import Client
from tests.faults.count import Count, count, left
from tests.faults.kinds import HOST_DOWN_AFTER, KINDS, Scene
from tests.faults.private import Servers
from tests.faults.sightings import Sightings
from tests.faults.traffic import Guest, Rest, Road, Rpc, Traffic, stories
from tests.rig import Layout, Rig, Tinies, a_rig
from tests.running import Options
from tests.system.conftest import INJECTING

HOSTS = 3
_SPREAD_SECONDS = 5.0
_LATER_SECONDS = 1.0
_REST_SECONDS = 240.0
_GONE_SECONDS = 90.0
_SMALL = "rig-2"
_SMALL_SIZE = 8 << 30

_OPTIONS: Options = {
    **INJECTING,
    "dispatcher": {"ring_interval": 1, "host_down_after": HOST_DOWN_AFTER},
    "compute": {"report_interval": 1, "reconcile_interval": 3, "witness_interval": 1},
    "libvirt": INJECTING["libvirt"] | {"shutdown_timeout": 5},
}

_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class Result:
    """One line of the results; ``lost`` and the like are sentences. ``moment``: steps of the guests' that were done.

    ``seconds``: from then until nothing was left. ``logs``: where the services' words are kept.
    """

    kind: str
    seed: int
    round: int
    moment: str
    victim: str
    guests: int
    lost: tuple[str, ...]
    twice: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    seconds: float = 0
    logs: str | None = None

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.stuck or self.left)

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Pace:
    """Seconds: ``outage`` of the broker when it is stopped; ``words`` for guests to say what they found, once at rest.

    Under emulation and on a busy machine the latter takes minutes.
    """

    outage: float = 30.0
    words: float = 90.0


class Stage:
    """A rig that stands for many cases; it is spoilt for others by one that is not clean."""

    def __init__(self, rig: Rig, servers: Servers, furniture: Tinies, client: Client, pace: Pace) -> None:
        self.rig = rig
        self._servers = servers
        self._furniture = furniture
        self._pace = pace
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(rig.api.state / "api.sock")),
            base_url="http://injector",
            timeout=70,
            headers=rig.http.headers,
        )
        self._roads: dict[str, Road] = {"rest": Rest(self._http), "rpc": Rpc(client)}

    def run(self, kind: str, seed: int, number: int) -> Result:
        chance = random.Random(f"{kind} {seed} {number}")
        traffic = Traffic(self._roads, self._furniture, stories(chance, _SPREAD_SECONDS))
        sightings = Sightings(self.rig.libvirts)
        scene = Scene(self.rig, self._servers, chance, _SMALL, self._pace.outage)
        sightings.start()
        with KINDS[kind].during(scene) as wrong:
            traffic.begin()
            # By what has been done, and not by the clock: a busy machine takes ten times as long for it.
            traffic.wait_for_step(chance.randrange(traffic.steps))
            scene.wait(0, _LATER_SECONDS)
            moment = traffic.done
            started = time.monotonic()
            victim = KINDS[kind].strike(scene)
            traffic.wait()
            counted = self._when_at_rest(traffic.guests, kind)
            remains = self._when_gone()
        sightings.stop()
        return Result(
            kind=kind,
            seed=seed,
            round=number,
            moment=f"{moment} of {traffic.steps}",
            victim=f"{wrong}{victim}",
            guests=len(traffic.guests),
            lost=counted.lost,
            twice=tuple(sightings.twice.values()),
            stuck=counted.stuck,
            left=remains,
            errors=counted.errors,
            unheard=counted.unheard,
            seconds=round(time.monotonic() - started, 1),
        )

    def _when_at_rest(self, guests: list[Guest], kind: str) -> Count:
        explains = KINDS[kind].explains
        resting = _until(
            lambda: count(self.rig, guests, explains), lambda found: not (found.lost or found.stuck), _REST_SECONDS
        )
        if resting.lost or resting.stuck:
            return resting
        return _until(
            lambda: count(self.rig, guests, explains),
            lambda found: bool(found.lost or not found.unheard),
            self._pace.words,
        )

    def _when_gone(self) -> tuple[str, ...]:
        asked: set[str] = set()

        def look() -> tuple[str, ...]:
            there = {server["id"] for server in self.rig.servers()}
            for server_id in there - asked:
                self.rig.delete(server_id)
            asked.update(there)
            return tuple(f"server {one} is not deleted" for one in there) or left(self.rig)

        return _until(look, lambda found: not found, _GONE_SECONDS)


def _until(look: Callable[[], _Seen], good: Callable[[_Seen], bool], seconds: float) -> _Seen:
    """What is seen when it is good, or at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if good(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


@contextmanager
def a_stage(servers: Servers, pace: Pace) -> Iterator[Stage]:
    layout = Layout(hosts=HOSTS, own_libvirt=True, options=_OPTIONS)
    with ExitStack() as undo:
        rig = undo.enter_context(a_rig(layout))
        _give_own_disk(rig.computes[_SMALL].state)
        rig.start()
        # It does not wait for an answer as long as a service does.
        client = undo.enter_context(rig.rpc_client(rpc_response_timeout=20))
        yield Stage(rig, servers, rig.furnish_both(), client, pace)


def _give_own_disk(state: Path) -> None:
    """A file system of its own for a host."""
    image = state.with_name(f"{state.name}.ext4")
    with image.open("wb") as file:
        file.truncate(_SMALL_SIZE)
    # Nothing is reserved for root: a full disk is to be full for everybody.
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    state.mkdir()
    subprocess.run(["mount", "-o", "loop", image, state], check=True)
    state.chmod(0o711)


def keep_logs(rig: Rig, directory: Path) -> str:
    """A copy of what the services have said."""
    shutil.copytree(rig.directory / "log", directory, dirs_exist_ok=True)
    for name in rig.libvirts:
        shutil.copyfile(rig.directory / f"libvirt-{name}" / "libvirtd.log", directory / f"libvirtd-{name}.log")
    return str(directory)
