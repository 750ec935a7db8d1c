"""The journal says the last intent, whatever was said before; a torn one says nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from injector.compute.journal import Intent, Journal
from injector.model.instance import Step

INSTANCE = "5ca1ab1e-0000-4000-8000-000000000001"


def test_the_last_intent_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path, None)
    assert journal.read(INSTANCE) is None
    for step in (Step.SCHEDULE, Step.DELIVER, Step.DISK):
        journal.write(INSTANCE, Intent(3, step))
        assert journal.read(INSTANCE) == Intent(3, step)
    written = tmp_path / INSTANCE / "intent.json"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert [entry.name for entry in written.parent.iterdir()] == ["intent.json"]


@pytest.mark.parametrize("torn", ["", "{", '{"attempt": 1}', '{"attempt": 1, "step": "nowhere"}'])
def test_a_torn_one_says_nothing(tmp_path: Path, torn: str) -> None:
    journal = Journal(tmp_path, None)
    journal.write(INSTANCE, Intent(1, Step.IMAGE))
    (tmp_path / INSTANCE / "intent.json").write_text(torn)
    assert journal.read(INSTANCE) is None
