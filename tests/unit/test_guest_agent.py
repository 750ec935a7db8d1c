"""How the guest is asked through its agent: in which order, and what becomes of answers that make no sense."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.model.guest import GuestState, GuestVerdict
from injector.model.plan import ChannelKind
from injector.virt.libvirt import guest
from tests import builders as a

DRIVE = a.a_plan()
MARKER = b'injector-guest: {"status": "degraded", "detail": "by console"}\n'
STATUS = {"status": "done", "datasource": "configdrive", "detail": "DataSourceConfigDrive", "errors": []}


class AgentGuest:
    """A guest with an agent and these programs: what each ends with and prints. Others it does not have."""

    def __init__(self, programs: Mapping[str, tuple[int, bytes]]) -> None:
        self.programs = programs
        self.ran: list[str] = []

    def agent(self, command: str, timeout: int, **arguments: Any) -> Any:
        assert timeout > 0
        if command == "guest-exec":
            if arguments["path"] not in self.programs:
                return None
            self.ran.append(arguments["path"])
            return {"pid": len(self.ran)}
        assert command == "guest-exec-status"
        status, output = self.programs[self.ran[arguments["pid"] - 1]]
        return {"exited": True, "exitcode": status, "out-data": base64.b64encode(output).decode()}


def booted(**changes: Any) -> dict[str, tuple[int, bytes]]:
    return {"test": (0, b""), "cloud-init": (0, json.dumps(STATUS | changes).encode())}


def asked(programs: Mapping[str, tuple[int, bytes]], console: bytes = b"") -> GuestVerdict | None:
    return guest.ask(AgentGuest(programs), console, DRIVE)


def test_a_guest_that_is_done_says_so() -> None:
    verdict = asked(booted())
    assert verdict is not None
    assert (verdict.state, verdict.witness) == (GuestState.DONE, "agent")
    assert verdict.at is not None


def test_cloud_init_is_not_started_in_a_guest_that_still_boots() -> None:
    booting = AgentGuest(booted() | {"test": (1, b""), "systemctl": (1, b"starting\n")})
    verdict = guest.ask(booting, b"", DRIVE)
    assert verdict is not None
    assert (verdict.state, verdict.witness) == (GuestState.BOOTING, "agent")
    assert "cloud-init" not in booting.ran


def test_a_guest_that_booted_past_its_cloud_init_is_asked_why() -> None:
    programs = booted(status="not run", datasource="") | {"test": (1, b""), "systemctl": (0, b"running\n")}
    verdict = asked(programs)
    assert verdict is not None
    assert verdict.state is GuestState.ERROR
    assert "saw no data source" in verdict.detail


@pytest.mark.parametrize(
    "programs",
    [
        {},
        {"test": (0, b"")},
        {"test": (1, b"")},
        booted() | {"cloud-init": (0, b"not json")},
        booted() | {"cloud-init": (0, b"[]")},
        booted() | {"cloud-init": (0, b"[" * 60000)},
        booted() | {"cloud-init": (0, json.dumps(STATUS).encode() + b" " * 70000)},
        booted(status="what?"),
    ],
    ids=["no agent", "no cloud-init", "nothing to ask", "no json", "a list", "deep", "long", "unknown word"],
)
def test_where_the_agent_has_no_answer_the_console_is_heard(programs: Mapping[str, tuple[int, bytes]]) -> None:
    verdict = asked(programs, MARKER)
    assert verdict is not None
    assert (verdict.state, verdict.witness, verdict.detail) == (GuestState.DEGRADED, "console", "by console")


def test_the_agent_is_believed_before_the_console() -> None:
    verdict = asked(booted(), MARKER)
    assert verdict is not None
    assert verdict.witness == "agent"


def test_a_guest_that_is_off_is_heard_by_what_it_said() -> None:
    verdict = guest.ask(None, MARKER, DRIVE)
    assert verdict is not None
    assert verdict.witness == "console"
    assert guest.ask(None, b"", DRIVE) is None


class HostileGuest:
    """Answers anything to everything."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers

    def agent(self, command: str, timeout: int, **arguments: Any) -> Any:
        return self._answers.pop() if self._answers else None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("bm90IGpzb24="),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["pid", "exitcode", "out-data"]), inner),
    max_leaves=5,
)
ENDINGS = st.fixed_dictionaries({"exited": st.just(True), "exitcode": VALUES, "out-data": VALUES})


@settings(deadline=None)
@given(st.lists(VALUES | ENDINGS | st.just({"pid": 1}), max_size=8))
def test_hostile_answers_do_no_harm(answers: list[Any]) -> None:
    verdict = guest.ask(HostileGuest(answers), b"", DRIVE)
    assert verdict is None or verdict.state is GuestState.BOOTING


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (b"running\n", GuestState.DONE),
        (b"degraded\n", GuestState.DEGRADED),
        (b"starting\n", GuestState.BOOTING),
        (b"maintenance\n", None),
        (b"", None),
    ],
)
def test_a_guest_without_cloud_init_is_done_when_its_init_is(state: bytes, verdict: GuestState | None) -> None:
    programs = {"test": (1, b""), "systemctl": (0, state)}
    injected = guest.ask(AgentGuest(programs), b"", a.a_plan(channel=ChannelKind.PARTITION))
    assert (injected.state if injected else None) is verdict
    given_a_drive = guest.ask(AgentGuest(programs), b"", DRIVE)
    assert given_a_drive is None or given_a_drive.state is GuestState.BOOTING
