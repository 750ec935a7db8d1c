"""What a guest's words mean: cloud-init's status, markers and last messages on a console; pure, on hostile text.

By strength: cloud-init's own status (through the agent) > a marker line > cloud-init's final message on the console.
The final message comes at the end of a failed boot as well as of a good one, so it is believed only as far as it
goes: it names the data source, and what cloud-init warned of before it stands above it on the console.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from injector.model.guest import GuestState, GuestVerdict
from injector.model.hostile import harmless, one_line
from injector.model.plan import ChannelKind, Plan

CONSOLE_BYTES = 256 * 1024
MARKER = "injector-guest: "
INIT_AT_WORK = frozenset({"initializing", "starting"})

_MARKER_LIMIT = 4096
_BY = r"(?:\[ *\d+\.\d+\] )?(?:cloud-init\[\d+\]: )?"
_FINAL = re.compile(_BY + r"Cloud-init v\. \S+ finished at .{1,60}?\. Datasource DataSource(?P<source>\w+)")
_COMPLAINT = re.compile(_BY + r"\d{4}-\d\d-\d\d [\d:,]+ - (?P<text>\S+\[(?:WARNING|ERROR|CRITICAL)\]: .*)")


def booting(witness: str, detail: str = "") -> GuestVerdict:
    return GuestVerdict(GuestState.BOOTING, detail, witness)


def parsed(text: bytes) -> dict[str, Any]:
    """A JSON object that a guest printed; empty when it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def by_cloud_init(status: Mapping[str, Any], plan: Plan | None) -> GuestVerdict | None:
    """The meaning of ``cloud-init status --format json``, of 22.4 and of the newer ones that know "degraded"."""
    word = str(status.get("status"))
    if word == "error":
        return _agent(GuestState.ERROR, _errors(status) or _detail(status))
    if word in ("running", "degraded running"):
        return booting("agent", _detail(status))
    if word in ("disabled", "not run", "not started"):
        return _never_ran(word, plan)
    if word in ("done", "degraded", "degraded done"):
        return _done(status, plan)
    return None


def _done(status: Mapping[str, Any], plan: Plan | None) -> GuestVerdict:
    missed = _missed_the_drive(str(status.get("datasource") or ""), plan)
    if missed:
        return _agent(GuestState.ERROR, missed)
    extended = f"{status.get('status')} {status.get('extended_status')}"
    if "degraded" in extended or status.get("recoverable_errors"):
        return _agent(GuestState.DEGRADED, _recoverable(status) or _detail(status))
    return _agent(GuestState.DONE, _detail(status))


def _never_ran(word: str, plan: Plan | None) -> GuestVerdict:
    if not _has_drive(plan):
        return _agent(GuestState.DONE, f"cloud-init did not run ({word}); it had nothing to read")
    return _agent(GuestState.ERROR, f"cloud-init did not run ({word}): the guest saw no data source")


def _missed_the_drive(source: str, plan: Plan | None) -> str | None:
    """What is wrong when cloud-init took its data from elsewhere than the drive it was given."""
    name = one_line(source.lower().removeprefix("datasource"), 60)
    if not _has_drive(plan) or name == "configdrive":
        return None
    if name in ("", "none"):
        return "cloud-init ran without a data source: the guest did not see its config drive"
    return f"cloud-init took its data from {name}, not from the config drive"


def _has_drive(plan: Plan | None) -> bool:
    return plan is not None and plan.channel is ChannelKind.CONFIG_DRIVE


def by_init(state: str) -> GuestVerdict | None:
    """The meaning of ``systemctl is-system-running`` in a guest that has no cloud-init to say more."""
    if state == "running":
        return _agent(GuestState.DONE, "its init has started everything")
    if state == "degraded":
        return _agent(GuestState.DEGRADED, "some of its services have failed")
    return None


def _agent(state: GuestState, detail: str) -> GuestVerdict:
    return GuestVerdict(state, detail, "agent")


def _detail(status: Mapping[str, Any]) -> str:
    return one_line(str(status.get("detail") or ""))


def _errors(status: Mapping[str, Any]) -> str:
    errors = status.get("errors")
    return one_line("; ".join(str(error) for error in errors)) if isinstance(errors, list) else ""


def _recoverable(status: Mapping[str, Any]) -> str:
    """Lists of texts by level (WARNING, DEPRECATED, …)."""
    found = status.get("recoverable_errors")
    lists = found.values() if isinstance(found, dict) else ()
    return one_line("; ".join(str(text) for texts in lists if isinstance(texts, list) for text in texts))


def on_console(text: bytes, plan: Plan | None) -> GuestVerdict | None:
    """The last marker; without any, cloud-init's final message."""
    lines = harmless(text, CONSOLE_BYTES).splitlines()
    for line in reversed(lines):
        if line.startswith(MARKER) and (verdict := _marked(line.removeprefix(MARKER))):
            return verdict
    return _final_message(lines, plan)


def _marked(text: str) -> GuestVerdict | None:
    """``{"status": one of ours but unknown, "detail": text}``; anything else is no marker."""
    if len(text) > _MARKER_LIMIT:
        return None
    try:
        marker = json.loads(text)
        state = GuestState(marker["status"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if state is GuestState.UNKNOWN:
        return None
    return GuestVerdict(state, one_line(str(marker.get("detail") or "")), "console")


def _final_message(lines: list[str], plan: Plan | None) -> GuestVerdict | None:
    complaint = ""
    for line in lines:
        if found := _COMPLAINT.match(line):
            complaint = complaint or one_line(found["text"])
        elif final := _FINAL.match(line):
            return _finished(final["source"], complaint, plan)
    return None


def _finished(source: str, complaint: str, plan: Plan | None) -> GuestVerdict:
    missed = _missed_the_drive(source, plan)
    if missed:
        return GuestVerdict(GuestState.ERROR, missed, "console")
    if complaint:
        return GuestVerdict(GuestState.DEGRADED, complaint, "console")
    detail = f"cloud-init's last message: it finished with DataSource{one_line(source, 60)}"
    return GuestVerdict(GuestState.DONE, detail, "console")
