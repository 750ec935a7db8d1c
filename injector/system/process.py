"""The only place where a program is started: bounded in time, memory, output and in what it leaves behind."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, cast

from injector.errors import HostError, NoSpace, ProgramFailed
from injector.model.hostile import harmless

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_FULL_DISK = ("No space left on device", "Disk quota exceeded")
_STDERR_KEPT = 64 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use: seconds of processor, bytes of address space and of one file, open files.

    None leaves a resource as the daemon has it. Core files are never written.
    """

    cpu_seconds: int | None = None
    address_space: int | None = None
    file_size: int | None = None
    open_files: int | None = None

    def prefix(self) -> list[str]:
        """util-linux ``prlimit`` to put before a command: ``preexec_fn`` can deadlock in a process with threads."""
        options = ["--core=0"]
        if self.cpu_seconds is not None:
            # The soft limit says SIGXCPU, which is recognisable; at the hard one the kernel only kills.
            options.append(f"--cpu={self.cpu_seconds}:{self.cpu_seconds + 1}")
        if self.address_space is not None:
            options.append(f"--as={self.address_space}")
        if self.file_size is not None:
            options.append(f"--fsize={self.file_size}")
        if self.open_files is not None:
            options.append(f"--nofile={self.open_files}")
        return ["prlimit", *options, "--"]


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended: all of its output, the beginning of its complaints, its exit status (-N: signal N)."""

    stdout: bytes
    stderr: str
    returncode: int


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    purpose: str,
    limits: Limits | None,
    timeout: float,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    accept: Collection[int] | None = (0,),
    output_limit: int = 1024 * 1024,
) -> Finished:
    """Run a program to its end and return what it said; everything it left running in its group is killed.

    ``purpose`` completes "could not …" in the message for people. The program sees an empty standard input (or
    ``input``), ``LC_ALL=C``, ``PATH``, ``env`` and nothing else of our environment, and makes files 0600.
    ``timeout`` is in seconds of wall time; more than ``output_limit`` bytes of output is a failure. ``accept`` are
    the exit statuses that are none; None leaves the judgement to the caller, signals included.

    Raises ProgramFailed when it is missing, ends with a status outside ``accept``, or goes over a limit; NoSpace
    when it complains of a full disk.
    """
    command = [os.fspath(word) for word in argv]
    call = _Call(os.path.basename(command[0]), purpose, " ".join(command))
    command[0] = _locate(command[0], call)
    if limits is not None:
        prefix = limits.prefix()
        command = [_locate(prefix[0], call), *prefix[1:], *command]
    finished = _Run(call, timeout, output_limit).until_end(_start(command, call, input, env))
    if accept is not None and finished.returncode not in accept:
        raise call.failed(finished)
    return finished


class Companion:
    """A program that runs beside us. It outlives this value: whoever started it sees to its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        """Its exit status, -N for signal N; nothing of it is left in the table of processes."""
        return self._process.wait()

    def end(self, within: float) -> int:
        """Wait for its end, which is at hand; killed after ``within`` seconds."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait()


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    purpose: str,
    descriptors: Collection[int],
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Companion:
    """Start a program that talks over ``descriptors``, inherited under their own numbers, and is given nothing else.

    ``prepare`` is run in the child before the program; only a process with one thread may ask for it. ProgramFailed
    when the program is missing or cannot be started.
    """
    command = [os.fspath(word) for word in argv]
    call = _Call(os.path.basename(command[0]), purpose, " ".join(command))
    command[0] = _locate(command[0], call)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if stderr is None else stderr,
            cwd="/",
            env={"LC_ALL": "C", "PATH": PATH, **(env or {})},
            pass_fds=descriptors,
            start_new_session=True,
            umask=0o077,
            preexec_fn=prepare,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise call.error(getattr(error, "strerror", None) or "it could not be started", str(error)) from error
    return Companion(process)


@dataclass(frozen=True, slots=True)
class _Call:
    """Which program, and what for: the words of every failure."""

    program: str
    purpose: str
    command: str

    def error(self, why: str, stderr: str = "") -> ProgramFailed:
        detail = f"{self.command}: {why}" + (f": {stderr}" if stderr else "")
        return ProgramFailed(f"{self.program} could not {self.purpose}: {why}", detail=detail)

    def failed(self, finished: Finished) -> HostError:
        complaint = harmless(finished.stderr).strip()
        if any(text in complaint for text in _FULL_DISK):
            return NoSpace(f"the disk is full: {self.program} could not {self.purpose}", detail=complaint)
        return self.error(_ending(finished.returncode), complaint)


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    if returncode == -signal.SIGXCPU:
        return "it used all the processor time it may have"
    if returncode == -signal.SIGXFSZ:
        return "it wrote a larger file than it may"
    return f"killed by signal {-returncode}"


def located(program: str, purpose: str) -> str:
    """Where a program is; ProgramFailed when it is not installed."""
    return _locate(program, _Call(program, purpose, program))


def _locate(program: str, call: _Call) -> str:
    found = shutil.which(program, path=PATH)
    if found is None:
        raise ProgramFailed(f"the program {program}, needed to {call.purpose}, is not installed on this host")
    return found


def _start(
    command: list[str], call: _Call, input: bytes | None, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    stdin = subprocess.DEVNULL if input is None else _memory_file(input)
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"LC_ALL": "C", "PATH": PATH, **(env or {})},
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise call.error(error.strerror or "it could not be started") from error
    finally:
        if stdin != subprocess.DEVNULL:
            os.close(stdin)


def _memory_file(content: bytes) -> int:
    """A file that never touches a disk: no pipe that has to be fed while the answer is read."""
    descriptor = os.memfd_create("stdin")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class _Run:
    """Waits on a program's output and its end at once, so that nothing is polled and nothing is waited for twice."""

    def __init__(self, call: _Call, timeout: float, output_limit: int) -> None:
        self.call = call
        self.timeout = timeout
        self.output_limit = output_limit
        self.stdout = bytearray()
        self.stderr = bytearray()

    def until_end(self, process: subprocess.Popen[bytes]) -> Finished:
        """Whatever happens, no member of the program's group is left when this returns, and it has been reaped."""
        with cast(IO[bytes], process.stdout) as stdout, cast(IO[bytes], process.stderr) as stderr:
            try:
                self._watch(process.pid, {stdout.fileno(): self.stdout, stderr.fileno(): self.stderr})
            finally:
                # Not reaped yet, so the number cannot have gone to another process.
                os.killpg(process.pid, signal.SIGKILL)
                returncode = process.wait()
        return Finished(bytes(self.stdout), self.stderr.decode("utf-8", "replace"), returncode)

    def _watch(self, pid: int, sinks: dict[int, bytearray]) -> None:
        poll = select.poll()
        for descriptor in sinks:
            os.set_blocking(descriptor, False)
            poll.register(descriptor, select.POLLIN)
        ended = os.pidfd_open(pid)
        try:
            poll.register(ended, select.POLLIN)
            self._pump(poll, ended, sinks)
        finally:
            os.close(ended)
        for descriptor, sink in sinks.items():
            # Once is enough: a pipe holds no more than a chunk, and who escaped from the group could write for ever.
            self._read(descriptor, sink)

    def _pump(self, poll: select.poll, ended: int, sinks: dict[int, bytearray]) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            left = deadline - time.monotonic()
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)} if left > 0 else set()
            if not ready:
                raise self.call.error(f"it did not end within {self.timeout:g} s", self._complaint())
            if ended in ready:
                return
            for descriptor in ready:
                if not self._read(descriptor, sinks[descriptor]):
                    poll.unregister(descriptor)

    def _read(self, descriptor: int, sink: bytearray) -> bool:
        """False at the end of what is there; complaints beyond the first are read and dropped."""
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if sink is self.stderr:
            sink += chunk[: _STDERR_KEPT - len(sink)]
        else:
            sink += chunk
            if len(sink) > self.output_limit:
                raise self.call.error(f"it answered with more than {self.output_limit} bytes", self._complaint())
        return bool(chunk)

    def _complaint(self) -> str:
        return harmless(bytes(self.stderr)).strip()
