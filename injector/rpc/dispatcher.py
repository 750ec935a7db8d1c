"""The dispatcher as others call it: its operations (Protocol), and the client that carries them over the bus."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from injector import wire
from injector.errors import BusUnavailable, VersionMismatch
from injector.model.boot import BootRequest, ClientToken, Rebuild
from injector.model.context import Context
from injector.model.facts import ImageFacts
from injector.model.generation import Drive, IdPolicy
from injector.model.host import HostFacts
from injector.model.instance import Instance, State
from injector.model.network import Forward
from injector.model.report import Report
from injector.rpc.bus import Bus

LOG = logging.getLogger(__name__)

TOPIC = "injector-dispatcher"
VERSION = "1.1"

_SINCE = dict.fromkeys(("rebuild", "host_alive", "enable_host", "drain_host", "evacuate_host", "forget_host"), "1.1")
_ARGUMENTS_SINCE = {"token": "1.1", "call": "1.1", "before": "1.1"}
"""What came with which version; all else has been there from the first."""

_SECONDS = (15.0, 15.0, 30.0)
"""How long each time; less than what a caller of the API waits in all."""

Packed = dict[str, Any]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def new_call() -> str:
    """The id of a call; whoever may have to repeat it keeps it."""
    return uuid.uuid4().hex


class Dispatcher(Protocol):
    """Only the dispatcher writes instances, claims and addresses. Answers mean: it is durable.

    ``call`` is the id of a call that changes a record: the same one, come again, changes nothing and is answered with
    the record as it is.
    """

    def build(
        self, context: Context, requests: tuple[BootRequest, ...], minimum: int, token: ClientToken | None = None
    ) -> tuple[Instance, ...]:
        """Record the guests and have them built: all, or at least ``minimum``; else nothing is kept.

        With a token that is known already, those that were recorded for it; Conflict when it was for something else.
        Undeliverable when no known host can carry the request; NoHost when none is known; Conflict on addresses.
        """
        ...

    def place(self, context: Context, request: BootRequest) -> Instance:
        """The record that ``build`` would make of it now, payload included: nothing is kept, nothing claimed.

        Raises what ``build`` does.
        """
        ...

    def act(self, context: Context, instance_id: str, state: State, call: str = "") -> Instance:
        """Begin STOPPING, PAUSING, DELETING or the like; Conflict when no road leads there.

        Not BUILDING, REBUILDING or REFRESHING: those have calls of their own.
        """
        ...

    def rebuild(self, context: Context, instance_id: str, wanted: Rebuild, call: str = "") -> Instance:
        """Begin to make the guest anew; Conflict when it is busy, was never launched, or its host has no room for it.

        Undeliverable or GuestUnreadable when its host cannot bring in what is asked for.
        """
        ...

    def set_metadata(
        self, context: Context, instance_id: str, metadata: Mapping[str, str], before: Mapping[str, str] | None = None
    ) -> Instance:
        """Replace the metadata of the record; what was delivered stays as it is.

        StaleError when they are no longer those from ``before``, out of which the new ones were made.
        """
        ...

    def refresh(
        self, context: Context, instance_id: str, policy: IdPolicy | None, to: int | None, call: str = ""
    ) -> Instance:
        """Begin to make the next generation of the config drive, or to go back to generation ``to`` (no policy then).

        Conflict when it has no config drive or is busy; NotFound when ``to`` is not kept.
        """
        ...

    def assignment(self, host: str, instance_id: str) -> Instance | None:
        """The record, if this host is to care for it; None when it is not (any more)."""
        ...

    def assignments(self, host: str) -> tuple[Instance, ...]:
        """Every record this host is to care for, ERROR ones included, deleted ones not."""
        ...

    def report(self, host: str, instance_id: str, attempt: int, report: Report, call: str = "") -> bool:
        """Take a report; False means "let go": the record is elsewhere by now."""
        ...

    def drive(self, host: str, instance_id: str) -> Drive:
        """What makes the drives of this host's instance again; NotFound when it is not this host's (any more)."""
        ...

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Forward) -> Forward:
        """Another host port for a forward whose port is in use by a stranger."""
        ...

    def host_report(self, facts: HostFacts) -> None:
        """Take a host's inventory; also its sign of life."""
        ...

    def host_alive(self, host: str) -> bool:
        """Take a host's sign of life; False when it is not known and should report itself."""
        ...

    def enable_host(self, context: Context, host: str, enabled: bool, reason: str | None) -> None:
        """Whether it gets guests; those it has stay. NotFound."""
        ...

    def drain_host(self, context: Context, host: str, reason: str | None) -> tuple[str, ...]:
        """Disable it and move what was not yet allowed to start there; ids of the guests that are left on it."""
        ...

    def evacuate_host(self, context: Context, host: str) -> tuple[str, ...]:
        """On the operator's word that it is dead: make its guests anew on other hosts. Ids of those that are.

        Conflict while it gives signs of life.
        """
        ...

    def forget_host(self, context: Context, host: str) -> None:
        """Remove its record; Conflict while there are guests on it, or it gives signs of life."""
        ...

    def image_report(self, sha256: str, facts: ImageFacts) -> None:
        """Take what was found inside an image with this digest; may be told again."""
        ...


