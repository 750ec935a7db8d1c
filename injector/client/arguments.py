"""The arguments of the command line as values: each parser names what is wrong, and argparse adds the option."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from injector.client.exits import Failure, UsageError

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})

Parser = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of an argument come from: a file of the caller, or standard input."""

    text: str

    @property
    def stdin(self) -> bool:
        return self.text == "-"

    def read(self) -> bytes:
        """All of it, as it is; raises Failure when it cannot be read."""
        if self.stdin:
            return sys.stdin.buffer.read()
        try:
            return Path(self.text).read_bytes()
        except (OSError, ValueError) as error:
            raise Failure(f"{self.text}: {getattr(error, 'strerror', None) or error}") from None

    def base64(self) -> str:
        return b64encode(self.read()).decode("ascii")


@dataclass(frozen=True, slots=True)
class FileArgument:
    """``--file``: ``extras`` are the extension keys that stand beside ``path`` and ``contents``."""

    path: str
    source: Source
    extras: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class NicArgument:
    """``--nic``: one card, or ``whole`` for the words that stand for all cards (``none``, ``auto``)."""

    whole: str | None = None
    network: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


def key_value(text: str) -> tuple[str, str]:
    """``k=v``; the value may hold more equal signs, or be empty."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ArgumentTypeError(f"'{text}': want key=value")
    return key, value


def yes_or_no(text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise ArgumentTypeError(f"'{text}': want true or false")


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"'{text}': want a whole number, 1 or more")
    return int(text)


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"'{text}': want a whole number, 0 or more")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise ArgumentTypeError(f"'{text}': want a number of seconds, more than 0")
    return value


_EXTRA = re.compile(r",(?:mode=(?P<mode>[0-7]{3,4})|owner=(?P<owner>[^,=]+)|(?P<best_effort>best-effort))$")


def file_argument(text: str) -> FileArgument:
    """``dst=src[,mode=0640][,owner=NAME][,best-effort]``; ``src`` may be ``-``."""
    path, equals, source = text.partition("=")
    if not equals or not path or not source:
        raise ArgumentTypeError(f"'{text}': want destination=source")
    extras: dict[str, Any] = {}
    while found := _EXTRA.search(source):
        word = found.lastgroup or ""
        extras[f"injector:{word}"] = True if word == "best_effort" else found[word]
        source = source[: found.start()]
    return FileArgument(path, Source(source), tuple(sorted(extras.items())))


def nic_argument(text: str) -> NicArgument:
    """``none``, ``auto``, or ``net-id=ID|net-name=NAME[,v4-fixed-ip=IP|,v6-fixed-ip=IP][,tag=TAG]``."""
    if text in ("none", "auto"):
        return NicArgument(whole=text)
    known: dict[str, str] = {}
    for part in text.split(","):
        key, value = key_value(part)
        if key not in ("net-id", "net-name", "v4-fixed-ip", "v6-fixed-ip", "tag"):
            raise ArgumentTypeError(
                f"'{key}': want net-id, net-name, v4-fixed-ip, v6-fixed-ip or tag, or none or auto alone"
            )
        if key in known:
            raise ArgumentTypeError(f"'{text}': {key} is given twice")
        known[key] = value
    return NicArgument(network=_network(text, known), fixed_ip=_fixed_ip(text, known), tag=known.get("tag"))


def _network(text: str, known: dict[str, str]) -> str:
    given = [known[key] for key in ("net-id", "net-name") if known.get(key)]
    if len(given) != 1:
        raise ArgumentTypeError(f"'{text}': want one network a card, by net-id or net-name")
    return given[0]


def _fixed_ip(text: str, known: dict[str, str]) -> str | None:
    given = [(key[1], value) for key, value in known.items() if key.endswith("fixed-ip")]
    if not given:
        return None
    if len(given) > 1:
        raise ArgumentTypeError(f"'{text}': one fixed address a card")
    version, value = given[0]
    return address(value, int(version))


def address(text: str, version: int | None = None) -> str:
    """An IP address (of ``version``), in its usual spelling."""
    try:
        parsed = ip_address(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not an IP address") from None
    if version is not None and parsed.version != version:
        raise ArgumentTypeError(f"'{text}' is not an IPv{version} address")
    return str(parsed)


def cidr(text: str) -> str:
    """A network, such as 192.0.2.0/24."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def only_one_reads_stdin(sources: Iterable[Source]) -> None:
    """Standard input can be read once only."""
    if sum(source.stdin for source in sources) > 1:
        raise UsageError("'-' is given twice: standard input can be read once only")
