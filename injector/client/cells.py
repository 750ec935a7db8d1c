"""What stands in a field of the output: short and harmless for people, the whole value for JSON and YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cliff.columns import FormattableColumn

from injector.model.hostile import harmless, one_line

LINE = 4096


def clean(value: Any) -> Any:
    """``value`` with every text in it stripped of what a terminal would obey; the server did so too, but who knows."""
    match value:
        case str():
            return harmless(value, max(LINE, len(value)))
        case dict():
            return {one_line(str(key), LINE): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case _:
            return value


def plain(value: Any) -> Any:
    """A cell of one line: text is flattened."""
    return one_line(value, LINE) if isinstance(value, str) else value


class Cell(FormattableColumn[Any]):
    """A structured value: ``show`` renders it for people, a line each; machines get all of it."""

    def __init__(self, value: Any, show: Callable[[Any], list[str]]) -> None:
        super().__init__(clean(value))
        self._show = show

    def human_readable(self) -> str:
        return "\n".join(one_line(line, LINE) for line in self._show(self._value))


def pairs(value: dict[str, Any] | None) -> Cell:
    """A mapping, as ``k=v`` lines."""
    return Cell(value or {}, lambda known: [f"{key}={item}" for key, item in sorted(known.items())])


def size(count: int | None) -> Cell | None:
    """A number of bytes, as ``476.0 MiB``; None is not known (yet)."""
    return None if count is None else Cell(count, lambda known: [human_size(known)])


def human_size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
