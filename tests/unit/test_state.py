"""What the daemon finds in its state directory, and what it refuses there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from injector.cmd import state
from injector.errors import HostError
from tests.api_house import api_settings


def test_a_token_is_drawn_once_and_for_its_owner_only(tmp_path: Path) -> None:
    settings = api_settings(tmp_path)
    drawn = state.admin_token(settings)
    assert len(drawn) >= 32
    assert state.admin_token(settings) == drawn
    assert stat.S_IMODE(settings.admin_token.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    settings = api_settings(tmp_path)
    state.admin_token(settings)
    settings.admin_token.chmod(mode)
    with pytest.raises(HostError, match="others than this user can read the token") as refused:
        state.admin_token(settings)
    assert refused.value.field == "admin-token"
    assert refused.value.detail == f"chmod 0600 {settings.admin_token}"


def test_a_token_that_cannot_be_read_is_the_operators_to_mend(tmp_path: Path) -> None:
    settings = api_settings(tmp_path)
    settings.admin_token.mkdir()
    with pytest.raises(HostError, match="the token in <state_path>/admin-token cannot be read") as refused:
        state.admin_token(settings)
    assert refused.value.field == "admin-token"
