"""What is too slow to be started for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guest_appliance import Slots, slots


@pytest.fixture(scope="session")
def appliance_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slots]:
    """An appliance is started only when a test asks for it."""
    with slots(tmp_path_factory.mktemp("slots")) as running:
        yield running
