"""Whether an image fits a flavor, and how large the guest's disk becomes."""

from __future__ import annotations

import pytest

from injector.errors import Conflict, InvalidRequest
from injector.images.fit import require_fit, root_disk_bytes
from tests.builders import a_flavor, an_image

GIB = 1024**3


@pytest.mark.parametrize(
    ("disk", "virtual_size", "min_disk", "expected"),
    [
        (3, 2 * GIB, 0, 3 * GIB),
        (2, 2 * GIB, 2, 2 * GIB),
        (0, 2 * GIB, 0, 2 * GIB),
        (0, 12345 * 512, 10, 12345 * 512),  # Nova holds min_disk against flavors with a disk only
    ],
)
def test_size_of_the_root_disk(disk: int, virtual_size: int, min_disk: int, expected: int) -> None:
    assert root_disk_bytes(an_image(virtual_size=virtual_size, min_disk=min_disk), a_flavor(disk=disk)) == expected


@pytest.mark.parametrize(
    ("image", "flavor", "why"),
    [
        ({"virtual_size": 2 * GIB + 1}, {"disk": 2}, "the image is 2147483649 bytes large"),
        ({"min_disk": 5}, {"disk": 4}, "the image asks for 5 GiB"),
        ({"min_ram": 1024}, {"ram": 512}, "memory of 512 MiB; the image asks for 1024 MiB"),
    ],
)
def test_too_small_a_flavor_is_named(image: dict[str, int], flavor: dict[str, int], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as caught:
        require_fit(an_image(**image), a_flavor(**flavor))
    assert caught.value.field == "flavor"


def test_image_without_bytes_fits_nothing() -> None:
    with pytest.raises(Conflict) as caught:
        root_disk_bytes(an_image(virtual_size=None), a_flavor())
    assert caught.value.field == "image"


def test_just_the_memory_an_image_asks_for_is_enough() -> None:
    require_fit(an_image(min_ram=512), a_flavor(ram=512))
    with pytest.raises(InvalidRequest, match="memory of 511 MiB"):
        require_fit(an_image(min_ram=512), a_flavor(ram=511))
