"""What the command line may say, and what is refused before anything is sent."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest

from injector.client import arguments
from injector.client.arguments import FileArgument, NicArgument, Source
from injector.client.exits import Exit, Failure, UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/etc/motd=motd", FileArgument("/etc/motd", Source("motd"))),
        ("/etc/x=a=b", FileArgument("/etc/x", Source("a=b"))),
        ("/etc/x=-", FileArgument("/etc/x", Source("-"))),
        ("/x=a,b", FileArgument("/x", Source("a,b"))),
        ("/x=src,mode=0640", FileArgument("/x", Source("src"), (("injector:mode", "0640"),))),
        ("/x=src,mode=9", FileArgument("/x", Source("src,mode=9"))),
        (
            "/x=src,owner=www:adm,mode=600,best-effort",
            FileArgument(
                "/x",
                Source("src"),
                (("injector:best_effort", True), ("injector:mode", "600"), ("injector:owner", "www:adm")),
            ),
        ),
    ],
)
def test_files(text: str, expected: FileArgument) -> None:
    assert arguments.file_argument(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", NicArgument(whole="none")),
        ("auto", NicArgument(whole="auto")),
        ("net-id=n1", NicArgument(network="n1")),
        ("net-name=lan,v4-fixed-ip=10.0.0.5", NicArgument(network="lan", fixed_ip="10.0.0.5")),
        ("net-id=n1,tag=front end", NicArgument(network="n1", tag="front end")),
        ("v6-fixed-ip=2001:DB8::5,net-name=lan", NicArgument(network="lan", fixed_ip="2001:db8::5")),
    ],
)
def test_cards(text: str, expected: NicArgument) -> None:
    assert arguments.nic_argument(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (arguments.file_argument, "/etc/motd", "destination=source"),
        (arguments.file_argument, "=motd", "destination=source"),
        (arguments.file_argument, "/etc/motd=", "destination=source"),
        (arguments.nic_argument, "lan", "key=value"),
        (arguments.nic_argument, "port-id=1", "want net-id"),
        (arguments.nic_argument, "v4-fixed-ip=10.0.0.5", "one network a card"),
        (arguments.nic_argument, "net-id=1,net-name=2", "one network a card"),
        (arguments.nic_argument, "net-id=1,net-id=2", "given twice"),
        (arguments.nic_argument, "net-id=", "one network a card"),
        (arguments.nic_argument, "net-id=1,v4-fixed-ip=::1", "not an IPv4 address"),
        (arguments.nic_argument, "net-id=1,v4-fixed-ip=1.2.3", "not an IP address"),
        (arguments.nic_argument, "net-id=1,v4-fixed-ip=10.0.0.5,v6-fixed-ip=::1", "one fixed address"),
        (arguments.key_value, "novalue", "key=value"),
        (arguments.key_value, "=v", "key=value"),
        (arguments.yes_or_no, "maybe", "true or false"),
        (arguments.positive, "0", "1 or more"),
        (arguments.positive, "-1", "1 or more"),
        (arguments.positive, "²", "1 or more"),
        (arguments.natural, "x", "0 or more"),
        (arguments.seconds, "0", "more than 0"),
        (arguments.seconds, "nan", "more than 0"),
        (arguments.cidr, "10.0.0.1/24", "host bits"),
    ],
)
def test_nonsense_is_refused_with_its_reason(parse: arguments.Parser, text: str, says: str) -> None:
    with pytest.raises(ArgumentTypeError, match=says):
        parse(text)


@pytest.mark.parametrize(("text", "expected"), [("k=v", ("k", "v")), ("k=", ("k", "")), ("k=a=b", ("k", "a=b"))])
def test_key_and_value(text: str, expected: tuple[str, str]) -> None:
    assert arguments.key_value(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("Yes", True), ("0", False), ("off", False)])
def test_yes_or_no(text: str, expected: bool) -> None:
    assert arguments.yes_or_no(text) is expected


def test_a_source_gives_the_bytes_as_they_are(tmp_path: Path) -> None:
    every_byte = bytes(range(256))
    (tmp_path / "blob").write_bytes(every_byte)
    assert Source(str(tmp_path / "blob")).read() == every_byte


@pytest.mark.parametrize("text", ["no-such-file", ".", "a\0b"])
def test_a_source_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(Failure) as caught:
        Source(text).read()
    assert caught.value.message.startswith(f"{text}: ")
    assert caught.value.code is Exit.REFUSED


@pytest.mark.parametrize(("sources", "refused"), [(("-", "-"), True), (("-", "a"), False), ((), False)])
def test_stdin_is_read_once(sources: Any, refused: bool) -> None:
    if not refused:
        arguments.only_one_reads_stdin(map(Source, sources))
        return
    with pytest.raises(UsageError):
        arguments.only_one_reads_stdin(map(Source, sources))
