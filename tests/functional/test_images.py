"""Images from upload to root disk, with real qemu-img: honest ones arrive whole, hostile ones leave nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from injector.errors import ImageRejected, ImageUnavailable, NoSpace, ProgramFailed, TooLarge
from injector.images.cache import BaseCache
from injector.images.overlay import create_overlay
from injector.images.store import LocalStore
from injector.model.image import DiskFormat, Image, ImageStatus
from injector.settings import ImageSettings
from injector.system.process import run
from tests import crafted
from tests.builders import an_image
from tests.outside import FOREIGN, NOBODY, ROOT, as_nobody, open_directory, prepared, python

GROUP = FOREIGN if ROOT else os.getegid()
EXBIBYTE = 1 << 60
LIMITS = ImageSettings(cpu_time_limit=5)


def declared(kind: DiskFormat = DiskFormat.QCOW2) -> Image:
    return an_image(disk_format=kind, status=ImageStatus.QUEUED, size=None, virtual_size=None, sha256=None)


def info(path: Path, *options: str) -> dict[str, Any]:
    answer = run(["qemu-img", "info", "--output=json", *options, path], purpose="look", limits=None, timeout=10)
    return dict(json.loads(answer.stdout))


def names(directory: Path) -> list[str]:
    """What lies in a directory, our own locks aside."""
    return sorted(path.name for path in directory.iterdir() if not path.name.endswith(".lock"))


def access(path: Path) -> tuple[int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_gid


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "images", LIMITS, GROUP)


@pytest.fixture
def cache(tmp_path: Path, store: LocalStore) -> BaseCache:
    return BaseCache(tmp_path / "base", store, GROUP)


def put(store: LocalStore, content: bytes, kind: DiskFormat = DiskFormat.QCOW2) -> Image:
    return store.put(declared(kind), io.BytesIO(content))


class TestUpload:
    @pytest.mark.parametrize("options", [(), ("-c",), ("-o", "compat=0.10"), ("-o", "compression_type=zstd", "-c")])
    def test_qcow2_is_described_and_kept_as_it_came(
        self, store: LocalStore, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        content = crafted.qcow2(tmp_path, *options)
        image = put(store, content)
        assert (image.status, image.size, image.virtual_size) == (ImageStatus.ACTIVE, len(content), crafted.MIB)
        assert image.sha256 == hashlib.sha256(content).hexdigest()
        with store.open(image) as kept:
            assert kept.read() == content

    def test_raw_with_partitions_is_kept_without_its_zeros(self, store: LocalStore, tmp_path: Path) -> None:
        content = crafted.raw_disk() + bytes(32 * crafted.MIB) + b"end".ljust(512, b"\0")
        image = put(store, content, DiskFormat.RAW)
        (kept,) = (tmp_path / "images").iterdir()
        assert kept.read_bytes() == content
        assert kept.stat().st_blocks * 512 < 4 * crafted.MIB
        assert image.virtual_size == len(content)

    def test_file_is_read_only_and_of_qemus_group(self, store: LocalStore, tmp_path: Path) -> None:
        put(store, crafted.raw_disk(), DiskFormat.RAW)
        (kept,) = (tmp_path / "images").iterdir()
        assert access(kept) == (0o440, GROUP)

    def test_of_two_uploads_each_record_has_its_own_bytes(self, store: LocalStore) -> None:
        one = put(store, crafted.noise(4096), DiskFormat.RAW)
        other = put(store, crafted.noise(8192), DiskFormat.RAW)
        assert store.open(one).read() == crafted.noise(4096)
        assert store.open(other).read() == crafted.noise(8192)

    def test_deleting_leaves_nothing_and_may_be_done_twice(self, store: LocalStore, tmp_path: Path) -> None:
        image = put(store, crafted.noise(4096), DiskFormat.RAW)
        for _ in range(2):
            store.delete(image)
        assert names(tmp_path / "images") == []
        with pytest.raises(ImageUnavailable):
            store.open(image)

    def test_what_a_killed_upload_left_is_swept_at_the_next_start(self, store: LocalStore, tmp_path: Path) -> None:
        (tmp_path / "images" / ".some-id.0123456789abcdef.part").write_bytes(b"half")
        LocalStore(tmp_path / "images", LIMITS, GROUP).sweep()
        assert names(tmp_path / "images") == []


Craft = Callable[[Path], bytes]
HOSTILE: dict[str, tuple[DiskFormat, Craft, str]] = {
    "backing file": (DiskFormat.QCOW2, crafted.with_backing_file, "it has a backing file"),
    "data file": (DiskFormat.QCOW2, crafted.with_data_file, "keeps its data in another file"),
    "unknown feature": (
        DiskFormat.QCOW2,
        lambda d: crafted.patched(crafted.qcow2(d), 72, ">Q", 1 << 17),
        "features of qcow2 that are not known",
    ),
    "version 1": (DiskFormat.QCOW2, lambda d: crafted.patched(crafted.qcow2(d), 4, ">I", 1), "not known here"),
    "marked corrupt": (
        DiskFormat.QCOW2,
        lambda d: crafted.patched(crafted.qcow2(d), 72, ">Q", 2),
        "marked as corrupt",
    ),
    "encrypted qcow2": (DiskFormat.QCOW2, lambda d: crafted.patched(crafted.qcow2(d), 32, ">I", 2), "encrypted"),
    "luks as raw": (DiskFormat.RAW, lambda _: crafted.luks(), "its content is luks"),
    "snapshot": (DiskFormat.QCOW2, crafted.with_snapshot, "internal snapshots"),
    "virtual exbibyte": (
        DiskFormat.QCOW2,
        lambda d: crafted.patched(crafted.qcow2(d), 24, ">Q", EXBIBYTE),
        "virtual size of 1152921504606846976 bytes is more than",
    ),
    "no virtual size": (
        DiskFormat.QCOW2,
        lambda d: crafted.patched(crafted.qcow2(d), 24, ">Q", 0),
        "virtual size is zero",
    ),
    "truncated": (DiskFormat.QCOW2, lambda d: crafted.qcow2(d)[: -256 * crafted.KIB], "truncated or damaged"),
    "truncated and compressed": (
        DiskFormat.QCOW2,
        lambda d: crafted.qcow2(d, "-c", content=os.urandom(crafted.MIB))[: 512 * crafted.KIB],
        "truncated or damaged",
    ),
    "header only": (DiskFormat.QCOW2, lambda d: crafted.qcow2(d)[:512], "cannot be used"),
    "header cut": (DiskFormat.QCOW2, lambda d: crafted.qcow2(d)[:100], "truncated or damaged"),
    "wild tables": (
        DiskFormat.QCOW2,
        lambda d: crafted.patched(crafted.qcow2(d), 40, ">Q", 1 << 55),
        "cannot be used",
    ),
    "qcow2 as raw": (DiskFormat.RAW, crafted.qcow2, "declared raw, its content is qcow2"),
    "raw as qcow2": (DiskFormat.QCOW2, lambda _: crafted.raw_disk(), "declared qcow2, its content is gpt"),
    "vmdk as raw": (DiskFormat.RAW, lambda d: crafted.converted(d, "vmdk"), "its content is vmdk"),
    "vdi as raw": (DiskFormat.RAW, lambda d: crafted.converted(d, "vdi"), "its content is vdi"),
    "vhd as raw": (DiskFormat.RAW, lambda d: crafted.converted(d, "vpc"), "its content is vhd"),
    "vhdx as raw": (DiskFormat.RAW, lambda d: crafted.converted(d, "vhdx"), "its content is vhdx"),
    "qed as raw": (DiskFormat.RAW, lambda d: crafted.converted(d, "qed"), "its content is qed"),
    "parallels as raw": (DiskFormat.RAW, lambda d: crafted.converted(d, "parallels"), "its content is parallels"),
    "vmdk descriptor": (DiskFormat.RAW, lambda _: crafted.TEXT_DESCRIPTOR, "its content is text and vmdk"),
    "padded descriptor": (DiskFormat.RAW, lambda _: crafted.PADDED_DESCRIPTOR, "its content is vmdk"),
    "iso as raw": (DiskFormat.RAW, lambda _: crafted.iso(), "its content is iso"),
    "qcow2 as kernel": (DiskFormat.KERNEL, crafted.qcow2, "its content is qcow2"),
    "descriptor as ramdisk": (DiskFormat.RAMDISK, lambda _: crafted.TEXT_DESCRIPTOR, "text and vmdk"),
    "nothing": (DiskFormat.RAW, lambda _: b"", "it is empty"),
}


class TestHostileUpload:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_is_refused_by_name_and_leaves_nothing(self, store: LocalStore, tmp_path: Path, name: str) -> None:
        kind, craft, why = HOSTILE[name]
        with pytest.raises(ImageRejected, match=why) as caught:
            put(store, craft(tmp_path), kind)
        assert str(tmp_path) not in caught.value.message
        assert names(tmp_path / "images") == []

    def test_qemu_agrees_that_the_honest_twin_is_fine(self, store: LocalStore, tmp_path: Path) -> None:
        """The crafts above change one thing of this one: it is that thing that is refused."""
        assert put(store, crafted.qcow2(tmp_path)).status is ImageStatus.ACTIVE

    def test_bomb_of_holes_ends_at_the_limit(self, tmp_path: Path) -> None:
        bomb = tmp_path / "bomb"
        bomb.touch()
        os.truncate(bomb, 1 << 40)
        store = LocalStore(tmp_path / "images", replace(LIMITS, max_size=8 * crafted.MIB))
        with bomb.open("rb") as stream, pytest.raises(TooLarge):
            store.put(declared(DiskFormat.RAW), stream)
        assert names(tmp_path / "images") == []

    def test_reader_that_needs_too_much_memory_is_the_images_fault(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path / "images", replace(LIMITS, address_space_limit=4 * crafted.MIB))
        with pytest.raises(ImageRejected):
            put(store, crafted.qcow2(tmp_path))
        assert names(tmp_path / "images") == []

    def test_upload_that_breaks_off_leaves_nothing(self, store: LocalStore, tmp_path: Path) -> None:
        class Broken(io.RawIOBase):
            def read(self, size: int = -1, /) -> bytes:
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            store.put(declared(), Broken())
        assert names(tmp_path / "images") == []

    @pytest.mark.skipif(not ROOT, reason="only root can mount a small file system")
    def test_full_disk_is_no_space_and_leaves_nothing(self, tmp_path: Path) -> None:
        with crafted.small_disk(tmp_path / "small", crafted.MIB) as small:
            store = LocalStore(small / "images", LIMITS)
            with pytest.raises(NoSpace, match="the disk is full"):
                put(store, crafted.raw_disk(4 * crafted.MIB), DiskFormat.RAW)
            assert names(small / "images") == []
            assert put(store, crafted.raw_disk(64 * crafted.KIB), DiskFormat.RAW).status is ImageStatus.ACTIVE


class Counting:
    """A source that counts, and takes its time."""

    def __init__(self, store: LocalStore, *, fails: bool = False) -> None:
        self.store = store
        self.fails = fails
        self.fetches = 0
        self._mutex = threading.Lock()

    def fetch(self, image: Image, destination: Path) -> None:
        with self._mutex:
            self.fetches += 1
        time.sleep(0.2)
        if self.fails:
            destination.write_bytes(b"half")
            raise ImageUnavailable("the far end went away", field="image")
        self.store.fetch(image, destination)


def outcome(wanted: Callable[[], Path]) -> Path | str:
    try:
        return wanted()
    except ImageUnavailable as error:
        return error.message


class TestCache:
    @pytest.mark.parametrize("kind", [DiskFormat.RAW, DiskFormat.KERNEL, DiskFormat.RAMDISK])
    def test_base_is_named_by_digest_read_only_and_of_qemus_group(
        self, store: LocalStore, cache: BaseCache, kind: DiskFormat
    ) -> None:
        image = put(store, crafted.raw_disk(), kind)
        base = cache.base(image)
        assert base.name == f"{image.sha256}.{kind.value}"
        assert access(base) == (0o440, GROUP)
        assert base.read_bytes() == crafted.raw_disk()

    def test_ten_that_want_one_base_fetch_it_once(self, store: LocalStore, tmp_path: Path) -> None:
        image, source = put(store, crafted.raw_disk(), DiskFormat.RAW), Counting(store)
        caches = [BaseCache(tmp_path / "base", source, GROUP) for _ in range(2)]  # as two processes would
        with ThreadPoolExecutor(10) as pool:
            bases = list(pool.map(lambda n: caches[n % 2].base(image), range(10)))
        assert len(set(bases)) == 1
        assert source.fetches == 1

    def test_processes_share_a_fetch_too(self, store: LocalStore, tmp_path: Path) -> None:
        image = put(store, crafted.raw_disk(), DiskFormat.RAW)
        script = f"""
