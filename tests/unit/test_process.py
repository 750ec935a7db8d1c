"""The one door to programs: what they see, what they may use, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from injector.errors import HostError, NoSpace, ProgramFailed
from injector.system.process import Finished, Limits, run


def sh(script: str, **changes: Any) -> Finished:
    words: dict[str, Any] = {"purpose": "try something", "limits": None, "timeout": 10.0}
    return run(["sh", "-c", script], **(words | changes))


def refused(kind: type[HostError], script: str, **changes: Any) -> HostError:
    with pytest.raises(kind) as caught:
        sh(script, **changes)
    return caught.value


def gone(pid: int) -> bool:
    """Dead: its number free, or waiting for a parent that is not us to read its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> bool:
    for _ in range(200):
        if gone(pid):
            return True
        time.sleep(0.01)
    return False


def test_both_outputs_and_the_status_come_back() -> None:
    finished = sh("printf out; printf err >&2; exit 3", accept=(0, 3))
    assert finished == Finished(b"out", "err", 3)


def test_arguments_reach_the_program_as_they_are() -> None:
    words = ["$(id)", "; exit 9", "a b", "*", ""]
    finished = run(["printf", r"%s\n", *words], purpose="print", limits=None, timeout=10)
    assert finished.stdout.decode().splitlines() == words


def test_it_sees_no_environment_of_ours_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INJECTOR_SECRET", "hunter2")
    finished = sh("env; cat; pwd", env={"TZ": "UTC"})
    lines = set(finished.stdout.decode().splitlines())
    assert {"LC_ALL=C", "TZ=UTC", "/"} <= lines
    assert {line.partition("=")[0] for line in lines if "=" in line} <= {
        "LC_ALL",
        "PATH",
        "TZ",
        "PWD",
        "_",
        "SHLVL",
        "OLDPWD",
    }


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_input_is_fed_whole(size: int) -> None:
    assert sh("wc -c", input=b"x" * size).stdout.strip() == str(size).encode()


def test_files_it_makes_are_private(tmp_path: Path) -> None:
    sh(f"echo secret > {tmp_path}/made")
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


def test_failure_names_program_and_purpose_and_keeps_the_rest_for_the_log() -> None:
    error = refused(ProgramFailed, "echo /very/private >&2; exit 4")
    assert error.message == "sh could not try something: exit status 4"
    assert "/very/private" in (error.detail or "")


def test_status_and_signal_are_left_to_who_asks_for_it() -> None:
    assert sh("exit 7", accept=None).returncode == 7
    assert sh("kill -USR1 $$", accept=None).returncode == -signal.SIGUSR1


def test_missing_program_is_named() -> None:
    with pytest.raises(ProgramFailed, match="no-such-program, needed to try, is not installed"):
        run(["no-such-program"], purpose="try", limits=Limits(), timeout=1)


def test_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    error = refused(ProgramFailed, f"sleep 300 & echo $! > {tmp_path}/child; echo waiting >&2; wait", timeout=0.5)
    assert "did not end within 0.5 s" in error.message
    assert "waiting" in (error.detail or "")
    assert wait_until_gone(int((tmp_path / "child").read_text()))


def test_what_it_leaves_running_is_ended_and_not_waited_for() -> None:
    before = time.monotonic()
    finished = sh("sleep 300 & echo $!")
    assert time.monotonic() - before < 5
    assert wait_until_gone(int(finished.stdout))


def test_one_that_escaped_from_the_group_does_not_hold_us_up() -> None:
    before = time.monotonic()
    finished = sh("setsid sleep 300 & echo $!; sleep 0.2")
    assert time.monotonic() - before < 5
    os.kill(int(finished.stdout), signal.SIGKILL)


def test_too_much_output_ends_it() -> None:
    assert "more than 1000 bytes" in refused(ProgramFailed, "yes", output_limit=1000).message


def test_endless_complaints_are_cut_not_kept() -> None:
    finished = sh("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo done")
    assert finished.stdout == b"done\n"
    assert len(finished.stderr) == 64 * 1024


def test_full_disk_is_told_from_other_failures() -> None:
    error = refused(NoSpace, "head -c 1 /dev/zero > /dev/full")
    assert error.message == "the disk is full: sh could not try something"


@pytest.mark.parametrize(
    ("limits", "script", "why"),
    [
        (Limits(cpu_seconds=1), "while :; do :; done", "processor time"),
        (Limits(file_size=4096), "exec head -c 9000 /dev/zero > {dir}/large", "larger file"),
        (Limits(address_space=64 * 1024**2), "dd if=/dev/zero of=/dev/null bs=500M count=1", "exit status 1"),
        (Limits(open_files=8), "exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3", "exit status 2"),
    ],
)
def test_limits_hold(limits: Limits, script: str, why: str, tmp_path: Path) -> None:
    assert why in refused(ProgramFailed, script.format(dir=tmp_path), limits=limits, timeout=20).message


def test_the_same_passes_within_the_limits() -> None:
    limits = Limits(cpu_seconds=10, address_space=1024**3, file_size=1024**2, open_files=64)
    assert sh("dd if=/dev/zero of=/dev/null bs=5M count=1; ulimit -c", limits=limits).stdout == b"0\n"


def test_many_at_once_leak_nothing() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: sh(f"echo {n}").stdout, range(100)))
    for _ in range(5):
        refused(ProgramFailed, "exit 1", input=b"x")
        refused(ProgramFailed, "sleep 9", timeout=0.01)
    assert answers == [b"%d\n" % n for n in range(100)]
    assert len(os.listdir("/proc/self/fd")) == before
