"""Which host: one that can carry the request, in the zone, with room, not yet tried, the least loaded."""

from __future__ import annotations

from typing import Any

import pytest

from injector.dispatcher.choose import Wanted, choose, could_build, room_of
from injector.errors import NoHost, Undeliverable
from injector.inject.plan import Asked
from injector.model.host import HostFacts, HostRecord, InjectionPolicy, Room, Usage
from injector.model.payload import Item, ItemKind
from injector.settings import DispatcherSettings
from tests import builders


def _wanted(*items: Item, image: dict[str, str] | None = None, **changes: Any) -> Wanted:
    asked = Asked(items, builders.an_image(properties=image or {}))
    return Wanted(asked, **({"flavor": builders.a_flavor()} | changes))


def _facts(name: str, **changes: Any) -> HostFacts:
    return builders.some_host_facts(name=name, **changes)


def _host(name: str, used: Usage | None = None, **changes: Any) -> HostRecord:
    facts = _facts(name, **changes)
    return HostRecord(facts, used or Usage(), Room(facts.vcpus, facts.memory_mib, facts.disk_gib))


def _chosen(wanted: Wanted, *hosts: HostRecord) -> str:
    return choose(wanted, hosts).facts.name


def test_the_least_loaded_first_and_then_by_name() -> None:
    assert _chosen(_wanted(), _host("b"), _host("a"), _host("c")) == "a"
    hosts = [_host("a", Usage(1, 1, 1024)), _host("b", Usage(1, 1, 512)), _host("c", Usage(1, 1, 2048))]
    assert _chosen(_wanted(), *hosts) == "b"


def test_load_is_the_share_of_a_hosts_memory() -> None:
    small, large = _host("a", Usage(1, 1, 1024), memory_mib=4096), _host("b", Usage(1, 1, 2048), memory_mib=65536)
    assert _chosen(_wanted(), small, large) == "b"


def test_hosts_already_tried_are_passed_over() -> None:
    assert _chosen(_wanted(tried=("a",)), _host("a"), _host("b")) == "b"
    with pytest.raises(NoHost, match="left to try"):
        choose(_wanted(tried=("a",)), [_host("a")])


def test_the_zone_is_kept() -> None:
    assert _chosen(_wanted(availability_zone="east"), _host("a"), _host("b", availability_zone="east")) == "b"
    with pytest.raises(NoHost, match="left to try") as refusal:
        choose(_wanted(availability_zone="east"), [_host("a")])
    assert refusal.value.field == "availability_zone"


@pytest.mark.parametrize("used", [Usage(1, 0, 8192 - 511, 0), Usage(1, 4, 0, 0), Usage(1, 0, 0, 98)])
def test_room_is_needed_in_every_kind(used: Usage) -> None:
    with pytest.raises(NoHost, match="1 vCPUs, 512 MiB and 3 GiB") as refusal:
        choose(_wanted(), [_host("a", used)])
    assert refusal.value.field == "flavor"


@pytest.mark.parametrize(
    ("used", "fits"),
    [
        (Usage(3, 3, 7680, 97), True),
        (Usage(3, 4, 7680, 97), False),
        (Usage(3, 3, 7681, 97), False),
        (Usage(3, 3, 7680, 98), False),
    ],
)
def test_a_host_may_be_filled_to_the_last_of_each(used: Usage, fits: bool) -> None:
    if fits:
        assert _chosen(_wanted(), _host("a", used)) == "a"
    else:
        with pytest.raises(NoHost):
            choose(_wanted(), [_host("a", used)])


def test_a_flavor_without_a_disk_takes_what_the_image_may_grow_to() -> None:
    wanted = _wanted(flavor=builders.a_flavor(disk=0))  # the image is 2 GiB
    assert wanted.need.disk == 2
    assert builders.a_flavor(disk=0).need(2 * 1024**3 + 1).disk == 3
    assert builders.a_flavor(disk=0).need(None).disk == 0
    assert _chosen(wanted, _host("a", Usage(1, 0, 0, 98))) == "a"


