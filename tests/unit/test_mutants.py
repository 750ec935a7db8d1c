"""The mutants themselves: each is one change, found again by its number, in something that decides."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.operators import mutants, mutated
from tests.mutants.table import EQUIVALENT, TESTS

ROOT = Path(__file__).parent.parent.parent
CHANGES = [
    ("a <= b", ["a <= b -> a < b"]),
    ("a in b", ["a in b -> a not in b"]),
    ("a and b", ["a and b -> a or b", "a and b -> a", "a and b -> b"]),
    ("a or b or c", ["a or b or c -> " + after for after in ("a and b and c", "b or c", "a or c", "a or b")]),
    ("not a", ["not a -> a"]),
    ("a + 1", ["a + 1 -> a - 1", "1 -> 2"]),
    ("x = True", ["True -> False"]),
    ("x = 'name'", ["'name' -> 'XXname'"]),
    ("x = 'some words'", []),
    ("x = f'{a}text'", []),
    ("x: int | None", []),
    ("'docstring'", []),
    ("LOG.info('x')", []),
    ("@dataclass(frozen=True)\nclass A: pass", []),
    ("min(a)", ["min(a) -> pass", "min -> max"]),
    ("x = {a, b}", ["{a, b} -> {b}", "{a, b} -> {a}"]),
    ("x = {a: b}", ["{a: b} -> {}"]),
    ("if a: b()", ["a -> not a", "b() -> pass"]),
    ("def f(): return a", ["return a -> return None"]),
    ("def f(): return None", []),
    ("raise a", ["raise a -> pass"]),
    ("[a for a in b if a]", ["for a in b if a -> for a in b if not a"]),
    (
        "match a:\n  case 1: b\n  case _: c",
        [f"match a: case 1: b case _: c -> match a: case {after}" for after in ("_: c", "1: b")] + ["1 -> 2"],
    ),
]


@pytest.mark.parametrize(("source", "changes"), CHANGES)
def test_the_faults_are_these(source: str, changes: list[str]) -> None:
    found = mutants("m.py", source)
    assert [mutant.change.strip() for mutant in found] == changes
    for mutant in found:
        compile(mutated(source, mutant.number), "m.py", "exec")


@pytest.mark.parametrize("file", sorted(TESTS))
def test_every_mutant_of_the_table_is_a_program_of_its_own(file: str) -> None:
    source = (ROOT / file).read_text()
    healthy = ast.unparse(mutated(source, None))
    # A mutant inside another's reach would be the same program twice.
    for mutant in mutants(file, source)[::10]:
        assert ast.unparse(mutated(source, mutant.number)) != healthy, mutant


def test_a_mutant_tells_its_line_and_function() -> None:
    (mutant,) = mutants("m.py", "class A:\n    def f(self):\n        x = 1")
    assert (mutant.line, mutant.function, mutant.change) == (3, "A.f", "1 -> 2")


def test_the_table_names_what_exists() -> None:
    for tests in TESTS.values():
        assert all((ROOT / "tests" / "unit" / f"{test}.py").exists() for test in tests)
    assert {file for file, _, _ in EQUIVALENT} <= set(TESTS)
