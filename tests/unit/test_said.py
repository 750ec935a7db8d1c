"""What a guest's words mean: cloud-init's status of several ages, markers, last messages, and hostile nonsense."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.model.guest import GuestState
from injector.model.plan import ChannelKind
from injector.virt.libvirt import said
from tests import builders as a

DRIVE = a.a_plan()
NOTHING = a.a_plan(channel=ChannelKind.NONE, drive_bus=None)
SOURCE = "DataSourceConfigDrive [net,ver=2][source=/dev/sr0]"


def of_22_4(**changes: Any) -> dict[str, Any]:
    """What Debian 12's cloud-init prints after a clean boot from a drive."""
    status = {
        "boot_status_code": "enabled-by-generator",
        "datasource": "configdrive",
        "detail": SOURCE,
        "errors": [],
        "last_update": "Thu, 01 Jan 2026 00:00:38 +0000",
        "status": "done",
    }
    return status | {"schemas": {"1": dict(status)}, "_schema_version": "1"} | changes


def of_24_1(**changes: Any) -> dict[str, Any]:
    """The newer form: an extended status, and errors it got over."""
    return of_22_4(extended_status="done", recoverable_errors={}, **changes)


@pytest.mark.parametrize(
    ("status", "state", "detail"),
    [
        (of_22_4(), GuestState.DONE, SOURCE),
        (of_24_1(), GuestState.DONE, SOURCE),
        (of_22_4(status="running", detail="Running in stage: init"), GuestState.BOOTING, "Running in stage: init"),
        (of_22_4(status="error", errors=["one", "two"], detail="one\ntwo"), GuestState.ERROR, "one; two"),
        (of_22_4(status="error", errors=None, detail="why"), GuestState.ERROR, "why"),
        (
            of_24_1() | {"extended_status": "degraded done", "recoverable_errors": {"WARNING": ["no locale"]}},
            GuestState.DEGRADED,
            "no locale",
        ),
        (of_24_1() | {"recoverable_errors": {"WARNING": ["hm"], "ERROR": ["ah"]}}, GuestState.DEGRADED, "hm; ah"),
        (of_24_1() | {"extended_status": "degraded running", "status": "running"}, GuestState.BOOTING, SOURCE),
        (of_22_4(status="degraded"), GuestState.DEGRADED, SOURCE),
    ],
)
def test_cloud_inits_own_status(status: dict[str, Any], state: GuestState, detail: str) -> None:
    verdict = said.by_cloud_init(status, DRIVE)
    assert verdict is not None
    assert (verdict.state, verdict.detail, verdict.witness) == (state, detail, "agent")


@pytest.mark.parametrize("word", ["disabled", "not run", "not started"])
def test_a_guest_that_saw_no_data_source_is_in_error(word: str) -> None:
    verdict = said.by_cloud_init(of_22_4(status=word, datasource="", detail=""), DRIVE)
    assert verdict is not None
    assert verdict.state is GuestState.ERROR
    assert verdict.detail == f"cloud-init did not run ({word}): the guest saw no data source"


def test_a_guest_that_was_given_nothing_may_have_its_cloud_init_disabled() -> None:
    verdict = said.by_cloud_init(of_22_4(status="disabled", datasource=""), NOTHING)
    assert verdict is not None
    assert verdict.state is GuestState.DONE


@pytest.mark.parametrize("source", ["none", "", None, "nocloud", "DataSourceNone"])
def test_done_with_another_source_than_the_drive_is_an_error(source: str | None) -> None:
    verdict = said.by_cloud_init(of_22_4(datasource=source), DRIVE)
    assert verdict is not None
    assert verdict.state is GuestState.ERROR
    assert "drive" in verdict.detail


def test_done_with_another_source_is_fine_without_a_drive() -> None:
    for plan in (NOTHING, None):
        verdict = said.by_cloud_init(of_22_4(datasource="none"), plan)
        assert verdict is not None
        assert verdict.state is GuestState.DONE


