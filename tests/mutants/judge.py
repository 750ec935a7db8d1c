"""The judge: a process that knows every library but nothing of ours forks a child for each mutant.

The child loads the mutated module in place of the real one and runs its tests, which is why nothing of ours may have
been imported before: ``from module import function`` elsewhere would keep the healthy function.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import CodeType, ModuleType

import hypothesis
import pytest

from tests.mutants.operators import Mutant, mutated

_FORK = multiprocessing.get_context("fork")
_MEMORY = 4 * 1024**3
# The same examples in every run; a failing one is not made smaller, since nobody reads it.
hypothesis.settings.register_profile(
    "mutants", derandomize=True, database=None, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Tests to run on one file with one of its mutants, or as it is; ``seconds`` is the patience with it."""

    file: str
    tests: tuple[str, ...]
    mutant: Mutant | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """``noticed`` when a test failed, or was not through in time; ``seconds`` it took."""

    trial: Trial
    noticed: bool
    seconds: float


def judged(trials: Sequence[Trial], workers: int) -> Iterator[Sentence]:
    """Each trial's sentence, in the order of their ends; so many at once."""
    waiting = list(reversed(trials))
    running: dict[int, tuple[BaseProcess, Trial, float]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            process: BaseProcess = _FORK.Process(target=_child, args=(waiting[-1],))
            process.start()
            running[process.sentinel] = process, waiting.pop(), time.monotonic()
        wait(list(running), timeout=0.2)
        for sentinel, (process, trial, begun) in list(running.items()):
            seconds = time.monotonic() - begun
            if process.is_alive() and seconds < trial.seconds:
                continue
            code = _ended(process)
            del running[sentinel]
            yield Sentence(trial, code != 0, seconds)


def _ended(process: BaseProcess) -> int | None:
    """The status of a child that has ended or has to: with everything it started."""
    code = process.exitcode
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    return code


def preload(tests: Collection[str]) -> None:
    """Import what the tests import and is not ours, as a child finds it out."""
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_survey, args=(sorted(tests), theirs))
    process.start()
    theirs.close()
    names: list[str] = ours.recv()
    process.join()
    for name in names:
        # Some are not to be imported first of their package; they come with those that import them.
        with suppress(ImportError, AttributeError):
            importlib.import_module(name)


def _survey(tests: Sequence[str], answer: multiprocessing.connection.Connection) -> None:
    before = set(sys.modules)
    for test in tests:
        importlib.import_module(f"tests.unit.{test}")
    answer.send([name for name in sys.modules if name not in before and not name.startswith(("injector", "tests"))])
    answer.close()
    os._exit(0)


def _child(trial: Trial) -> None:
    """Never returns: threads that a mutant has hung up must not keep the process."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    code: int = 1
    try:
        hypothesis.settings.load_profile("mutants")
        sys.meta_path.insert(0, _Swap(trial))
        files = [f"tests/unit/{test}.py" for test in trial.tests]
        code = pytest.main(["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", *files])
    finally:
        os._exit(code)


class _Swap(importlib.abc.MetaPathFinder):
    """Finds the file of the trial instead of the module of its name, and everything else as ever."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._name = trial.file.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(Path(self._trial.file).resolve()), self._trial.mutant)
        return importlib.util.spec_from_loader(fullname, loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, mutant: Mutant | None) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        tree = mutated(Path(self.path).read_text(), self._mutant.number if self._mutant else None)
        return compile(tree, self.path, "exec", dont_inherit=True)
