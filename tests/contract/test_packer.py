"""What every packer of config drives promises, judged by readers that were not written here."""

from __future__ import annotations

import hashlib
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pycdlib
import pytest

from injector.inject.configdrive.contents import contents_of
from injector.inject.configdrive.fat import read_vfat
from injector.inject.configdrive.formats import FORMATS
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.inject.configdrive.packer import Packer, Volume
from injector.inject.configdrive.tree import Tree, tree_of
from injector.inject.configdrive.vfat import VfatPacker
from injector.model.secret import Secret
from tests import builders as a
from tests import judges, outside
from tests.pycdlib_packer import PycdlibPacker

VOLUME = Volume(a.NOON)


def a_tree(**payload: object) -> dict[str, bytes]:
    """A drive with everything on it."""
    files = (a.a_file(), a.a_file("/opt/binary", bytes(range(256)) * 40), a.a_file("/etc/empty", b""))
    values = {"files": files, "user_data": Secret(b"#!/bin/sh\n"), "admin_password": Secret("geheim")} | payload
    delivery = a.a_delivery(
        instance=a.an_instance(key=a.a_key(), asked_metadata={"röle": "web"}), payload=a.a_payload(**values)
    )
    return dict(tree_of(contents_of(delivery)))


def pack(packer: Packer, tree: Tree, volume: Volume = VOLUME) -> bytes:
    into = io.BytesIO()
    packer.pack(tree, volume, into)
    return into.getvalue()


@pytest.fixture(params=[Iso9660Packer(), PycdlibPacker(), VfatPacker()], ids=lambda packer: type(packer).__name__)
def packer(request: pytest.FixtureRequest) -> Packer:
    found: Packer = request.param
    return found


