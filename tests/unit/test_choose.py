"""Which host: one that can carry the request, in the zone, with room, not yet tried, the least loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from injector.dispatcher.choose import Wanted, choose
from injector.errors import NoHost, Undeliverable
from injector.inject.plan import Asked
from injector.model.host import HostFacts, InjectionPolicy, Usage
from injector.model.payload import Item, ItemKind
from injector.settings import DispatcherSettings
from tests import builders

SETTINGS = DispatcherSettings()


def _wanted(*items: Item, **changes: Any) -> Wanted:
    return Wanted(Asked(items, builders.an_image()), **({"flavor": builders.a_flavor()} | changes))


def _host(name: str, **changes: Any) -> HostFacts:
    return builders.some_host_facts(name=name, **changes)


def test_the_least_loaded_first_and_then_by_name() -> None:
    hosts = [_host("b"), _host("a"), _host("c")]
    assert choose(_wanted(), hosts, {}, SETTINGS).name == "a"
    usage = {"a": Usage(1, 1, 1024), "b": Usage(1, 1, 512), "c": Usage(1, 1, 2048)}
    assert choose(_wanted(), hosts, usage, SETTINGS).name == "b"


def test_hosts_already_tried_are_passed_over() -> None:
    assert choose(_wanted(tried=("a",)), [_host("a"), _host("b")], {}, SETTINGS).name == "b"
    with pytest.raises(NoHost):
        choose(_wanted(tried=("a",)), [_host("a")], {}, SETTINGS)


def test_the_zone_is_kept() -> None:
    hosts = [_host("a"), _host("b", availability_zone="east")]
    assert choose(_wanted(availability_zone="east"), hosts, {}, SETTINGS).name == "b"


@pytest.mark.parametrize("used", [Usage(1, 0, 8192 - 511), Usage(1, 64, 0)])
def test_room_is_needed(used: Usage) -> None:
    with pytest.raises(NoHost, match="512 MiB"):
        choose(_wanted(), [_host("a")], {"a": used}, SETTINGS)


def test_no_host_at_all_is_said() -> None:
    with pytest.raises(NoHost, match="reported"):
        choose(_wanted(), [], {}, SETTINGS)


def test_a_host_that_cannot_carry_the_request_is_passed_over() -> None:
    without_drive = _host("a", policy=InjectionPolicy(force_config_drive=False))
    wanted = _wanted(builders.an_item(ItemKind.USER_DATA, "user_data"))
    assert choose(wanted, [without_drive, _host("b")], {}, SETTINGS).name == "b"
    with pytest.raises(Undeliverable, match="user-data"):
        choose(wanted, [without_drive, replace(without_drive, name="c")], {}, SETTINGS)


@pytest.mark.parametrize(
    ("vcpus", "ram", "fits"), [(4, 8192, True), (5, 8192, False), (4, 8193, False), (4, 4096, True)]
)
def test_a_host_may_be_filled_to_its_last_mebibyte_and_processor(vcpus: int, ram: int, fits: bool) -> None:
    settings = DispatcherSettings(cpu_allocation_ratio=1.0, ram_allocation_ratio=1.0)
    wanted = _wanted(flavor=builders.a_flavor(vcpus=vcpus, ram=ram))
    if fits:
        assert choose(wanted, [_host("a")], {}, settings).name == "a"
    else:
        with pytest.raises(NoHost) as refusal:
            choose(wanted, [_host("a")], {}, settings)
        assert refusal.value.field == "flavor"


def test_what_a_host_has_is_multiplied_by_the_operators_ratios() -> None:
    settings = DispatcherSettings(cpu_allocation_ratio=2.0, ram_allocation_ratio=1.5)
    assert choose(_wanted(flavor=builders.a_flavor(vcpus=8, ram=12288)), [_host("a")], {}, settings).name == "a"
    with pytest.raises(NoHost):
        choose(_wanted(flavor=builders.a_flavor(vcpus=8, ram=12289)), [_host("a")], {}, settings)


def test_load_is_the_share_of_a_hosts_memory() -> None:
    hosts = [_host("a", memory_mib=4096), _host("b", memory_mib=65536)]
    assert choose(_wanted(), hosts, {"a": Usage(1, 1, 1024), "b": Usage(1, 1, 2048)}, SETTINGS).name == "b"


def test_no_host_of_the_zone_is_said_and_the_first_refusal_is_told() -> None:
    with pytest.raises(NoHost, match="left to try") as refusal:
        choose(_wanted(availability_zone="east"), [_host("a")], {}, SETTINGS)
    assert refusal.value.field == "availability_zone"
    off = _host("a", policy=InjectionPolicy(force_config_drive=False))
    other = _host("b", policy=InjectionPolicy(force_config_drive=False, inject_partition=-1))
    wanted = _wanted(builders.an_item(ItemKind.USER_DATA, "user_data"))
    with pytest.raises(Undeliverable, match="is -2"):
        choose(wanted, [off, other], {}, SETTINGS)
    with pytest.raises(Undeliverable, match="does not offer"):
        choose(wanted, [other, off], {}, SETTINGS)