from pathlib import Path
from tests.builders import an_image
from tests.functional.test_images import Counting, LIMITS, LocalStore, BaseCache, DiskFormat
source = Counting(LocalStore(Path({str(tmp_path)!r}) / "images", LIMITS))
BaseCache(Path({str(tmp_path)!r}) / "base", source).base(
    an_image(disk_format=DiskFormat.RAW, size={image.size}, sha256={image.sha256!r}))
print(source.fetches)
"""
        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(lambda _: python(script).stdout, range(4))) == [b"0\n", b"0\n", b"0\n", b"1\n"]

    def test_failed_fetch_fails_all_who_waited_once_and_leaves_nothing(self, store: LocalStore, tmp_path: Path) -> None:
        image, source = put(store, crafted.raw_disk(), DiskFormat.RAW), Counting(store, fails=True)
        cache = BaseCache(tmp_path / "base", source, GROUP)
        with ThreadPoolExecutor(10) as pool:
            outcomes = list(pool.map(lambda _: outcome(lambda: cache.base(image)), range(10)))
        assert outcomes == ["the far end went away"] * 10
        assert source.fetches == 1
        assert names(tmp_path / "base") == []
        source.fails = False
        assert cache.base(image).exists()

    @pytest.mark.parametrize("changes", [{"size": 99}, {"sha256": "f" * 64}, {"sha256": "../../etc/passwd"}])
    def test_bytes_other_than_registered_are_unavailable(
        self, store: LocalStore, cache: BaseCache, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        image = put(store, crafted.raw_disk(), DiskFormat.RAW)
        with pytest.raises(ImageUnavailable):
            cache.base(replace(image, **changes))
        assert names(tmp_path / "base") == []

    def test_damaged_base_is_fetched_again(self, store: LocalStore, cache: BaseCache) -> None:
        image = put(store, crafted.raw_disk(), DiskFormat.RAW)
        base = cache.base(image)
        base.unlink()
        base.write_bytes(b"cut")
        assert cache.base(image).read_bytes() == crafted.raw_disk()
        assert access(base) == (0o440, GROUP)

    def test_what_a_killed_fetch_left_is_no_obstacle(self, store: LocalStore, cache: BaseCache, tmp_path: Path) -> None:
        image = put(store, crafted.raw_disk(), DiskFormat.RAW)
        (tmp_path / "base" / f".{image.sha256}.raw.part").write_bytes(b"half")
        assert cache.base(image).read_bytes() == crafted.raw_disk()
        assert names(tmp_path / "base") == [f"{image.sha256}.raw"]

    def test_base_outlives_its_image(self, store: LocalStore, cache: BaseCache) -> None:
        image = put(store, crafted.raw_disk(), DiskFormat.RAW)
        base = cache.base(image)
        store.delete(image)
        assert cache.base(image) == base
        assert base.read_bytes() == crafted.raw_disk()

    def test_prune_takes_only_what_is_neither_used_nor_recent(
        self, store: LocalStore, cache: BaseCache, tmp_path: Path
    ) -> None:
        used, recent, old = (put(store, crafted.noise(512 * n), DiskFormat.RAW) for n in (1, 2, 3))
        bases = {image.sha256: cache.base(image) for image in (used, recent, old)}
        for image in (used, old):
            os.utime(bases[image.sha256], (0, 0))
        (tmp_path / "base" / f".{'a' * 64}.raw.part").write_bytes(b"left by a killed fetch")
        os.utime(tmp_path / "base" / f".{'a' * 64}.raw.part", (0, 0))
        assert cache.prune(frozenset({str(used.sha256)}), 3600) == (bases[old.sha256].name,)
        assert names(tmp_path / "base") == sorted([bases[used.sha256].name, bases[recent.sha256].name])

    def test_prune_counts_from_the_last_time_it_was_wanted(self, store: LocalStore, cache: BaseCache) -> None:
        image = put(store, crafted.noise(512), DiskFormat.RAW)
        os.utime(cache.base(image), (0, 0))
        cache.base(image)
        assert cache.prune(frozenset(), 3600) == ()


class TestOverlay:
    @pytest.fixture(params=[DiskFormat.RAW, DiskFormat.QCOW2])
    def base(self, request: pytest.FixtureRequest, store: LocalStore, cache: BaseCache, tmp_path: Path) -> Path:
        kind: DiskFormat = request.param
        content = crafted.qcow2(tmp_path) if kind is DiskFormat.QCOW2 else crafted.raw_disk()
        return cache.base(put(store, content, kind))

    def test_overlay_shows_the_base_in_the_flavors_size(self, base: Path, tmp_path: Path) -> None:
        disk, flat = tmp_path / "disk", tmp_path / "flat"
        create_overlay(base, DiskFormat(base.suffix[1:]), disk, 5 * 1024**3, LIMITS)
        found = info(disk, "-f", "qcow2")
        assert found["virtual-size"] == 5 * 1024**3
        assert (found["backing-filename"], found["backing-filename-format"]) == (str(base), base.suffix[1:])
        assert access(disk)[0] == 0o600
        crafted.qemu_img("convert", "-f", "qcow2", "-O", "raw", disk, flat)
        with flat.open("rb") as content:
            assert content.read(crafted.MIB) == crafted.raw_disk()

    def test_failure_leaves_no_disk(self, tmp_path: Path) -> None:
        with pytest.raises(ProgramFailed, match="could not make the root disk"):
            create_overlay(tmp_path / "gone", DiskFormat.RAW, tmp_path / "disk", 1024, LIMITS)
        assert not (tmp_path / "disk").exists()

    def test_qemu_img_that_is_stopped_leaves_no_disk(self, base: Path, tmp_path: Path) -> None:
        (tmp_path / "disk").write_bytes(b"as far as it came")
        with pytest.raises(ProgramFailed, match="within 0 s"):
            create_overlay(
                base, DiskFormat(base.suffix[1:]), tmp_path / "disk", 1024, replace(LIMITS, wall_time_limit=0)
            )
        assert not (tmp_path / "disk").exists()

    @pytest.mark.skipif(not ROOT, reason="only root can mount a small file system")
    def test_full_disk_is_no_space_and_leaves_no_disk(self, base: Path, tmp_path: Path) -> None:
        with crafted.small_disk(tmp_path / "small", 64 * crafted.KIB) as small:
            with pytest.raises(NoSpace):
                create_overlay(base, DiskFormat(base.suffix[1:]), small / "disk", 1024**3, LIMITS)
            assert list(small.iterdir()) == []


@pytest.mark.skipif(not ROOT, reason="only root can prepare a directory for another user's group")
class TestUnprivilegedDaemon:
    """A daemon outside QEMU's group, where the operator prepared its directories."""

    @pytest.mark.parametrize(("images_prepared", "links"), [(True, 2), (False, 1)])
    def test_base_is_for_qemu_and_still_ours_to_build_on(self, images_prepared: bool, links: int) -> None:
        with open_directory() as state:
            os.chown(state, NOBODY, NOBODY)
            for name in ("base", "images") if images_prepared else ("base",):
                prepared(state / name)
            done = as_nobody(
                "from tests.functional.test_images import *",
                f"""
state = Path({str(state)!r})
store = LocalStore(state / "images", LIMITS, FOREIGN)
base = BaseCache(state / "base", store, FOREIGN).base(put(store, crafted.raw_disk(), DiskFormat.RAW))
create_overlay(base, DiskFormat.RAW, state / "disk", 1 << 30, LIMITS)
""",
            )
            assert done.stderr == ""
            (base,) = (state / "base").glob("*.raw")
            assert access(base) == (0o440, FOREIGN)
            assert (base.stat().st_uid, base.stat().st_nlink) == (NOBODY, links)

    def test_unprepared_base_directory_is_named_to_the_operator(self) -> None:
        with open_directory() as state:
            os.chown(state, NOBODY, NOBODY)
            done = as_nobody(
                "from tests.functional.test_images import *; from injector.errors import HostError",
                f"""
store = LocalStore(Path({str(state)!r}) / "images", LIMITS, FOREIGN)
image = put(store, crafted.raw_disk(), DiskFormat.RAW)
try:
    BaseCache(Path({str(state)!r}) / "base", store, FOREIGN).base(image)
except HostError as error:
    print(error.detail)
""",
            )
            assert f"chgrp {FOREIGN} {state / 'base'}" in done.stdout.decode()
            assert names(state / "base") == []


@pytest.fixture(autouse=True)
def no_mount_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
