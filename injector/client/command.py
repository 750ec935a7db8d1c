"""What every command of ours has in common: the session, clean output, and an end with the right exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn
from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from injector.client.cells import plain
from injector.client.exits import Failure, UsageError, worst
from injector.client.session import Session

if TYPE_CHECKING:
    from injector.client.shell import Shell


class ApiCommand(Command):
    """A command that speaks to the API; output, if any, is its own affair. ``args``: what it was called with."""

    app: Shell
    args: argparse.Namespace

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's own arguments."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        self.arguments(parser)
        return parser

    @property
    def session(self) -> Session:
        return self.app.session()

    def get_epilog(self) -> str:
        """Cliff's own would read the metadata of every installed package, 160 ms, to name the one of this command."""
        return self._epilog or ""

    def say(self, line: str) -> None:
        """A remark for people: to stderr, so that stdout holds the answer only; silent under ``--quiet``."""
        if self.app.options.verbose_level > 0:
            print(line, file=self.app.stderr, flush=True)

    def each(self, names: Iterable[str], action: Callable[[str], None]) -> int:
        """Do ``action`` to every name, the failed ones not stopping the rest; each failure is told as it happens."""
        failures = []
        for name in names:
            try:
                action(name)
            except Failure as failure:
                failures.append(failure)
                self.app.complain(failure)
        return worst(failures)


class ApiLister(ApiCommand, Lister):
    """A table of many things: subclasses give the rows as mappings from title to value."""

    titles: tuple[str, ...] = ()

    def rows(self) -> Iterable[Mapping[str, Any]]:
        raise NotImplementedError

    def columns(self) -> tuple[str, ...]:
        """The titles to show; the rows may hold more."""
        return self.titles

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        self.args = parsed_args
        titles = self.columns()
        return titles, [tuple(cell(row.get(title), parsed_args) for title in titles) for row in self.rows()]

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any) -> int:
        with _known_columns():
            return super().produce_output(parsed_args, column_names, data)


class ApiShower(ApiCommand, ShowOne):
    """The fields of one thing. ``ending``, when set, is raised after they were printed."""

    ending: Failure | None = None

    def fields(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        self.args = parsed_args
        shown = self.fields()
        return tuple(shown), tuple(cell(value, parsed_args) for value in shown.values())

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any) -> int:
        with _known_columns():
            return super().produce_output(parsed_args, column_names, data)

    def run(self, parsed_args: argparse.Namespace) -> int:
        code = super().run(parsed_args)
        if self.ending is not None:
            raise self.ending
        return code


@contextmanager
def _known_columns() -> Iterator[None]:
    """Cliff answers a ``-c`` that names no column with a bare ValueError."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


def cell(value: Any, args: argparse.Namespace) -> Any:
    """``value`` as cliff's formatters want it; nothing is null to JSON and YAML, and empty to people and shells."""
    if value is None:
        return None if args.formatter in ("json", "yaml") else ""
    return value if isinstance(value, FormattableColumn) else plain(value)