class DispatcherEndpoint:
    """A dispatcher behind the bus: values in and out of their wire form."""

    version = VERSION
    methods = (
        "build",
        "place",
        "act",
        "rebuild",
        "set_metadata",
        "assignment",
        "assignments",
        "refresh",
        "drive",
        "report",
        "reforward",
        "host_report",
        "host_alive",
        "enable_host",
        "drain_host",
        "evacuate_host",
        "forget_host",
        "image_report",
    )

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def build(
        self, context: Context, requests: list[Packed], minimum: int, token: Packed | None = None
    ) -> list[Packed]:
        unpacked = tuple(wire.unpack(request, BootRequest) for request in requests)
        known = None if token is None else wire.unpack(token, ClientToken)
        return [wire.pack(instance) for instance in self._dispatcher.build(context, unpacked, minimum, known)]

    def place(self, context: Context, request: Packed) -> Packed:
        return wire.pack(self._dispatcher.place(context, wire.unpack(request, BootRequest)))

    def act(self, context: Context, instance_id: str, state: str, call: str = "") -> Packed:
        return wire.pack(self._dispatcher.act(context, instance_id, State(state), call))

    def rebuild(self, context: Context, instance_id: str, wanted: Packed, call: str = "") -> Packed:
        return wire.pack(self._dispatcher.rebuild(context, instance_id, wire.unpack(wanted, Rebuild), call))

    def set_metadata(
        self, context: Context, instance_id: str, metadata: dict[str, str], before: dict[str, str] | None = None
    ) -> Packed:
        return wire.pack(self._dispatcher.set_metadata(context, instance_id, metadata, before))

    def refresh(self, context: Context, instance_id: str, policy: str | None, to: int | None, call: str = "") -> Packed:
        wanted = None if policy is None else IdPolicy(policy)
        return wire.pack(self._dispatcher.refresh(context, instance_id, wanted, to, call))

    def drive(self, host: str, instance_id: str) -> Packed:
        return wire.pack(self._dispatcher.drive(host, instance_id))

    def assignment(self, host: str, instance_id: str) -> Packed | None:
        instance = self._dispatcher.assignment(host, instance_id)
        return None if instance is None else wire.pack(instance)

    def assignments(self, host: str) -> list[Packed]:
        return [wire.pack(instance) for instance in self._dispatcher.assignments(host)]

    def report(self, host: str, instance_id: str, attempt: int, report: Packed, call: str = "") -> bool:
        return self._dispatcher.report(host, instance_id, attempt, wire.unpack(report), call)

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Packed) -> Packed:
        return wire.pack(self._dispatcher.reforward(host, instance_id, attempt, wire.unpack(taken, Forward)))

    def host_report(self, facts: Packed) -> None:
        self._dispatcher.host_report(wire.unpack(facts, HostFacts))

    def host_alive(self, host: str) -> bool:
        return self._dispatcher.host_alive(host)

    def enable_host(self, context: Context, host: str, enabled: bool, reason: str | None) -> None:
        self._dispatcher.enable_host(context, host, enabled, reason)

    def drain_host(self, context: Context, host: str, reason: str | None) -> list[str]:
        return list(self._dispatcher.drain_host(context, host, reason))

    def evacuate_host(self, context: Context, host: str) -> list[str]:
        return list(self._dispatcher.evacuate_host(context, host))

    def forget_host(self, context: Context, host: str) -> None:
        self._dispatcher.forget_host(context, host)

    def image_report(self, sha256: str, facts: Packed) -> None:
        self._dispatcher.image_report(sha256, wire.unpack(facts, ImageFacts))