@pytest.fixture(params=[Iso9660Packer(), PycdlibPacker()], ids=lambda packer: type(packer).__name__)
def iso(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A drive of ISO9660, for the judges that know nothing else."""
    path = tmp_path / "disk.config"
    path.write_bytes(pack(request.param, a_tree()))
    return path


@pytest.fixture
def vfat(tmp_path: Path) -> Path:
    path = tmp_path / "disk.config"
    path.write_bytes(pack(VfatPacker(), a_tree()))
    return path


def read(packer: Packer, image: bytes) -> dict[str, bytes]:
    return FORMATS[packer.format].read(image)


@pytest.fixture
def drive(packer: Packer, tmp_path: Path) -> Path:
    path = tmp_path / "disk.config"
    path.write_bytes(pack(packer, a_tree()))
    return path


def test_blkid_finds_the_label_and_the_format(packer: Packer, drive: Path) -> None:
    found = judges.blkid(drive)
    assert (found["LABEL"], found["TYPE"]) == ("config-2", packer.format)


@pytest.mark.parametrize("names", ["-R", "-J"])
def test_isoinfo_extracts_every_file(iso: Path, names: str) -> None:
    assert judges.isoinfo_tree(iso, names) == a_tree()


def test_the_volume_says_who_made_it(iso: Path) -> None:
    volume = judges.isoinfo_volume(iso)
    assert volume["Volume id"] == "config-2"
    assert volume["Publisher id"] == "injector"
    assert "Joliet with UCS level 3 found" in volume


def test_files_are_0444_and_directories_0555_and_roots_with_the_date_of_the_record(iso: Path) -> None:
    lines = [line.split() for line in judges.isoinfo_listing(iso)]
    assert {line[0] for line in lines} == {"-r--r--r--", "dr-xr-xr-x"}
    assert {tuple(line[2:4]) for line in lines} == {("0", "0")}
    assert {tuple(line[5:8]) for line in lines} == {("Mar", "1", "2026")}
    assert judges.blkid(iso)["UUID"] == "2026-03-01-12-00-00-00"


def test_pycdlib_reads_what_was_packed(iso: Path) -> None:
    reader = pycdlib.PyCdlib()
    reader.open(str(iso))
    try:
        for path, content in a_tree().items():
            for names in ({"rr_path": f"/{path}"}, {"joliet_path": f"/{path}"}):
                into = io.BytesIO()
                reader.get_file_from_iso_fp(into, **names)
                assert into.getvalue() == content
    finally:
        reader.close()


def test_our_own_reader_agrees(packer: Packer, drive: Path) -> None:
    image = drive.read_bytes()
    assert read(packer, image) == a_tree()
    assert FORMATS[packer.format].label_of(image) == "config-2"


def test_fsck_finds_nothing_to_mend(vfat: Path) -> None:
    assert "Dirty bit" not in judges.fsck_vfat(vfat)


def test_mtools_extract_every_file(vfat: Path, tmp_path: Path) -> None:
    assert judges.mtools_tree(vfat, tmp_path / "out") == a_tree()


@pytest.mark.parametrize("files", [1, 3, 30, 300])
def test_a_disk_of_vfat_grows_with_its_content(files: int, tmp_path: Path) -> None:
    tree = {f"openstack/content/{number:04}": bytes([number % 256]) * 65536 for number in range(files)}
    path = tmp_path / "disk.config"
    path.write_bytes(pack(VfatPacker(), tree))
    assert read_vfat(path.read_bytes()) == tree
    judges.fsck_vfat(path)
    assert path.stat().st_size < files * 65536 * 1.1 + 2 * 1024**2


def test_names_that_are_alike_in_their_short_form_stay_apart() -> None:
    """mcopy once let vendor_data2.json take the place of vendor_data.json: both were VENDOR~1.JSO."""
    tree = {f"openstack/latest/vendor_data{number}.json": str(number).encode() for number in range(12)}
    assert read_vfat(pack(VfatPacker(), tree)) == tree


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_a_year_later_and_elsewhere_the_bytes_are_the_same(packer: Packer, drive: Path, zone: str) -> None:
    kind = type(packer)
    finished = outside.python(
        f"import os, time; os.environ['TZ'] = '{zone}'; time.tzset()\n"
        "now = time.time; time.time = lambda: now() + 366 * 86400\n"
        f"import hashlib; from {kind.__module__} import {kind.__name__}\n"
        "from tests.contract.test_packer import a_tree, pack\n"
        f"print(hashlib.sha256(pack({kind.__name__}(), a_tree())).hexdigest())"
    )
    assert finished.stdout.decode().strip() == hashlib.sha256(drive.read_bytes()).hexdigest(), finished.stderr


def test_another_record_has_other_dates(packer: Packer, drive: Path) -> None:
    assert pack(packer, a_tree(), Volume(a.NOON.replace(year=2027))) != drive.read_bytes()


@pytest.mark.parametrize("iso_packer", [Iso9660Packer(), PycdlibPacker()])
def test_equal_content_is_stored_once(iso_packer: Packer) -> None:
    large = b"x" * 60_000
    once = pack(iso_packer, a_tree(user_data=Secret(large)))
    assert once.count(large) == 1


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 65536])
def test_content_of_any_size_comes_back(packer: Packer, size: int) -> None:
    tree = {"openstack/content/0000": b"\xa5" * size, "openstack/latest/meta_data.json": b"{}"}
    assert read(packer, pack(packer, tree)) == tree


def test_more_files_than_a_sector_holds_records_of(packer: Packer, tmp_path: Path) -> None:
    tree = {f"openstack/content/{number:04}": str(number).encode() for number in range(600)}
    path = tmp_path / "disk.config"
    path.write_bytes(pack(packer, tree))
    assert read(packer, path.read_bytes()) == tree
    if packer.format == "iso9660":
        assert len([line for line in judges.isoinfo_listing(path) if line.startswith("-")]) == 600


def test_several_at_once_do_not_disturb_each_other(packer: Packer, drive: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        packed = set(pool.map(lambda _: pack(packer, a_tree()), range(16)))
    assert packed == {drive.read_bytes()}


def test_nothing_of_pycdlib_is_changed_for_others() -> None:
    assert sys.modules["pycdlib.pycdlib"].time is sys.modules["time"]