def console(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


FINAL = "Cloud-init v. 22.4.2 finished at Thu, 01 Jan 2026 00:00:38 +0000. Datasource {}.  Up 38.01 seconds"
PREFIX = "[   38.012345] cloud-init[613]: "


def test_a_marker_is_heard() -> None:
    verdict = said.on_console(
        console("boot", 'injector-guest: {"status": "done", "detail": "all \\u001b[31mwell"}'), DRIVE
    )
    assert verdict is not None
    assert (verdict.state, verdict.detail, verdict.witness) == (GuestState.DONE, "all well", "console")


def test_the_last_marker_counts() -> None:
    heard = console(
        'injector-guest: {"status": "booting"}', 'injector-guest: {"status": "error", "detail": "x"}', "..."
    )
    verdict = said.on_console(heard, DRIVE)
    assert verdict is not None
    assert verdict.state is GuestState.ERROR


@pytest.mark.parametrize(("kilobytes", "heard"), [(200, True), (300, False)])
def test_a_marker_is_heard_before_much_that_is_said_later_but_not_before_all(kilobytes: int, heard: bool) -> None:
    later = [b"x" * 1023] * kilobytes
    assert (said.on_console(b"\n".join([b'injector-guest: {"status": "done"}', *later]), DRIVE) is not None) is heard


@pytest.mark.parametrize(
    "line",
    [
        ' injector-guest: {"status": "done"}',
        'echo injector-guest: {"status": "done"}',
        'injector-guest: {"status": "unknown"}',
        'injector-guest: {"status": "fine"}',
        'injector-guest: {"status": ["done"]}',
        'injector-guest: {"status": "done", "detail": "' + "x" * 5000 + '"}',
        "injector-guest: " + "[" * 3000,
        "injector-guest: []",
        'injector-guest: {"status": "do',
        "injector-guest: ",
    ],
)
def test_what_only_looks_like_a_marker_is_not_believed(line: str) -> None:
    assert said.on_console(console("a", line, "b"), DRIVE) is None


def test_cloud_inits_last_message_counts_where_nothing_better_is_said() -> None:
    verdict = said.on_console(console("x", PREFIX + FINAL.format(SOURCE)), DRIVE)
    assert verdict is not None
    assert (verdict.state, verdict.witness) == (GuestState.DONE, "console")
    assert verdict.detail == "cloud-init's last message: it finished with DataSourceConfigDrive"


def test_a_marker_is_stronger_than_the_last_message() -> None:
    heard = console('injector-guest: {"status": "error", "detail": "no"}', PREFIX + FINAL.format(SOURCE))
    verdict = said.on_console(heard, DRIVE)
    assert verdict is not None
    assert verdict.state is GuestState.ERROR


def test_a_warning_before_the_last_message_is_not_kept_quiet() -> None:
    warning = "2026-01-01 00:00:30,123 - cc_scripts_user.py[WARNING]: Failed to run module scripts-user"
    verdict = said.on_console(console(PREFIX + warning, PREFIX + FINAL.format(SOURCE)), DRIVE)
    assert verdict is not None
    assert verdict.state is GuestState.DEGRADED
    assert verdict.detail == "cc_scripts_user.py[WARNING]: Failed to run module scripts-user"


def test_the_last_message_of_a_guest_that_missed_its_drive_is_an_error() -> None:
    verdict = said.on_console(console(PREFIX + FINAL.format("DataSourceNone")), DRIVE)
    assert verdict is not None
    assert verdict.state is GuestState.ERROR


def test_a_silent_console_is_no_witness() -> None:
    assert said.on_console(b"", DRIVE) is None
    assert said.on_console(b"[    0.000000] Linux version 6.1.0\r\nDebian GNU/Linux 12 ttyS0\r\nlogin: ", DRIVE) is None


def _obeys_nobody(text: str) -> bool:
    """Nothing in it that a terminal would act on or JSON could not carry."""
    return not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Zl", "Zp"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(["status", "detail", "errors", "datasource", "extended_status", "recoverable_errors"])
WORDS = st.sampled_from(["done", "error", "running", "disabled", "degraded done"])


@given(st.dictionaries(KEYS, ANYTHING | WORDS))
def test_a_hostile_status_does_no_harm(status: dict[str, Any]) -> None:
    verdict = said.by_cloud_init(status, DRIVE)
    if verdict is not None:
        assert len(verdict.detail) <= 600
        assert _obeys_nobody(verdict.detail)
        assert not (verdict.state is GuestState.DONE and status.get("datasource") != "configdrive")


@given(
    st.lists(st.binary() | KEYS.map(str.encode) | ANYTHING.map(lambda v: b"injector-guest: " + json.dumps(v).encode()))
)
def test_a_hostile_console_does_no_harm(lines: list[bytes]) -> None:
    verdict = said.on_console(b"\n".join(lines), DRIVE)
    assert verdict is None or _obeys_nobody(verdict.detail)


@pytest.mark.parametrize("word", ["done", "degraded", "degraded done"])
def test_every_word_for_the_end(word: str) -> None:
    verdict = said.by_cloud_init(of_22_4(status=word), DRIVE)
    assert verdict is not None
    assert verdict.state is (GuestState.DONE if word == "done" else GuestState.DEGRADED)


@pytest.mark.parametrize("source", ["", None, "none", "DataSourceNone"])
def test_no_data_source_is_said_in_words(source: str | None) -> None:
    verdict = said.by_cloud_init(of_22_4(datasource=source), DRIVE)
    assert verdict is not None
    assert (verdict.state, verdict.witness) == (GuestState.ERROR, "agent")
    assert "without a data source" in verdict.detail


def test_another_data_source_is_named_and_bounded() -> None:
    verdict = said.by_cloud_init(of_22_4(datasource="x" * 61), DRIVE)
    assert verdict is not None
    assert verdict.detail == f"cloud-init took its data from {'x' * 60}, not from the config drive"


@pytest.mark.parametrize("detail", [None, ""])
def test_nothing_said_is_no_detail(detail: str | None) -> None:
    status = said.by_cloud_init(of_22_4(detail=detail), DRIVE)
    marker = said.on_console(f'injector-guest: {{"status": "done", "detail": {json.dumps(detail)}}}'.encode(), DRIVE)
    for verdict in (status, marker):
        assert verdict is not None
        assert verdict.detail == ""
    assert said.booting("agent").detail == ""


@pytest.mark.parametrize(
    ("source", "before", "state", "detail"),
    [
        ("ConfigDrive", "", GuestState.DONE, "finished with DataSourceConfigDrive"),
        ("None", "", GuestState.ERROR, "without a data source"),
        ("ConfigDrive", "2026-03-01 12:00:00,000 - a.py[WARNING]: first\n", GuestState.DEGRADED, "a.py[WARNING]"),
    ],
)
def test_the_last_message_is_a_word_of_the_console(source: str, before: str, state: GuestState, detail: str) -> None:
    final = f"Cloud-init v. 22.4.2 finished at Sun, 01 Mar 2026 12:00:00 +0000. Datasource DataSource{source}.  Up 9 s"
    verdict = said.on_console((before + final).encode(), DRIVE)
    assert verdict is not None
    assert (verdict.state, verdict.witness) == (state, "console")
    assert detail in verdict.detail


def test_the_first_complaint_is_told_and_a_marker_begins_its_line() -> None:
    first, second = (f"2026-03-01 12:00:00,000 - {name}.py[WARNING]: hm" for name in "ab")
    final = "Cloud-init v. 22.4.2 finished at Sun. Datasource DataSourceConfigDrive"
    verdict = said.on_console("\n".join((first, second, final)).encode(), DRIVE)
    assert verdict is not None
    assert verdict.detail == "a.py[WARNING]: hm"
    assert said.on_console(b'{"status": "done"}', DRIVE) is None
    long = 'injector-guest: {"status": "done", "detail": "%s"}'
    fits = long % ("x" * (4096 - len(long) + len("injector-guest: ") + 2))
    assert said.on_console(fits.encode(), DRIVE) is not None
    assert said.on_console((fits + " ").encode(), DRIVE) is None


def test_a_guest_without_cloud_init_is_done_when_its_init_is() -> None:
    for state, meaning in (("running", GuestState.DONE), ("degraded", GuestState.DEGRADED)):
        verdict = said.by_init(state)
        assert verdict is not None
        assert (verdict.state, verdict.witness) == (meaning, "agent")
    assert said.by_init("starting") is None
    assert said.by_init("") is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"7", b"[" * 100_000])
def test_what_is_no_object_says_nothing(text: bytes) -> None:
    assert said.parsed(text) == {}
