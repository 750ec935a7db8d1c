"""The rehearsal: every kind of item is really written in it, so that what a worker needs has been loaded once."""

from __future__ import annotations

from injector.inject.partition.crew import rehearsal
from injector.inject.partition.crew.trade import perform
from injector.inject.partition.errand import Answer, Errand, Injected
from injector.inject.partition.filesystem import Disk
from injector.model.facts import NetworkStack
from injector.model.payload import ItemKind


def test_everything_is_written_in_it() -> None:
    """Nothing is declined or failed: what had not been done would not have been loaded."""
    answers: list[tuple[Errand, Answer]] = []

    def trade(errand: Errand, disk: Disk) -> Answer:
        answer = perform(errand, disk)
        answers.append((errand, answer))
        return answer

    rehearsal.warm_up(trade)
    assert [answer.failure for _, answer in answers] == [None] * len(answers)
    done = [answer.injected for _, answer in answers if isinstance(answer.injected, Injected)]
    assert [one.declined for one in done] == [()] * len(done)
    kinds = {wanted.item.kind for errand, _ in answers for wanted in getattr(errand, "wanted", ())}
    assert kinds == {ItemKind.KEY, ItemKind.NETWORK, ItemKind.METADATA, ItemKind.PASSWORD, ItemKind.FILE}
    looked = answers[-1][1].looked
    assert looked is not None
    contents = {file.path: file.content.reveal() for file in looked.files}
    assert contents["/etc/shadow"].startswith(b"root:$")
    assert {stack for one in done for landed in one.landed for stack in landed.stacks} == {
        NetworkStack.IFUPDOWN,
        NetworkStack.NETWORKD,
        NetworkStack.NETWORK_MANAGER,
    }
    labels = {file.path: file.label for one in done for file in one.files}
    assert labels["/etc/network/interfaces"] is None, "it was there before there was a policy"
    assert "system_u:object_r:etc_t:s0" in labels.values()
