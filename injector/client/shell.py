"""The `injector` program: global options, the table of commands, and one place where a failure becomes an exit code."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import sys
import traceback
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TextIO

from cliff.app import App
from cliff.commandmanager import CommandManager
from cliff.help import HelpCommand
from stevedore.named import NamedExtensionManager

from injector import __version__
from injector.client.endpoint import DEFAULT_ENDPOINT, DEFAULT_TOKEN_FILE, find_credential, parse_endpoint
from injector.client.exits import Exit, Failure, UsageError
from injector.client.session import Session
from injector.errors import InjectorError
from injector.model.hostile import one_line

if TYPE_CHECKING:
    from cliff.command import Command

NAMESPACE = "injector.cli"
LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}


class LazyCommands(CommandManager):
    """Commands known by name and imported when called: cliff's own would import the whole daemon for `serve`."""

    def load_commands(self, namespace: str) -> None:
        self.group_list.append(namespace)
        unloaded: NamedExtensionManager[Any] = NamedExtensionManager(namespace, names=[])
        for entry_point in unloaded.list_entry_points():
            self.commands[entry_point.name.replace("_", " ")] = entry_point


class Help(HelpCommand):
    """Print the commands, or all about one of them."""

    app: Shell

    def get_epilog(self) -> str:
        return ""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if not parsed_args.cmd:
            self.app.print_overview(self.app.stdout)
            return 0
        _ = self.app.find(parsed_args.cmd)  # an unknown name is our UsageError, not cliff's ValueError
        return super().take_action(parsed_args)


class Shell(App):
    """One run of the program."""

    NAME = "injector"

    def __init__(self, stdin: TextIO | None = None, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        super().__init__(
            description="Boot virtual machines and see what each guest received.",
            version=__version__,
            command_manager=LazyCommands(NAMESPACE),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            deferred_help=True,
        )
        self.command_manager.add_command("help", Help)
        self._session: Session | None = None

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """Our own whole parser: cliff's has a ``--log-file``, which would be taken away from `injector serve`."""
        # No abbreviations: this parser sees the commands' options too and would take an abbreviated one of theirs.
        settings = {"description": description, "add_help": False, "allow_abbrev": False} | (argparse_kwargs or {})
        parser = argparse.ArgumentParser(self.NAME, **settings)
        option = parser.add_argument
        option("-h", "--help", dest="deferred_help", action="store_true", help="show this, or a command's options")
        option("--version", action="version", version=f"{self.NAME} {version}")
        option("-v", "--verbose", dest="verbose_level", action="count", default=1, help="show requests (-vv: all)")
        option("-q", "--quiet", dest="verbose_level", action="store_const", const=0, help="errors only on stderr")
        option("--debug", action="store_true", help="show tracebacks")
        option(
            "--endpoint",
            default=os.environ.get("INJECTOR_ENDPOINT") or DEFAULT_ENDPOINT,
            help="unix:/path or http://host:port of the API (env INJECTOR_ENDPOINT; default: %(default)s)",
        )
        option(
            "--token",
            help="token for an endpoint over TCP (better: env INJECTOR_TOKEN, or a file named by INJECTOR_TOKEN_FILE; "
            f"on this host {DEFAULT_TOKEN_FILE} is found by itself)",
        )
        return parser

    def configure_logging(self) -> None:
        """The libraries' log lines, to stderr: none but warnings unless asked for; httpx tells of each request."""
        console = logging.StreamHandler(self.stderr)
        console.setLevel(LEVELS.get(self.options.verbose_level, logging.DEBUG))
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s", handlers=[console])

    def session(self) -> Session:
        """The conversation with the API that the options name."""
        if self._session is None:
            endpoint = parse_endpoint(self.options.endpoint)
            self._session = Session(endpoint, find_credential(endpoint, self.options.token, os.environ))
        return self._session

    def find(self, words: list[str]) -> tuple[type[Command], str, list[str]]:
        """The class, name and arguments of the command that ``words`` begin with; raises UsageError for none."""
        try:
            return self.command_manager.find_command(words)
        except ValueError:
            asked = " ".join(takewhile(lambda word: not word.startswith("-"), words[:2]))
            if not asked:
                raise UsageError(f"unknown option '{one_line(words[0], 80)}'; see {self.NAME} --help") from None
            near = ", ".join(self._near(asked))
            hint = f"; there is: {near}" if near else f"; see {self.NAME} --help"
            raise UsageError(f"there is no command '{one_line(asked, 80)}'{hint}") from None

    def _near(self, asked: str) -> list[str]:
        """Commands that begin alike (``image`` alone is half of five), or else are spelled alike."""
        names = sorted(name for name, _ in self.command_manager)
        first = asked.split()[0]
        return [name for name in names if name.split()[0] == first] or get_close_matches(asked, names)

    def run(self, argv: list[str]) -> int:
        try:
            self.options, words = self.parser.parse_known_args(argv)
            self.configure_logging()
            return self._dispatch(words)
        except BrokenPipeError:
            raise
        except Failure as failure:
            self.complain(failure)
            return failure.code
        except InjectorError as error:  # of `serve`: a configuration that cannot be served
            self.complain(Failure(error.message))
            return Exit.REFUSED
        except Exception as bug:
            self._complain_of_bug(bug)
            return Exit.REFUSED
        finally:
            if self._session is not None:
                self._session.close()

    def _dispatch(self, words: list[str]) -> int:
        if self.options.deferred_help:
            words = ["help", *words]
        if not words:
            self.print_overview(self.stderr)
            return Exit.USAGE
        factory, name, arguments = self.find(words)
        named = "cmd_name" in inspect.signature(factory.__init__).parameters
        command = factory(self, self.options, **({"cmd_name": name} if named else {}))
        tidy = getattr(command, "tidy", list)
        parsed = command.get_parser(f"{self.NAME} {name}").parse_args(tidy(arguments))
        return command.run(parsed)

    def complain(self, failure: Failure) -> None:
        """One line on stderr; the traceback only when asked for."""
        if self.options.debug:
            traceback.print_exception(failure, file=self.stderr)
        print(one_line(failure.line(), 2000), file=self.stderr, flush=True)

    def _complain_of_bug(self, bug: Exception) -> None:
        if self.options.debug:
            traceback.print_exception(bug, file=self.stderr)
        words = one_line(f"{type(bug).__name__}: {bug}", 1000)
        print(f"error: a bug of this command: {words} (--debug shows where)", file=self.stderr, flush=True)

    def print_overview(self, out: TextIO) -> None:
        """The global options and a line for each command."""
        self.parser.print_help(out)
        out.write("\ncommands:\n")
        for name, entry_point in sorted(self.command_manager):
            summary = (inspect.getdoc(entry_point.load()) or "").partition("\n")[0].rstrip(".")
            out.write(f"  {name:<16} {summary}\n")
        out.write(f"\n{self.NAME} COMMAND --help shows the options of a command.\n")


def main(argv: list[str] | None = None) -> int:
    """The console script. Ctrl-C and a reader that went away end it without a word, with the shell's own codes."""
    try:
        code = Shell().run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit: into nothing, or it would complain after all.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    return code


if __name__ == "__main__":
    sys.exit(main())
