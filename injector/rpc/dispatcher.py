"""The dispatcher as others call it: its operations (Protocol), and the client that carries them over the bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from injector import wire
from injector.model.boot import BootRequest
from injector.model.context import Context
from injector.model.facts import ImageFacts
from injector.model.generation import Drive, IdPolicy
from injector.model.host import HostFacts
from injector.model.instance import Instance, State
from injector.model.network import Forward
from injector.model.report import Report
from injector.rpc.bus import Bus

TOPIC = "injector-dispatcher"
VERSION = "1.0"

Packed = dict[str, Any]


class Dispatcher(Protocol):
    """Only the dispatcher writes instances, claims and addresses. Answers mean: it is durable."""

    def build(self, context: Context, requests: tuple[BootRequest, ...], minimum: int) -> tuple[Instance, ...]:
        """Record the guests and have them built: all, or at least ``minimum``; else nothing is kept.

        Undeliverable when no known host can carry the request; NoHost when none is known; Conflict on addresses.
        """
        ...

    def place(self, context: Context, request: BootRequest) -> Instance:
        """The record that ``build`` would make of it now, payload included: nothing is kept, nothing claimed.

        Raises what ``build`` does.
        """
        ...

    def act(self, context: Context, instance_id: str, state: State) -> Instance:
        """Begin STOPPING, STARTING, REBOOTING, REBOOTING_HARD or DELETING; Conflict when no road leads there."""
        ...

    def set_metadata(self, context: Context, instance_id: str, metadata: Mapping[str, str]) -> Instance:
        """Replace the metadata of the record; what was delivered stays as it is."""
        ...

    def refresh(self, context: Context, instance_id: str, policy: IdPolicy | None, to: int | None) -> Instance:
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

    def report(self, host: str, instance_id: str, attempt: int, report: Report) -> bool:
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
        "set_metadata",
        "assignment",
        "assignments",
        "refresh",
        "drive",
        "report",
        "reforward",
        "host_report",
        "image_report",
    )

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def build(self, context: Context, requests: list[Packed], minimum: int) -> list[Packed]:
        unpacked = tuple(wire.unpack(request, BootRequest) for request in requests)
        return [wire.pack(instance) for instance in self._dispatcher.build(context, unpacked, minimum)]

    def place(self, context: Context, request: Packed) -> Packed:
        return wire.pack(self._dispatcher.place(context, wire.unpack(request, BootRequest)))

    def act(self, context: Context, instance_id: str, state: str) -> Packed:
        return wire.pack(self._dispatcher.act(context, instance_id, State(state)))

    def set_metadata(self, context: Context, instance_id: str, metadata: dict[str, str]) -> Packed:
        return wire.pack(self._dispatcher.set_metadata(context, instance_id, metadata))

    def refresh(self, context: Context, instance_id: str, policy: str | None, to: int | None) -> Packed:
        wanted = None if policy is None else IdPolicy(policy)
        return wire.pack(self._dispatcher.refresh(context, instance_id, wanted, to))

    def drive(self, host: str, instance_id: str) -> Packed:
        return wire.pack(self._dispatcher.drive(host, instance_id))

    def assignment(self, host: str, instance_id: str) -> Packed | None:
        instance = self._dispatcher.assignment(host, instance_id)
        return None if instance is None else wire.pack(instance)

    def assignments(self, host: str) -> list[Packed]:
        return [wire.pack(instance) for instance in self._dispatcher.assignments(host)]

    def report(self, host: str, instance_id: str, attempt: int, report: Packed) -> bool:
        return self._dispatcher.report(host, instance_id, attempt, wire.unpack(report))

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Packed) -> Packed:
        return wire.pack(self._dispatcher.reforward(host, instance_id, attempt, wire.unpack(taken, Forward)))

    def host_report(self, facts: Packed) -> None:
        self._dispatcher.host_report(wire.unpack(facts, HostFacts))

    def image_report(self, sha256: str, facts: Packed) -> None:
        self._dispatcher.image_report(sha256, wire.unpack(facts, ImageFacts))


class DispatcherClient:
    """Dispatcher, over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._bus.call(TOPIC, method, version=VERSION, **arguments)

    def build(self, context: Context, requests: tuple[BootRequest, ...], minimum: int) -> tuple[Instance, ...]:
        packed = [wire.pack(request) for request in requests]
        reply = self._call("build", context=context, requests=packed, minimum=minimum)
        return tuple(wire.unpack(item, Instance) for item in reply)

    def place(self, context: Context, request: BootRequest) -> Instance:
        reply = self._call("place", context=context, request=wire.pack(request))
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def act(self, context: Context, instance_id: str, state: State) -> Instance:
        reply = self._call("act", context=context, instance_id=instance_id, state=state.value)
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def set_metadata(self, context: Context, instance_id: str, metadata: Mapping[str, str]) -> Instance:
        reply = self._call("set_metadata", context=context, instance_id=instance_id, metadata=dict(metadata))
        instance: Instance = wire.unpack(reply, Instance)
        return instance

    def refresh(self, context: Context, instance_id: str, policy: IdPolicy | None, to: int | None) -> Instance:
        wanted = None if policy is None else policy.value
        reply = self._call("refresh", context=context, instance_id=instance_id, policy=wanted, to=to)
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

    def report(self, host: str, instance_id: str, attempt: int, report: Report) -> bool:
        packed = wire.pack(report)
        return bool(self._call("report", host=host, instance_id=instance_id, attempt=attempt, report=packed))

    def reforward(self, host: str, instance_id: str, attempt: int, taken: Forward) -> Forward:
        packed = wire.pack(taken)
        reply = self._call("reforward", host=host, instance_id=instance_id, attempt=attempt, taken=packed)
        forward: Forward = wire.unpack(reply, Forward)
        return forward

    def host_report(self, facts: HostFacts) -> None:
        self._call("host_report", facts=wire.pack(facts))

    def image_report(self, sha256: str, facts: ImageFacts) -> None:
        self._call("image_report", sha256=sha256, facts=wire.pack(facts))
