"""What clients do meanwhile: guests are booted, changed and deleted over both APIs, and asked again when unanswered.

What was acknowledged is written down, to be compared with what there is in the end.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx

from injector.errors import HostError, InjectorError, InternalError, NotFound, StaleError
from injector.rpc import Client, File, RebuildOptions
from tests.caller import b64
from tests.rig import Tinies

PATIENCE_SECONDS = 150.0
_AGAIN_SECONDS = 0.4
_LOOK_SECONDS = 0.25
SETTLED = frozenset({"ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "ERROR"})

_Answer = TypeVar("_Answer")


class Unanswered(Exception):
    """Nobody answered, or not whether it was done."""


class Refused(Exception):
    """An answer, and it was no."""


class Gone(Exception):
    """There is no such server."""


class Road(Protocol):
    """One API. Each raises Unanswered, Refused or Gone."""

    def boot(self, server: dict[str, Any]) -> str: ...
    def show(self, server_id: str) -> dict[str, Any]: ...
    def delete(self, server_id: str) -> None: ...
    def act(self, server_id: str, action: str) -> None: ...
    def rebuild(self, server_id: str, image: str, path: str, content: bytes) -> None: ...


class Rest:
    """Over HTTP; the client is that of one api."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def boot(self, server: dict[str, Any]) -> str:
        return str(self._call("POST", "/v2.1/servers", {"server": server})["server"]["id"])

    def show(self, server_id: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/v2.1/servers/{server_id}")["server"])

    def delete(self, server_id: str) -> None:
        self._call("DELETE", f"/v2.1/servers/{server_id}")

    def act(self, server_id: str, action: str) -> None:
        word = {"stop": "os-stop", "start": "os-start"}.get(action, action)
        self._call("POST", f"/v2.1/servers/{server_id}/action", {word: None})

    def rebuild(self, server_id: str, image: str, path: str, content: bytes) -> None:
        files = [{"path": path, "contents": b64(content)}]
        body = {"rebuild": {"imageRef": image, "personality": files}}
        self._call("POST", f"/v2.1/servers/{server_id}/action", body)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise Unanswered(repr(error)) from error
        if answer.status_code >= 500:
            raise Unanswered(answer.text)
        if answer.status_code == 404:
            raise Gone
        if answer.status_code >= 400:
            raise Refused(f"{answer.status_code} {answer.text}")
        return answer.json() if answer.content else None


class Rpc:
    """Over the bus."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def boot(self, server: dict[str, Any]) -> str:
        return str(self._ask(lambda: self._client.create_servers(server)).servers[0]["id"])

    def show(self, server_id: str) -> dict[str, Any]:
        return self._ask(lambda: self._client.show(server_id))

    def delete(self, server_id: str) -> None:
        self._ask(lambda: self._client.delete(server_id))

    def act(self, server_id: str, action: str) -> None:
        self._ask(lambda: getattr(self._client, action)(server_id))

    def rebuild(self, server_id: str, image: str, path: str, content: bytes) -> None:
        options = RebuildOptions(files=(File(path, content),))
        self._ask(lambda: self._client.rebuild(server_id, image, options))

    @staticmethod
    def _ask(question: Callable[[], _Answer]) -> _Answer:
        try:
            return question()
        except NotFound as error:
            raise Gone from error
        except (HostError, StaleError, InternalError) as error:
            raise Unanswered(repr(error)) from error
        except InjectorError as error:
            raise Refused(repr(error)) from error


@dataclass(frozen=True)
class Story:
    """What becomes of one guest. ``steps``: "active" waits for it, a number for so many seconds, all else is asked."""

    name: str
    steps: tuple[str | float, ...]
    channel: str
    road: str
    token: str | None
    begins: float


_STORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("stays", ()),
    ("stays-too", ()),
    ("deleted-early", ("soon", "delete")),
    ("deleted-building", ("later", "delete")),
    ("deleted", ("active", "delete")),
    ("stopped", ("active", "stop")),
    ("started", ("active", "stop", "shutoff", "start")),
    ("rebuilt", ("active", "rebuild")),
    ("paused", ("active", "pause", "paused", "unpause")),
)
_STATUS_AFTER = {"stop": "SHUTOFF", "start": "ACTIVE", "pause": "PAUSED", "unpause": "ACTIVE", "delete": "gone"}
_PAUSES = {"soon": 0.3, "later": 2.0}


def stories(chance: random.Random, spread: float) -> list[Story]:
    """One of each, each beginning at some moment of ``spread`` seconds."""
    return [
        Story(
            name=f"{name}-{chance.getrandbits(32):08x}",
            steps=tuple(chance.uniform(0, _PAUSES[step]) if step in _PAUSES else step for step in steps),
            channel=chance.choice(("drive", "partition")),
            road=chance.choice(("rest", "rpc")),
            token=str(uuid.UUID(int=chance.getrandbits(128))) if chance.random() < 0.75 else None,
            begins=chance.uniform(0, spread),
        )
        for name, steps in _STORIES
    ]


@dataclass
class Guest:
    """A story as far as it has come: what was acknowledged, and what was asked and not answered.

    ``wanted``: the statuses that it may be found in; several while it is not known whether the last wish was heard.
    ``contents`` likewise, of its file.
    """

    story: Story
    id: str | None = None
    wanted: set[str] = field(default_factory=set)
    contents: set[bytes] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/etc/{self.story.name}"

    def digests(self) -> set[str]:
        return {hashlib.sha256(content).hexdigest() for content in self.contents}


class Traffic:
    """A thread for each story. ``done`` counts the steps that are, of ``steps`` in all."""

    def __init__(self, roads: dict[str, Road], furniture: Tinies, told: Sequence[Story]) -> None:
        self._roads = roads
        self._furniture = furniture
        self.guests = [Guest(story) for story in told]
        self.steps = sum(1 + len(story.steps) for story in told)
        self.done = 0
        self._mutex = threading.Lock()
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self._threads = [threading.Thread(target=self._live, args=(guest,), daemon=True) for guest in self.guests]

    def begin(self) -> None:
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.start()

    def wait_for_step(self, number: int) -> None:
        """Until so many are done, or no more will be."""
        while self.done < number and any(thread.is_alive() for thread in self._threads):
            time.sleep(0.01)

    def wait(self) -> None:
        """Until all stories have been told, or given up at their deadline."""
        for thread in self._threads:
            thread.join()

    def _live(self, guest: Guest) -> None:
        time.sleep(guest.story.begins)
        try:
            self._boot(guest)
            self._count()
            for step in guest.story.steps:
                self._step(guest, step)
                self._count()
        except _Ended:
            pass
        except Exception as error:
            guest.troubles.append(repr(error))

    def _count(self) -> None:
        with self._mutex:
            self.done += 1

    # the steps

    def _boot(self, guest: Guest) -> None:
        story = guest.story
        content = f"{story.name}\n".encode()
        server: dict[str, Any] = {
            "name": story.name,
            "imageRef": self._image(story),
            "flavorRef": "1",
            "networks": [{"uuid": self._furniture.network}],
            "personality": [{"path": guest.path, "contents": b64(content)}],
            "metadata": {"story": story.name},
        }
        if story.channel == "drive":
            server["config_drive"] = True
        if story.token is not None:
            server["injector:client_token"] = story.token
        guest.contents = {content}
        road = self._roads[story.road]
        guest.id = self._ask(guest, "boot", lambda: road.boot(server), again=story.token is not None)
        if guest.id is None:
            guest.troubles.append("boot: no, after an answer that was lost")
            raise _Ended
        guest.wanted = {"ACTIVE"}

    def _step(self, guest: Guest, step: str | float) -> None:
        if isinstance(step, float):
            time.sleep(step)
        elif step in _STATUS_AFTER:
            self._act(guest, step)
        elif step == "rebuild":
            self._rebuild(guest)
        else:
            self._wait_for(guest, step.upper())

    def _act(self, guest: Guest, action: str) -> None:
        assert guest.id is not None
        server_id, road, after = guest.id, self._roads[guest.story.road], _STATUS_AFTER[action]
        guest.wanted = guest.wanted | {after}
        if action == "delete":
            self._ask(guest, action, lambda: road.delete(server_id), gone=True)
        else:
            self._ask(guest, action, lambda: road.act(server_id, action))
        guest.wanted = {after}

    def _rebuild(self, guest: Guest) -> None:
        assert guest.id is not None
        server_id, road, story = guest.id, self._roads[guest.story.road], guest.story
        content = f"{story.name} rebuilt\n".encode()
        guest.contents = guest.contents | {content}
        image = self._image(story)
        self._ask(guest, "rebuild", lambda: road.rebuild(server_id, image, guest.path, content))
        guest.contents = {content}

    def _wait_for(self, guest: Guest, status: str) -> None:
        assert guest.id is not None
        server_id, road = guest.id, self._roads[guest.story.road]
        while time.monotonic() < self._deadline:
            try:
                server = road.show(server_id)
            except Unanswered:
                server = {"status": "?"}
            except Gone:
                guest.troubles.append(f"gone while it was to become {status}")
                raise _Ended from None
            if server["status"] == "ERROR":
                raise _Ended
            if server["status"] == status and server["OS-EXT-STS:task_state"] is None:
                return
            time.sleep(_LOOK_SECONDS)
        guest.troubles.append(f"was never seen {status}")
        raise _Ended

    def _ask(
        self, guest: Guest, what: str, question: Callable[[], _Answer], *, again: bool = True, gone: bool = False
    ) -> _Answer | None:
        """The answer; asked until there is one. None for a "no" after silence: it may mean "already"."""
        silence = False
        while True:
            try:
                return question()
            except Gone:
                if gone and silence:
                    return None
                guest.troubles.append(f"{what}: no such server")
            except Refused as error:
                if silence:
                    return None
                guest.troubles.append(f"{what}: {error}")
            except Unanswered as error:
                silence = True
                if again and time.monotonic() < self._deadline:
                    time.sleep(_AGAIN_SECONDS)
                    continue
                if again:
                    guest.troubles.append(f"{what}: never answered: {error}")
            raise _Ended

    def _image(self, story: Story) -> str:
        return self._furniture.drive if story.channel == "drive" else self._furniture.partition


class _Ended(Exception):
    """The story ends here."""
