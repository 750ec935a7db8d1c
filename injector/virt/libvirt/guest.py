"""The witness: what the guest itself says of its boot, through its agent or on its console."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from injector.model.guest import GuestVerdict
from injector.model.plan import ChannelKind, Plan
from injector.virt.libvirt import said

_CALL_SECONDS = 2
_PROGRAM_SECONDS = 10.0
_LOOK_AGAIN = 0.1
_OUTPUT_LIMIT = 64 * 1024


class Speaker(Protocol):
    """What has a guest agent behind it: a ``host.Domain``."""

    def agent(self, command: str, timeout: int, **arguments: Any) -> Any:
        """The agent's answer, or None when there is none within ``timeout`` seconds."""
        ...


def ask(domain: Speaker | None, console: bytes, plan: Plan | None) -> GuestVerdict | None:
    """The agent's word before the console's; None when the guest does not speak."""
    verdict = _by_agent(Agent(domain), plan) if domain is not None else None
    if verdict is None:
        verdict = said.on_console(console, plan)
    return verdict and replace(verdict, at=datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Program:
    """A program that ended inside the guest: its exit status and the beginning of its output (hostile)."""

    status: int
    output: bytes


class Agent:
    """QEMU's guest agent. Every answer may be None: it is not there, not yet, hangs, or may not."""

    def __init__(self, domain: Speaker) -> None:
        self._domain = domain

    def ask(self, command: str) -> Any:
        """The agent's answer to a command of its own (hostile)."""
        return self._domain.agent(command, _CALL_SECONDS)

    def run(self, *command: str, limit: int = _OUTPUT_LIMIT) -> Program | None:
        """Run a program in the guest to its end, for ``_PROGRAM_SECONDS`` at most; ``limit`` bytes of its output."""
        arguments = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
        started = self._domain.agent("guest-exec", _CALL_SECONDS, **arguments)
        pid = started.get("pid") if isinstance(started, dict) else None
        deadline = time.monotonic() + _PROGRAM_SECONDS
        while isinstance(pid, int) and time.monotonic() < deadline:
            ended = self._domain.agent("guest-exec-status", _CALL_SECONDS, pid=pid)
            if not isinstance(ended, dict):
                return None
            if ended.get("exited"):
                return _program(ended, limit)
            time.sleep(_LOOK_AGAIN)
        return None


def _program(ended: dict[str, Any], limit: int) -> Program | None:
    status, data = ended.get("exitcode"), ended.get("out-data", "")
    if not isinstance(status, int) or not isinstance(data, str):
        return None
    try:
        return Program(status, base64.b64decode(data, validate=True)[:limit])
    except (ValueError, binascii.Error):
        return None


def _by_agent(agent: Agent, plan: Plan | None) -> GuestVerdict | None:
    """cloud-init is asked only when it can have an answer: starting it costs a booting guest seconds."""
    finished = agent.run("test", "-e", "/run/cloud-init/result.json", "-o", "-e", "/run/cloud-init/disabled")
    if finished is None:
        return None
    if finished.status != 0 and _starting(agent):
        return said.booting("agent")
    answer = agent.run("cloud-init", "status", "--format", "json")
    if answer is None and plan is not None and plan.channel is ChannelKind.PARTITION:
        return said.by_init(_state_of_init(agent))
    if answer is None or len(answer.output) == _OUTPUT_LIMIT:
        return None
    status = said.parsed(answer.output)
    if status.get("status") == "error" and not status.get("errors"):
        status = status | {"errors": _errors_of_result(agent)}
    return said.by_cloud_init(status, plan)


def _errors_of_result(agent: Agent) -> list[Any]:
    """What cloud-init wrote down at its end: the word of its status is "error" also where it does not say why."""
    answer = agent.run("cat", "/run/cloud-init/result.json")
    result = said.parsed(answer.output).get("v1") if answer is not None else None
    errors = result.get("errors") if isinstance(result, dict) else None
    return errors if isinstance(errors, list) else []


def _starting(agent: Agent) -> bool:
    """Whether the guest's own init is still at work; one that is not systemd is not known to be."""
    return _state_of_init(agent) in said.INIT_AT_WORK


def _state_of_init(agent: Agent) -> str:
    """systemd's word; empty where there is none."""
    state = agent.run("systemctl", "is-system-running", limit=64)
    return state.output.strip().decode(errors="replace") if state is not None else ""
