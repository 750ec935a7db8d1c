"""Whole files or none, with the owner and mode QEMU needs; locks that the dead do not hold."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from injector.errors import HostError, NoSpace
from injector.system import files
from injector.system.locks import locked
from tests.outside import FOREIGN, NOBODY, ROOT, as_nobody, open_directory, prepared, python

IMPORTS = (
    "import tempfile; from pathlib import Path; from injector.errors import HostError\n"
    "from injector.system import files"
)
needs_root = pytest.mark.skipif(not ROOT, reason="only root can prepare a directory for another user's group")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def instances() -> Iterator[Path]:
    with open_directory() as parent:
        yield prepared(parent / "instances")


def test_write_replaces_whole_with_the_mode(tmp_path: Path) -> None:
    target = tmp_path / "intent.json"
    files.write_atomic(target, b"old", mode=0o644)
    files.write_atomic(target, b"new", mode=0o440)
    assert (target.read_bytes(), mode(target)) == (b"new", 0o440)
    assert [path.name for path in tmp_path.iterdir()] == ["intent.json"]


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(TypeError), files.staged(tmp_path, "file") as part:
        part.file.writelines([b"half", None])  # type: ignore[list-item]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_staged_file_is_private_until_published(tmp_path: Path) -> None:
    with files.staged(tmp_path, "image") as part:
        assert mode(part.path) == 0o600


def test_sweep_takes_what_the_dead_left_and_spares_the_living(tmp_path: Path) -> None:
    dead = tmp_path / ".image.0123.part"
    dead.write_bytes(b"half")
    (tmp_path / "image").write_bytes(b"whole")
    with files.staged(tmp_path, "other") as part:
        files.sweep(tmp_path)
        assert part.path.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_sweep_goes_on_after_what_it_may_not_remove(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".none.0123.part").mkdir()
    (tmp_path / ".image.0123.part").write_bytes(b"half")
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".none.0123.part"]
    assert ".none.0123.part" in caplog.text


def test_sweep_asks_for_no_lock_that_nfs_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server is asked for a lock of the whole file, and to write under it takes a file open for writing."""

    def over_nfs(file: BinaryIO, _operation: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(fcntl, "flock", over_nfs)
    (tmp_path / ".image.0123.part").write_bytes(b"half")
    files.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_becomes_no_space(number: int) -> None:
    with pytest.raises(NoSpace, match="could not keep it"), files.disk_full("keep it"):
        raise OSError(number, os.strerror(number))


def test_a_really_full_device_becomes_no_space() -> None:
    with pytest.raises(NoSpace), files.disk_full("write"), open("/dev/full", "wb") as full:
        full.write(b"x")


def test_other_failures_pass_as_they_are() -> None:
    with pytest.raises(PermissionError), files.disk_full("write"):
        raise PermissionError(errno.EACCES, "no")


def test_directory_is_made_once_and_put_right(tmp_path: Path) -> None:
    path = tmp_path / "instances"
    files.make_directory(path, 0o711)
    path.chmod(0o755)
    files.make_directory(path, 0o711)
    assert mode(path) == 0o711


@needs_root
def test_root_gives_files_and_directories_to_the_group(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "instance", 0o750, FOREIGN)
    files.write_atomic(tmp_path / "instance" / "drive", b"", mode=0o440, group=FOREIGN)
    for path, wanted in ((tmp_path / "instance", 0o750), (tmp_path / "instance" / "drive", 0o440)):
        assert (path.stat().st_gid, mode(path)) == (FOREIGN, wanted)


@needs_root
def test_unprivileged_daemon_inherits_the_group_where_the_operator_prepared_it(instances: Path) -> None:
    done = as_nobody(
        IMPORTS,
        f"""
place = Path({str(instances)!r}) / "5ca1ab1e"
assert files.can_give(place.parent, {FOREIGN})
files.make_directory(place.parent, 0o711, {FOREIGN})
files.make_directory(place, 0o750, {FOREIGN})
files.make_directory(place, 0o750, {FOREIGN})
files.write_atomic(place / "disk.config", b"drive", mode=0o440, group={FOREIGN})
""",
    )
    assert done.stderr == ""
    place = instances / "5ca1ab1e"
    assert (place.stat().st_gid, mode(place), place.stat().st_uid) == (FOREIGN, 0o2750, NOBODY)
    drive = place / "disk.config"
    assert (drive.stat().st_gid, mode(drive)) == (FOREIGN, 0o440)


@needs_root
def test_unprivileged_daemon_does_not_lose_the_setgid_bit_to_a_tight_umask(instances: Path) -> None:
    done = as_nobody(
        IMPORTS, f"os.umask(0o077)\nfiles.make_directory(Path({str(instances)!r}) / 'i', 0o750, {FOREIGN})"
    )
    assert "HostError" in done.stderr
    assert mode(instances / "i") & stat.S_ISGID


def test_unprepared_directory_is_the_operators_to_mend() -> None:
    foreign = next(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid not in {*os.getgroups(), os.getegid()})
    done = as_nobody(
        IMPORTS,
        f"""
with tempfile.TemporaryDirectory() as place:
    assert not files.can_give(Path(place), {foreign})
    try:
        files.write_atomic(Path(place) / "drive", b"", mode=0o440, group={foreign})
    except HostError as error:
        print(error.message, error.detail, os.listdir(place), sep="|")
""",
    )
    message, detail, left = done.stdout.decode().strip().split("|")
    assert "not prepared for its group" in message
    assert f"chgrp {foreign}" in detail
    assert left == "[]"


def test_lock_is_held_by_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with locked(tmp_path / "lock", 10):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_shared_holders_keep_only_the_lonely_one_out(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock, 1, shared=True), locked(lock, 1, shared=True), pytest.raises(HostError, match="too long"):  # noqa: SIM117
        with locked(lock, 0.05):
            pytest.fail("it was not alone")


def test_holders_that_remove_the_lock_at_the_end_still_exclude_each_other(tmp_path: Path) -> None:
    inside: list[int] = []
    together: list[int] = []

    def work(name: int) -> None:
        for _ in range(20):
            with locked(tmp_path / "lock", 30):
                inside.append(name)
                together.extend(inside[1:])
                inside.remove(name)
                (tmp_path / "lock").unlink()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [None] * 6
    assert together == []


def test_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    done = python(f"""
from pathlib import Path
from injector.system.locks import locked
with locked(Path({str(path)!r}), 1):
    os._exit(7)
""")
    assert done.returncode == 7
    with locked(path, 0.5):
        pass
