"""The faults: every one changes a single node of a module's syntax tree, as a slip of the hand would.

Words are left alone (a text with a blank in it is a message for people), and so are annotations, docstrings,
decorators and what goes to the log: none of these decides anything.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_UNJUDGED = frozenset({"annotation", "returns", "decorator_list", "bases", "ctx", "format_spec"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: ``number`` finds it again in the same source; ``change`` is ``before -> after``."""

    file: str
    number: int
    line: int
    function: str
    change: str


@dataclass(frozen=True, slots=True)
class _Site:
    node: ast.AST
    after: ast.AST
    line: int
    function: str
    put: Callable[[ast.AST], None]


def mutants(file: str, source: str) -> tuple[Mutant, ...]:
    """Every mutant of a module, in the order of its text."""
    return tuple(
        Mutant(file, number, site.line, site.function, f"{_text(site.node)} -> {_text(site.after)}")
        for number, site in enumerate(_sites(ast.parse(source)))
    )


def mutated(source: str, number: int | None) -> ast.Module:
    """The tree of a module with one of its mutants in place; the module as it is for None."""
    tree = ast.parse(source)
    if number is not None:
        site = list(_sites(tree))[number]
        site.put(ast.copy_location(site.after, site.node))
    return ast.fix_missing_locations(tree)


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _sites(tree: ast.AST, function: str = "", line: int = 0) -> Iterator[_Site]:
    """What can be changed below ``tree``; nothing is changed while this goes on."""
    inside = getattr(tree, "name", "") if isinstance(tree, ast.FunctionDef | ast.ClassDef) else ""
    function = ".".join(filter(None, (function, inside)))
    for child, put in _children(tree):
        here = getattr(child, "lineno", line)
        yield from (_Site(child, after, here, function, put) for after in _faults(child, tree))
        yield from _sites(child, function, here)


def _children(parent: ast.AST) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
    """The children that are judged, each with how to put another in its place."""
    for field, value in ast.iter_fields(parent):
        if field in _UNJUDGED:
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not _idle(child, parent):
                yield child, _putter(parent, field, index)


def _putter(parent: ast.AST, field: str, index: int) -> Callable[[ast.AST], None]:
    def put(after: ast.AST) -> None:
        value = getattr(parent, field)
        if isinstance(value, list):
            value[index] = after
        else:
            setattr(parent, field, after)

    return put


def _idle(node: ast.AST, parent: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="LOG")))):
            return True
        case ast.keyword(arg="strict"):
            return True  # strict=True in zip: its two sides come from one list
        case ast.Subscript(value=ast.Name(id="Callable")):
            return True
        case ast.Constant(value=str(text)):
            return isinstance(parent, ast.JoinedStr) or " " in text
    return False


def _faults(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.expr():
            yield from _expressions(node)
        case ast.stmt():
            yield from _statements(node)
        case ast.comprehension(ifs=[condition]) if _plain(condition):
            yield _with(node, ifs=[_negated(condition)])
    if isinstance(parent, ast.If | ast.IfExp | ast.While) and node is parent.test and _plain(node):
        yield _negated(node)
    cases = getattr(node, "cases", [])
    if isinstance(node, ast.Match) and len(cases) > 1:
        yield from (_with(node, cases=_without(cases, index)) for index in range(len(cases)))


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[operator, *others]):
            yield _with(node, ops=[_COMPARISONS[type(operator)](), *others])
        case ast.BoolOp(op=operator, values=values):
            yield _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
            if len(values) == 2:
                yield from values
            else:
                yield from (_with(node, values=_without(values, index)) for index in range(len(values)))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(operator)]())
        case ast.Name(id=name) if name in _NAMES:
            yield _with(node, id=_NAMES[name])
        case ast.Constant(value=value):
            yield from _constants(value)
        case ast.Set(elts=elements) | ast.List(elts=elements) | ast.Tuple(elts=elements, ctx=ast.Load()):
            if len(elements) > 2 or not isinstance(node, ast.Tuple):
                yield from (_with(node, elts=_without(elements, index)) for index in range(len(elements)))
        case ast.Dict(keys=keys, values=values):
            for index in range(len(keys)):
                yield _with(node, keys=_without(keys, index), values=_without(values, index))


def _constants(value: object) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str():
            yield ast.Constant("XX" + value)
        case bytes():
            yield ast.Constant(b"XX" + value)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _plain(node: ast.AST) -> bool:
    """Not a condition that has faults of its own."""
    return not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp)


def _negated(node: ast.AST) -> ast.expr:
    assert isinstance(node, ast.expr)
    return ast.UnaryOp(ast.Not(), node)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """The node with other fields; what hangs below is shared, so only one mutant is ever put into a tree."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _without(values: list[Any], index: int) -> list[Any]:
    return values[:index] + values[index + 1 :]
