"""A compute as others call it: its operations (Protocol), and the client that carries them over the bus."""

from __future__ import annotations

from typing import Any, Protocol

from injector import wire
from injector.model.generation import Difference, Inspection
from injector.model.host import HostFacts
from injector.model.instance import Instance
from injector.model.preview import Preview
from injector.rpc.bus import Bus

TOPIC = "injector-compute"
VERSION = "1.0"


class Compute(Protocol):
    """One host. ``ring`` is a doorbell: it says which record to look at, never what it holds."""

    def ring(self, instance_id: str) -> None:
        """Look at this record and do what it says; repeated rings have no second effect."""
        ...

    def console(self, instance_id: str, length: int) -> str:
        """The last ``length`` bytes of the guest's console, made harmless to print; NotFound when there is none."""
        ...

    def preview(self, instance: Instance) -> Preview:
        """What a build of this record (its payload included) would do; nothing is touched.

        Raises what a build would before its first effect: Undeliverable, InvalidRequest, HostError.
        """
        ...

    def verify(self, instance_id: str) -> Inspection:
        """Compare the current config drive with its receipt; NotFound when there is none."""
        ...

    def differences(self, instance_id: str) -> tuple[Difference, ...]:
        """What a refresh now would change on the config drive; NotFound when there is none."""
        ...

    def facts(self) -> HostFacts:
        """What the host is and can carry, looked at now."""
        ...


class ComputeEndpoint:
    """A compute behind the bus: values in and out of their wire form."""

    version = VERSION
    methods = ("ring", "console", "preview", "verify", "differences", "facts")

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    def ring(self, instance_id: str) -> None:
        self._compute.ring(instance_id)

    def console(self, instance_id: str, length: int) -> str:
        return self._compute.console(instance_id, length)

    def preview(self, instance: dict[str, Any]) -> dict[str, Any]:
        return wire.pack(self._compute.preview(wire.unpack(instance, Instance)))

    def verify(self, instance_id: str) -> dict[str, Any]:
        return wire.pack(self._compute.verify(instance_id))

    def differences(self, instance_id: str) -> list[dict[str, Any]]:
        return [wire.pack(one) for one in self._compute.differences(instance_id)]

    def facts(self) -> dict[str, Any]:
        return wire.pack(self._compute.facts())


class ComputeClient:
    """Computes, over the bus: each call names its host."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def ring(self, host: str, instance_id: str) -> None:
        self._bus.cast(TOPIC, "ring", server=host, version=VERSION, instance_id=instance_id)

    def console(self, host: str, instance_id: str, length: int) -> str:
        reply = self._bus.call(TOPIC, "console", server=host, version=VERSION, instance_id=instance_id, length=length)
        return str(reply)

    def preview(self, host: str, instance: Instance) -> Preview:
        reply = self._bus.call(TOPIC, "preview", server=host, version=VERSION, instance=wire.pack(instance))
        preview: Preview = wire.unpack(reply, Preview)
        return preview

    def verify(self, host: str, instance_id: str) -> Inspection:
        reply = self._bus.call(TOPIC, "verify", server=host, version=VERSION, instance_id=instance_id)
        found: Inspection = wire.unpack(reply, Inspection)
        return found

    def differences(self, host: str, instance_id: str) -> tuple[Difference, ...]:
        reply = self._bus.call(TOPIC, "differences", server=host, version=VERSION, instance_id=instance_id)
        return tuple(wire.unpack(one, Difference) for one in reply)

    def facts(self, host: str) -> HostFacts:
        facts: HostFacts = wire.unpack(self._bus.call(TOPIC, "facts", server=host, version=VERSION), HostFacts)
        return facts
