"""The channel of guests that receive nothing: absence, as an object that keeps the same promise."""

from __future__ import annotations

from collections.abc import Mapping

from injector.inject import receipt as receipts
from injector.inject.channel import Delivery, Fitting
from injector.model.plan import Carriage, ChannelKind, Plan
from injector.model.receipt import Receipt
from injector.model.workspace import Workspace


class NoChannel:
    """Carries nothing, writes nothing, and says what was left out."""

    carriage = Carriage(ChannelKind.NONE, frozenset())

    def fittings(self, plan: Plan, workspace: Workspace) -> tuple[Fitting, ...]:  # noqa: ARG002 - the protocol's
        return ()

    def gather(self, delivery: Delivery) -> None:
        """Nothing is delivered, so nothing has to be kept."""

    def contents(self, delivery: Delivery) -> Mapping[str, bytes]:  # noqa: ARG002 - the protocol's
        return {}

    def deliver(self, delivery: Delivery) -> Receipt:
        """ChannelBroken when something was promised after all: nothing is dropped in silence."""
        receipts.prove(receipts.contents_asked(delivery), {})
        plan = delivery.plan
        return Receipt(plan.channel, plan.reason, receipts.left_out(plan.left_out))