def test_what_a_host_has_without_its_own_is_multiplied_by_the_operators_ratios() -> None:
    settings = DispatcherSettings(cpu_allocation_ratio=2.5, ram_allocation_ratio=1.5, disk_allocation_ratio=0.5)
    assert room_of(_facts("a", reserved_mib=192), settings) == Room(10, 12000, 50)
    assert room_of(_facts("a", reserved_mib=9000), settings).ram == 0
    assert room_of(_facts("a"), DispatcherSettings()) == Room(64, 8192, 100)


def test_a_host_that_cannot_carry_the_request_is_passed_over() -> None:
    off = InjectionPolicy(force_config_drive=False)
    wanted = _wanted(builders.an_item(ItemKind.USER_DATA, "user_data"))
    assert _chosen(wanted, _host("a", policy=off), _host("b")) == "b"
    with pytest.raises(Undeliverable, match="user-data"):
        choose(wanted, [_host("a", policy=off), _host("c", policy=off)])


def test_the_first_refusal_is_told() -> None:
    off = _host("a", policy=InjectionPolicy(force_config_drive=False))
    other = _host("b", policy=InjectionPolicy(force_config_drive=False, inject_partition=-1))
    wanted = _wanted(builders.an_item(ItemKind.USER_DATA, "user_data"))
    with pytest.raises(Undeliverable, match="is -2"):
        choose(wanted, [off, other])
    with pytest.raises(Undeliverable, match="does not offer"):
        choose(wanted, [other, off])


@pytest.mark.parametrize(
    ("image", "specs"),
    [
        ({"hw_architecture": "aarch64"}, {}),
        ({"architecture": "aarch64"}, {}),
        ({"img_hv_type": "KVM-like"}, {}),
        ({"hypervisor_type": "KVM-like"}, {}),
        ({}, {"capabilities:arch": "aarch64"}),
        ({}, {"capabilities:host": "c"}),
        ({}, {"capabilities:colour": "blue"}),
    ],
)
def test_what_image_and_flavor_ask_of_a_host_it_must_be(image: dict[str, str], specs: dict[str, str]) -> None:
    wanted = _wanted(image=image, flavor=builders.a_flavor(extra_specs=specs))
    ((said, value),) = (*image.items(), *specs.items())
    with pytest.raises(NoHost, match=f"no host has {said} = {value}") as refusal:
        choose(wanted, [_host("a"), _host("b")])
    assert refusal.value.field == ("image" if image else "flavor")


def test_what_a_host_is_does_not_depend_on_case_and_other_specs_ask_nothing() -> None:
    specs = {"capabilities:hypervisor": "qemu", "capabilities:host": "b", "hw:cpu_policy": "dedicated"}
    image = {"hw_architecture": "X86_64", "architecture": "x86_64", "img_hv_type": "QEMU", "hypervisor_type": "qemu"}
    wanted = _wanted(image=image | {"os_type": "linux"}, flavor=builders.a_flavor(extra_specs=specs))
    assert _chosen(wanted, _host("a"), _host("b")) == "b"


def test_kinds_that_can_build_it_are_told_from_those_that_cannot() -> None:
    flavor = builders.a_flavor(extra_specs={"capabilities:arch": "x86_64", "capabilities:host": "elsewhere"})
    assert could_build(_wanted(flavor=flavor), _facts("a")) is True
    assert could_build(_wanted(flavor=flavor), _facts("a", arch="aarch64")) is False
    asked = _wanted(builders.an_item(ItemKind.USER_DATA, "user_data"))
    assert could_build(asked, _facts("a")) is True
    assert could_build(asked, _facts("a", policy=InjectionPolicy(force_config_drive=False))) is False


def test_properties_that_no_single_host_has_together_are_refused() -> None:
    specs = {"capabilities:arch": "aarch64", "capabilities:host": "a"}
    wanted = _wanted(flavor=builders.a_flavor(extra_specs=specs))
    with pytest.raises(NoHost, match="all that image and flavor ask for"):
        choose(wanted, [_host("a"), _host("b", arch="aarch64")])
