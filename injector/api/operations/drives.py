"""Config drives of servers: another one on purpose, those that are kept, and whether the host has what it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from injector.api import schemas
from injector.db import Store
from injector.errors import Conflict, InvalidRequest, NotFound
from injector.inject.comparison import Side, compare
from injector.model.context import Context
from injector.model.generation import BACK_TO_ANOTHER, Difference, Generation, IdPolicy, Inspection
from injector.model.ingredients import Ingredients
from injector.model.instance import Instance
from injector.rpc.dispatcher import Dispatcher
from injector.system.vault import Vault

REFRESH: schemas.Schema = {
    "type": ["null", "object"],
    "properties": {"policy": {"enum": [policy.value for policy in IdPolicy]}, "to": schemas.a_number(1)},
    "additionalProperties": False,
}


class Verifiers(Protocol):
    """Where drives are looked at: ``injector.rpc.compute.ComputeClient``."""

    def verify(self, host: str, instance_id: str) -> Inspection: ...

    def differences(self, host: str, instance_id: str) -> tuple[Difference, ...]: ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A refresh that was asked for; ``meaning`` is what it will mean to the guest."""

    instance: Instance
    meaning: str


class Drives:
    def __init__(self, store: Store, dispatcher: Dispatcher, hosts: Verifiers, vault: Vault) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._vault = vault

    def refresh(self, context: Context, instance_id: str, arguments: Mapping[str, str | int] | None) -> Begun:
        """Returns once it is recorded; Conflict when there is no config drive or the server is busy.

        NotFound when the generation to go back to is not kept.
        """
        asked = arguments or {}
        if "to" in asked and "policy" in asked:
            raise InvalidRequest("An earlier generation has its instance id: no policy goes with 'to'.", field="policy")
        self._own(context, instance_id)
        to = int(asked["to"]) if "to" in asked else None
        policy = IdPolicy(str(asked.get("policy", IdPolicy.KEEP))) if to is None else None
        begun = self._dispatcher.refresh(context, instance_id, policy, to)
        return Begun(begun, policy.meaning if policy is not None else self._meaning_of_going_back(begun, to))

    def _meaning_of_going_back(self, instance: Instance, to: int | None) -> str:
        told = {one.number: one.uuid for one in self._store.generations(instance.id)}
        return IdPolicy.KEEP.meaning if to and told.get(to) == told.get(instance.generation) else BACK_TO_ANOTHER

    def generations(self, context: Context, instance_id: str) -> tuple[Instance, tuple[Generation, ...]]:
        """Those that are kept, the oldest first; none for a server without a config drive."""
        return self._own(context, instance_id), self._store.generations(instance_id)

    def compare(self, context: Context, instance_id: str, pair: str) -> tuple[Difference, ...]:
        """``pair`` is two numbers with a comma between them; InvalidRequest for anything else, NotFound."""
        _, kept = self.generations(context, instance_id)
        numbered = {str(one.number): one for one in kept}
        names = pair.split(",")
        if len(names) != 2:
            raise InvalidRequest("Two generations are compared: compare=1,2", field="compare")
        one, other = (self._side(instance_id, numbered, name.strip()) for name in names)
        return compare(one, other, partial(self._same, one, other, instance_id))

    def _same(self, one: Side, other: Side, instance_id: str, before: str | None, after: str | None) -> bool:
        """A key was followed by another between the two: whether something both may hold has both digests."""
        payload = self._vault.unseal(instance_id, self._store.payload(instance_id))
        held = [payload.user_data, payload.admin_password, *(file.content for file in payload.files)]
        held += [side.ingredients.root_hash for side in (one, other)]
        return any(
            self._vault.matches(instance_id, secret.reveal(), before)
            and self._vault.matches(instance_id, secret.reveal(), after)
            for secret in held
            if secret is not None
        )

    def _side(self, instance_id: str, numbered: Mapping[str, Generation], name: str) -> Side:
        if not name.isascii() or not name.isdigit():
            raise InvalidRequest("Generations are compared by their numbers: compare=1,2", field="compare")
        generation = numbered.get(name.lstrip("0"))
        if generation is None:
            there = ", ".join(numbered) or "none"
            raise NotFound(f"Generation {name[:20]} is not kept; there is: {there}", field="compare")
        return Side(generation, self._vault.open(instance_id, generation.ingredients, Ingredients))

    def verify(self, context: Context, instance_id: str) -> Inspection:
        """As the host finds the current drive now; Conflict when nothing was delivered, NotFound without a drive."""
        return self._hosts.verify(self._host_of(context, instance_id), instance_id)

    def differences(self, context: Context, instance_id: str) -> tuple[Difference, ...]:
        """What a refresh now would change; Conflict when nothing was delivered, NotFound without a drive."""
        return self._hosts.differences(self._host_of(context, instance_id), instance_id)

    def _host_of(self, context: Context, instance_id: str) -> str:
        instance = self._own(context, instance_id)
        if instance.host is None or instance.launched_at is None:
            raise Conflict(f"Instance {instance_id} is not ready: nothing was delivered to it so far.", field="server")
        return instance.host

    def _own(self, context: Context, instance_id: str) -> Instance:
        instance = self._store.instance(instance_id)
        if instance.project_id != context.project_id:
            raise NotFound(f"Instance {instance_id} could not be found.", field="server")
        return instance