class DispatcherClient:
    """Dispatcher, over the bus. Every call may be repeated, and is: one that is killed has lost what it had taken."""

    def __init__(self, bus: Bus, level: str = VERSION) -> None:
        """``level``: the oldest version of any dispatcher there is, while they are being upgraded."""
        self._bus = bus
        self._level = level

    def _call(self, method: str, **arguments: Any) -> Any:
        """VersionMismatch when it takes a dispatcher newer than ``level``."""
        if not self._knows(_SINCE.get(method)):
            raise VersionMismatch(f"dispatchers are held at version {self._level} and do not offer {method} yet")
        said = {name: value for name, value in arguments.items() if self._knows(_ARGUMENTS_SINCE.get(name))}
        for seconds in _SECONDS[:-1]:
            try:
                return self._bus.call(TOPIC, method, version=self._level, timeout=seconds, **said)
            except BusUnavailable as error:
                LOG.warning("%s is asked for again: %s (%s)", method, error, error.detail or "-")
        return self._bus.call(TOPIC, method, version=self._level, timeout=_SECONDS[-1], **said)

    def _knows(self, since: str | None) -> bool:
        return since is None or _numbers(since) <= _numbers(self._level)

    def find(self, host: str, seconds: float) -> None:
        """BusUnavailable when none answers within ``seconds``; it is asked for no record that there is."""
        self._bus.call(TOPIC, "assignment", version="1.0", timeout=seconds, host=host, instance_id="none")

    def build(
        self, context: Context, requests: tuple[BootRequest, ...], minimum: int, token: ClientToken | None = None
    ) -> tuple[Instance, ...]:
        packed = [wire.pack(request) for request in requests]
        known = None if token is None else wire.pack(token)
        reply = self._call("build", context=context, requests=packed, minimum=minimum, token=known)
        return tuple(wire.unpack(item, Instance) for item in reply)

    def place(self, context: Context, request: BootRequest) -> Instance:
        reply = self._call("place", context=context, request=wire.pack(request))
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def act(self, context: Context, instance_id: str, state: State, call: str = "") -> Instance:
        reply = self._call("act", context=context, instance_id=instance_id, state=state.value, call=call or new_call())
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def rebuild(self, context: Context, instance_id: str, wanted: Rebuild, call: str = "") -> Instance:
        packed = wire.pack(wanted)
        reply = self._call("rebuild", context=context, instance_id=instance_id, wanted=packed, call=call or new_call())
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def set_metadata(
        self, context: Context, instance_id: str, metadata: Mapping[str, str], before: Mapping[str, str] | None = None
    ) -> Instance:
        said = {"metadata": dict(metadata), "before": None if before is None else dict(before)}
        reply = self._call("set_metadata", context=context, instance_id=instance_id, **said)
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def refresh(
        self, context: Context, instance_id: str, policy: IdPolicy | None, to: int | None, call: str = ""
    ) -> Instance:
        wanted = None if policy is None else policy.value
        reply = self._call(
            "refresh", context=context, instance_id=instance_id, policy=wanted, to=to, call=call or new_call()
        )
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def drive(self, host: str, instance_id: str) -> Drive:
        drive: Drive = wire.unpack(self._call("drive", host=host, instance_id=instance_id), Drive)
        return drive

    def assignment(self, host: str, instance_id: str) -> Instance | None:
        reply = self._call("assignment", host=host, instance_id=instance_id)
        return None if reply is None else wire.unpack(reply, Instance)

    def assignments(self, host: str) -> tuple[Instance, ...]:
        return tuple(wire.unpack(item, Instance) for item in self._call("assignments", host=host))

    def report(self, host: str, instance_id: str, attempt: int, report: Report, call: str = "") -> bool:
        packed, known = wire.pack(report), call or new_call()
        reply = self._call("report", host=host, instance_id=instance_id, attempt=attempt, report=packed, call=known)
        return bool(reply)

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Forward) -> Forward:
        packed = wire.pack(taken)
        reply = self._call("reforward", host=host, instance_id=instance_id, attempt=attempt, taken=packed)
        forward: Forward = wire.unpack(reply, Forward)
        return forward

    def host_report(self, facts: HostFacts) -> None:
        self._call("host_report", facts=wire.pack(facts))

    def host_alive(self, host: str) -> bool:
        """An older dispatcher takes a whole report only."""
        return self._knows(_SINCE["host_alive"]) and bool(self._call("host_alive", host=host))

    def enable_host(self, context: Context, host: str, enabled: bool, reason: str | None) -> None:
        self._call("enable_host", context=context, host=host, enabled=enabled, reason=reason)

    def drain_host(self, context: Context, host: str, reason: str | None) -> tuple[str, ...]:
        return tuple(self._call("drain_host", context=context, host=host, reason=reason))

    def evacuate_host(self, context: Context, host: str) -> tuple[str, ...]:
        return tuple(self._call("evacuate_host", context=context, host=host))

    def forget_host(self, context: Context, host: str) -> None:
        self._call("forget_host", context=context, host=host)

    def image_report(self, sha256: str, facts: ImageFacts) -> None:
        self._call("image_report", sha256=sha256, facts=wire.pack(facts))
