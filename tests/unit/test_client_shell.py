"""The program as a process: help, start-up, exit codes as the shell sees them, terminals and signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.client.exits import Exit
from injector.client.shell import Shell
from tests.canned_api import CannedApi

ID = "5ca1ab1e-0000-4000-8000-000000000001"
PROGRAM = [sys.executable, "-m", "injector.client.shell"]
COMMANDS = (
    "boot list show delete stop start reboot console-log receipt serve help complete "
    "keypair:add keypair:list keypair:delete flavor:create flavor:list flavor:delete "
    "image:create image:list image:show image:delete network:create network:list network:delete host:list host:show"
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[CannedApi]:
    with CannedApi(tmp_path / "api.sock") as canned:
        yield canned


def injector(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **environ}
    return subprocess.run([*PROGRAM, *argv], capture_output=True, text=True, timeout=60, env=environment, check=False)


def a_view(status: str, name: str = "vm") -> dict[str, object]:
    return {"id": ID, "name": name, "status": status, "image": {}, "flavor": {}, "addresses": {}}


# help


def test_the_overview_names_every_command() -> None:
    done = injector("--help")
    assert done.returncode == Exit.OK
    told = {line[2:18].strip() for line in done.stdout.partition("\ncommands:\n")[2].splitlines() if line.strip()}
    assert {name.replace(":", " ") for name in COMMANDS.split()} <= told


@pytest.mark.parametrize("words", [("boot", "--help"), ("help", "boot"), ("--help", "boot")])
def test_the_options_of_a_command(words: tuple[str, ...]) -> None:
    done = injector(*words)
    assert done.returncode == Exit.OK
    for flag in ("--image", "--user-data", "--file", "--nic", "--wait", "--min-count", "--admin-pass"):
        assert flag in done.stdout


def test_completion_knows_the_commands_and_their_options() -> None:
    done = injector("complete")
    assert done.returncode == Exit.OK
    assert "_injector()" in done.stdout
    assert "cmds_image='create delete list show'" in done.stdout
    boot = next(line for line in done.stdout.splitlines() if "cmds_boot=" in line)
    assert "--user-data" in boot


def test_the_version() -> None:
    assert injector("--version").stdout.startswith("injector 0.")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "usage: injector"),
        (("lits",), "there is no command 'lits'; there is: list"),
        (("image", "--file", "x"), "there is no command 'image'; there is: image create, image delete"),
        (("--bogus", "list"), "unknown option '--bogus'"),
        (("boot", "vm"), "--image"),
        (("list", "--limit", "0"), "1 or more"),
        (("--endpoint", "ftp://x", "list"), "error: endpoint 'ftp://x'"),
    ],
)
def test_wrong_usage_ends_with_2_and_leaves_stdout_alone(words: tuple[str, ...], says: str) -> None:
    done = injector(*words)
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_commands_option_is_not_taken_for_an_abbreviated_global_one() -> None:
    assert Shell().parser.parse_known_args(["stop", "--t", "5"])[1] == ["stop", "--t", "5"]


# start-up


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["--help"], ["httpx", "rich", "sqlalchemy", "oslo_messaging", "oslo_config", "falcon", "libvirt"]),
        (["list"], ["sqlalchemy", "oslo_messaging", "oslo_config", "falcon", "libvirt", "cmd2"]),
    ],
)
def test_a_command_loads_what_it_needs_and_no_more(api: CannedApi, words: list[str], unneeded: list[str]) -> None:
    api.answer("GET", "/v2.1/servers/detail", {"servers": []})
    code = (
        "import sys; from injector.client.shell import main\n"
        f"code = main({['--endpoint', api.endpoint, *words]!r})\n"
        f"print(code, [name for name in {unneeded!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "0 []\n"


# where to speak to


def test_the_environment_names_endpoint_and_token(api: CannedApi) -> None:
    api.answer("GET", "/v2.1/servers/detail", {"servers": []})
    assert injector("list", INJECTOR_ENDPOINT=api.endpoint).returncode == Exit.OK
    refused = injector("list", INJECTOR_ENDPOINT="http://127.0.0.1:1", INJECTOR_TOKEN_FILE="/no/such/file")
    assert refused.returncode == Exit.USAGE
    assert "/no/such/file" in refused.stderr


def test_a_proxy_of_the_environment_is_not_used() -> None:
    done = injector(
        "list", INJECTOR_ENDPOINT="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:2", http_proxy="http://x:2"
    )
    assert done.returncode == Exit.UNREACHABLE
    assert "nothing listens at http://127.0.0.1:1" in done.stderr


# endings


def test_an_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = injector("--endpoint", f"unix:{tmp_path / 'none'}", "list")
    assert done.returncode == Exit.UNREACHABLE
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def test_ctrl_c_ends_a_wait_quietly(api: CannedApi) -> None:
    api.answer("GET", f"/v2.1/servers/{ID}", {"server": a_view("ACTIVE")})
    api.answer("POST", f"/v2.1/servers/{ID}/action", {"output": "hello\n"})
    # A shell that starts the tests in the background has them, and all they start, ignore the signal.
    words = ["env", "--default-signal=INT", *PROGRAM, "--endpoint", api.endpoint, "console-log", "--follow", ID]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "hello\n"
        following.send_signal(signal.SIGINT)
        try:
            _, err = following.communicate(timeout=30)
        finally:
            following.kill()
    assert (following.returncode, err) == (Exit.INTERRUPTED, "")


@pytest.mark.parametrize(("servers", "lines_read"), [(1, 0), (3000, 1)])
def test_a_reader_that_went_away_is_no_error(api: CannedApi, servers: int, lines_read: int) -> None:
    api.answer("GET", "/v2.1/servers/detail", {"servers": [a_view("ACTIVE", f"vm-{n}") for n in range(servers)]})
    words = ["--endpoint", api.endpoint, "list"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as listing:
        assert listing.stdout is not None
        for _ in range(lines_read):
            listing.stdout.readline()
        listing.stdout.close()
        assert listing.stderr is not None
        err = listing.stderr.read()
    assert (listing.returncode, err) == (Exit.BROKEN_PIPE, b"")


# terminals


def on_a_terminal(*argv: str) -> tuple[int, str]:
    """Exit code and all that the program showed; stdout is the terminal too."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(PROGRAM[0], [*PROGRAM, *argv])
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # EIO: the other side is closed
            break
        shown += chunk
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_terminal_sees_live_progress_and_keeps_the_phases(api: CannedApi) -> None:
    marks = [
        {"step": step, "at": f"2026-03-01T12:00:0{at}+00:00"}
        for at, step in enumerate(("schedule", "image", "running"))
    ]
    booting = {"state": "booting", "witness": "[red]agent[/]", "at": marks[2]["at"]}
    building = {"server": a_view("BUILD", "[red]vm[/]\x1b[2J") | {"injector:marks": marks[:2]}}
    running = {"server": a_view("ACTIVE", "[red]vm[/]") | {"injector:marks": marks, "injector:guest": booting}}
    api.answer("GET", "/v2/images", {"images": [{"id": ID, "name": "i"}]})
    api.answer("GET", "/v2.1/flavors/f", {"flavor": {"id": "f"}})
    api.answer("POST", "/v2.1/servers", {"server": {"id": ID}}, status=202)
    api.answer("GET", f"/v2.1/servers/{ID}", *[building] * 5, running)
    code, shown = on_a_terminal("--endpoint", api.endpoint, "boot", "--image", "i", "--flavor", "f", "--wait", "vm")
    assert code == Exit.OK
    assert "schedule     1.00 s" in shown
    assert "running      2.00 s in all" in shown
    for words in ("[red]vm[/]: image", "([red]agent[/])"):  # on the spinner's line and above: markup is not obeyed
        assert words in shown
    assert "\x1b[?25h" in shown  # the cursor is back
    assert "\x1b[2J" not in shown


def test_a_terminal_sees_a_bar_while_an_image_is_sent(api: CannedApi, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x" * 1_000_000)
    api.answer("POST", "/v2/images", {"id": ID}, status=201)
    api.answer("PUT", f"/v2/images/{ID}/file", None, status=204)
    api.answer("GET", f"/v2/images/{ID}", {"id": ID, "name": "i", "status": "active"})
    code, shown = on_a_terminal("--endpoint", api.endpoint, "image", "create", "i", "--file", str(tmp_path / "disk"))
    assert code == Exit.OK
    assert "1.0/1.0 MB" in shown
