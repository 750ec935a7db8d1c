"""YAML from strangers: read with bounds on size, depth, nodes and what its aliases would grow to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_NODES = 50_000

# libyaml, where it is there, is ten times as quick.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED = re.compile(r"""'.*?(?:'|$)|".*?(?:"|$)""", re.DOTALL)
# What the parser may have expected and not found.
_PUNCTUATION = frozenset(f"'{mark}'" for mark in (",", "]", "}", ":", "?", "-"))
_NO_TOKEN = "cannot start any token"
_NO_TOKEN_HINT = " (tabs do not indent, and a value that begins with @, ` or % wants quotes)"


# What PyYAML's constructors raise for ``!!int ""``, ``!!bool x``, ``!!timestamp x``, dates and numbers that are none.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class YamlError(Exception):
    """Why a text is not taken; ``line`` and ``column`` count from 1 and are None where there is no such place."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column

    @property
    def place(self) -> str:
        return "" if self.line is None else f"line {self.line}, column {self.column}: "


@dataclass(frozen=True, slots=True)
class YamlText:
    """``value`` as cloud-init's own loader would give it; ``root`` tells where in the text each part stands."""

    value: Any
    root: Any

    def line(self, path: list[Any]) -> int | None:
        """The line, from 1, of what ``path`` (keys and indexes) leads to, or of the last step that is there."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node = child
        return None if node is None else node.start_mark.line + 1


def read(text: str) -> YamlText:
    """YamlError for what is no YAML, is too much of it, or refers to itself."""
    if len(text) > MAX_BYTES:
        raise YamlError(f"it is longer than {MAX_BYTES} characters")
    try:
        _measure(text)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return YamlText(None, None)
            _grown(root, {})
            return YamlText(loader.construct_document(root), root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from error
    except yaml.YAMLError as error:
        raise YamlError("it holds a character that YAML does not allow") from error
    except _UNREADABLE as error:
        raise YamlError("it holds a number, a date or a key that cannot be read") from error


def _marked(error: yaml.MarkedYAMLError) -> YamlError:
    """In the parser's words, without those it quotes: they may be part of a password."""
    problem = " ".join(_QUOTED.sub(_unquoted, error.problem or "it is no YAML").split())
    problem += _NO_TOKEN_HINT if _NO_TOKEN in problem else ""
    mark = error.problem_mark or error.context_mark
    return YamlError(problem, *((mark.line + 1, mark.column + 1) if mark else (None, None)))


def _unquoted(quoted: re.Match[str]) -> str:
    return quoted.group() if quoted.group() in _PUNCTUATION else "…"


def _measure(text: str) -> None:
    """Without building anything: what is nested too deeply would exhaust the stack of the composer."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            mark: Any = event.start_mark
            what = f"it is nested more than {MAX_DEPTH} levels deep" if depth > MAX_DEPTH else "it has too many values"
            raise YamlError(what, mark.line + 1, mark.column + 1)


@dataclass(frozen=True, slots=True)
class _Extent:
    """What a node stands for when every alias in it is written out; ``height`` 0 while that is being found out."""

    size: int
    height: int


def _grown(node: Any, known: dict[int, _Extent]) -> _Extent:
    """Anchors stand before their aliases, so this recurses no deeper than the text is nested."""
    extent = known.get(id(node))
    if extent is None:
        known[id(node)] = _Extent(0, 0)
        below = [_grown(child, known) for child in _children(node)]
        extent = _Extent(1 + sum(one.size for one in below), 1 + max((one.height for one in below), default=0))
        known[id(node)] = extent
    if extent.height == 0:
        raise YamlError("an alias in it refers to what it is a part of", node.start_mark.line + 1, 1)
    if extent.size > MAX_NODES or extent.height > MAX_DEPTH + 1:
        raise YamlError("its aliases grow it to too many values", node.start_mark.line + 1, 1)
    return extent


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _child(node: Any, step: Any) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    return None
