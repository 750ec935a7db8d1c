"""Whether an image has an agent: what its owner says, else what was found, else nothing."""

from __future__ import annotations

import pytest

from injector.errors import InvalidRequest, Undeliverable
from injector.inject.agent import agent_of
from injector.inject.plan import Asked, choose
from injector.model.facts import Agent, ImageFacts
from injector.model.host import InjectionPolicy
from injector.model.payload import ItemKind
from injector.model.plan import Carriage, ChannelKind
from tests import builders as a

FOUND = {agent: ImageFacts("gpt", agent=agent) for agent in Agent}
YES, NO, UNKNOWN = Agent.YES, Agent.NO, Agent.UNKNOWN
DISKLESS = {"kernel_id": "k", "ramdisk_id": "r"}


@pytest.mark.parametrize(
    ("properties", "facts", "agent"),
    [
        ({}, None, UNKNOWN),
        ({}, FOUND[YES], YES),
        ({}, FOUND[NO], NO),
        ({}, FOUND[UNKNOWN], UNKNOWN),
        ({"injector_agent": "no"}, None, NO),
        ({"injector_agent": "yes"}, FOUND[NO], YES),
        ({"injector_agent": "no"}, FOUND[YES], NO),
        ({"kernel_id": "k"}, FOUND[NO], NO),
        (DISKLESS, FOUND[NO], UNKNOWN),
        (DISKLESS, FOUND[YES], YES),
        (DISKLESS | {"injector_agent": "no"}, FOUND[NO], NO),
    ],
)
def test_the_owner_before_what_was_found(properties: dict[str, str], facts: ImageFacts | None, agent: Agent) -> None:
    assert agent_of(a.an_image(properties=properties), facts) is agent


@pytest.mark.parametrize("word", ["maybe", "unknown", "Yes", ""])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match="neither yes nor no") as refusal:
        agent_of(a.an_image(properties={"injector_agent": word}), None)
    assert refusal.value.field == "injector_agent"


@pytest.mark.parametrize(("properties", "hint"), [({}, "injector_agent=yes"), ({"injector_agent": "no"}, "its owner")])
def test_a_refusal_says_who_said_so(properties: dict[str, str], hint: str) -> None:
    asked = Asked((a.an_item(),), a.an_image(properties=properties), config_drive=True, facts=FOUND[NO])
    with pytest.raises(Undeliverable, match=hint):
        choose(asked, InjectionPolicy(), (Carriage(ChannelKind.CONFIG_DRIVE, frozenset(ItemKind)),))
