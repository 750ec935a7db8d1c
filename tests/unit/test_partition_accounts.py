"""A guest's passwd and group, as its C library would read them; its authorized_keys as its sshd would."""

from __future__ import annotations

import pytest

from injector.errors import ItemRefused
from injector.inject.partition.accounts import Account, account, owner
from injector.inject.partition.authorized_keys import with_key
from tests.memory_files import PASSWD

GROUP = b"root:x:0:\nwww-data:x:33:\nadm:x:4:ada\n"
KEY = b"ssh-ed25519 AAAAkey ada@example"
OTHER = b"ssh-rsa AAAAother somebody"


@pytest.mark.parametrize(
    ("passwd", "found"),
    [
        (PASSWD, Account("ada", 1000, 1000, "/home/ada")),
        (b"ada:x:7:8::home:\n", Account("ada", 7, 8, "/home")),
        (b"ada:x:one:8::/h:/s\nada:x:9:8::/h:/s", Account("ada", 9, 8, "/h")),
        (b"ada:x:1\nadam:x:1:1::/h:/s\n", None),
        (b"ada:x:99999999999:1::/h:/s\n", None),
        (b"ada:x:4294967295:1::/h:/s\n", None),
        (b"\xff:x:1:1::/h:/s\nada:x:2:3::/\xff:/s\n", Account("ada", 2, 3, "/\udcff")),
        (b"", None),
    ],
)
def test_an_account_is_the_first_line_that_is_one(passwd: bytes, found: Account | None) -> None:
    assert account(passwd, "ada") == found


@pytest.mark.parametrize(
    ("spec", "numbers"),
    [
        ("ada", (1000, 1000)),
        ("root", (0, 0)),
        ("ada:adm", (1000, 4)),
        ("ada:33", (1000, 33)),
        ("7", (7, 0)),
        ("7:8", (7, 8)),
        ("7:www-data", (7, 33)),
    ],
)
def test_an_owner_is_whom_the_guest_knows_by_that_name(spec: str, numbers: tuple[int, int]) -> None:
    assert owner(spec, PASSWD, GROUP) == numbers


@pytest.mark.parametrize(
    ("spec", "why"), [("eve", "user 'eve'"), ("ada:eve", "group 'eve'"), ("ada:", "group ''"), ("99999999999", "user")]
)
def test_an_owner_whom_the_guest_does_not_know_is_refused(spec: str, why: str) -> None:
    with pytest.raises(ItemRefused, match=why):
        owner(spec, PASSWD, GROUP)


RESTRICTED = b'command="echo \'use ada\' \\"x\\"",no-pty ' + KEY


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", KEY + b"\n"),
        (OTHER + b"\n", OTHER + b"\n" + KEY + b"\n"),
        (OTHER, OTHER + b"\n" + KEY + b"\n"),
        (b"# mine\n\n", b"# mine\n\n" + KEY + b"\n"),
        (b"#" + KEY + b"\n", b"#" + KEY + b"\n" + KEY + b"\n"),
        (KEY, KEY),
        (b"  " + KEY.replace(b"ada@example", b"another comment") + b"\n",) * 2,
        (b"ssh-ed25519   AAAAkey\r\n",) * 2,
        (b"\xff\xfe" + OTHER, b"\xff\xfe" + OTHER + b"\n" + KEY + b"\n"),
        (OTHER + b"\n" + RESTRICTED + b"\n", OTHER + b"\n" + KEY + b"\n" + RESTRICTED + b"\n"),
    ],
)
def test_a_key_is_added_once_and_everything_else_stays(old: bytes, new: bytes) -> None:
    assert with_key(old, KEY) == new
    assert with_key(new, KEY) == new


@pytest.mark.parametrize("key", [b"", b"hello", b"ssh-rsa", KEY + b"\n" + OTHER, KEY + b"\0", b"# " + KEY])
def test_what_is_not_one_key_is_refused(key: bytes) -> None:
    with pytest.raises(ItemRefused, match="one line of a public key"):
        with_key(b"", key)
