"""What every ImageSource promises: the registered bytes, whole, or an error and nothing."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from injector.errors import ImageUnavailable, NoSpace
from injector.images.http import HttpSource
from injector.images.source import ImageSource
from injector.images.store import LocalStore
from injector.model.image import DiskFormat, Image
from injector.settings import ImageSettings
from tests import crafted
from tests.api_house import TOKEN, ApiHouse
from tests.builders import an_image
from tests.outside import FOREIGN

CONTENT = crafted.raw_disk(3 * crafted.MIB) + bytes(crafted.MIB)


@dataclass(frozen=True)
class Case:
    """A source that holds ``image``, the file its bytes lie in, and a place to fetch to."""

    source: ImageSource
    image: Image
    original: Path
    destination: Path


def stored(directory: Path, destination: Path, group: int | None) -> Case:
    store = LocalStore(directory / "images", ImageSettings(), group)
    image = store.put(an_image(owner="admin", disk_format=DiskFormat.RAW, sha256=None), io.BytesIO(CONTENT))
    return Case(store, image, next(path for path in (directory / "images").iterdir()), destination)


@contextmanager
def served(directory: Path) -> Iterator[Case]:
    """The store behind an api's REST, for a compute elsewhere."""
    token = directory / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    with ApiHouse(directory) as house:
        made = stored(directory, directory / "fetched", None)
        house.store.add_image(made.image)
        settings = ImageSettings(api_endpoint=f"http://127.0.0.1:{house.server.port}", token_file=token)
        yield replace(made, source=HttpSource(settings, pauses=(0.01, 0.01)))


@pytest.fixture(params=["shared", "copied", "another file system", "over HTTP"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """The local store as its ways of handing out differ: same inode, other group, other device; and the api."""
    if request.param == "over HTTP":
        with served(tmp_path) as made:
            yield made
        return
    if request.param == "another file system":
        elsewhere = Path("/dev/shm") / f"{tmp_path.name}-{os.getpid()}"
        yield stored(tmp_path, elsewhere, None)
        elsewhere.unlink(missing_ok=True)
        return
    made = stored(tmp_path, tmp_path / "fetched", os.getegid())
    if request.param == "copied":
        made = Case(
            LocalStore(tmp_path / "images", ImageSettings(), FOREIGN), made.image, made.original, made.destination
        )
    yield made


def test_bytes_arrive_whole(case: Case) -> None:
    case.source.fetch(case.image, case.destination)
    assert case.destination.read_bytes() == CONTENT


def test_altered_bytes_do_not_arrive(case: Case) -> None:
    case.original.chmod(0o640)
    case.original.write_bytes(CONTENT[:-1] + b"\1")
    with pytest.raises(ImageUnavailable, match="not those that were registered"):
        case.source.fetch(case.image, case.destination)
    assert not case.destination.exists()


def test_truncated_bytes_do_not_arrive(case: Case) -> None:
    case.original.chmod(0o640)
    os.truncate(case.original, len(CONTENT) - 1)
    with pytest.raises(ImageUnavailable):
        case.source.fetch(case.image, case.destination)
    assert not case.destination.exists()


def test_bytes_that_are_gone_are_unavailable(case: Case) -> None:
    case.original.unlink()
    with pytest.raises(ImageUnavailable, match="are gone"):
        case.source.fetch(case.image, case.destination)
    assert not case.destination.exists()


def test_image_that_never_had_bytes_is_unavailable(case: Case) -> None:
    with pytest.raises(ImageUnavailable, match="no bytes yet"):
        case.source.fetch(an_image(sha256=None), case.destination)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_full_disk_is_no_space_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    with crafted.small_disk(tmp_path / "small", crafted.MIB) as small:
        with pytest.raises(NoSpace):
            case.source.fetch(case.image, small / "fetched")
        assert list(small.iterdir()) == []
