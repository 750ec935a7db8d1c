"""Root's password: the guest's own method, one field of one line, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from injector.errors import ItemRefused
from injector.inject.partition.crypts import Method, hash_of, is_hash_of, method_of
from injector.inject.partition.shadow import hash_in, is_shadowed, with_hash
from injector.model.secret import Secret

TODAY = 19_700


@pytest.mark.parametrize(
    ("login_defs", "method"),
    [
        (b"", Method(b"$6$")),
        (b"ENCRYPT_METHOD SHA512\n", Method(b"$6$")),
        (b"ENCRYPT_METHOD MD5\n", Method(b"$6$")),
        (b"ENCRYPT_METHOD DES\n", Method(b"$6$")),
        (b"#ENCRYPT_METHOD YESCRYPT\n", Method(b"$6$")),
        (b'\tENCRYPT_METHOD\t"SHA256"\n', Method(b"$5$")),
        (b"ENCRYPT_METHOD SHA256\nENCRYPT_METHOD yescrypt\n", Method(b"$y$")),
        (b"ENCRYPT_METHOD YESCRYPT\nYESCRYPT_COST_FACTOR 99\n", Method(b"$y$", 7)),
        (b"ENCRYPT_METHOD BCRYPT\nBCRYPT_MIN_ROUNDS 6\n", Method(b"$2b$", 6)),
        (b"ENCRYPT_METHOD BCRYPT\nBCRYPT_MAX_ROUNDS 31\n", Method(b"$2b$", 12)),
        (b"SHA_CRYPT_MIN_ROUNDS 6000\nSHA_CRYPT_MAX_ROUNDS 7000\n", Method(b"$6$", 7000)),
        (b"SHA_CRYPT_MIN_ROUNDS 1\n", Method(b"$6$", 1000)),
        (b"SHA_CRYPT_MAX_ROUNDS 999999999\n", Method(b"$6$", 500_000)),
        (b"SHA_CRYPT_MAX_ROUNDS x\n\xff\xfe ENCRYPT\n", Method(b"$6$")),
    ],
)
def test_the_method_is_the_guests_and_its_cost_is_bounded(login_defs: bytes, method: Method) -> None:
    assert method_of(login_defs) == method


@pytest.mark.parametrize("prefix", [b"$6$", b"$5$", b"$y$", b"$2b$"])
@pytest.mark.parametrize("cost", [0, 1])
def test_a_hash_is_of_its_password_alone(prefix: bytes, cost: int) -> None:
    method = Method(prefix, {b"$2b$": 4, b"$y$": 1}.get(prefix, 1000) * cost)
    hashed = hash_of(Secret("pässword"), method)

    assert hashed.startswith(prefix)
    assert hash_of(Secret("pässword"), method) != hashed
    assert is_hash_of(hashed, Secret("pässword"))
    assert not is_hash_of(hashed, Secret("passwort"))


@pytest.mark.parametrize(
    "hashed",
    [
        b"$6$rounds=999999999$salt$x",
        b"$2b$31$x",
        b"$y$jZT$salt$x",
        b"$1$salt$x",
        b"$2b$05$x",
        b"$y$j9T$!!$x",
        b"ab",
        b"",
        b"*",
        b"$6$a\0b$x",
    ],
)
def test_no_time_is_spent_on_hashes_that_are_not_ours(hashed: bytes) -> None:
    assert not is_hash_of(hashed, Secret("x"))


@pytest.mark.parametrize("password", [b"a\0b", b"a\nb", b"x" * 512])
def test_a_password_that_nobody_can_type_is_refused(password: bytes) -> None:
    with pytest.raises(ItemRefused):
        hash_of(Secret(password), Method(b"$6$"))


REST = b"daemon:*:19000::::::\nodd line\n\xff:!:::\n\nrooty:*:1:2:3\n"


@pytest.mark.parametrize(
    ("line", "new"),
    [
        (b"root:*:19000:0:99999:7:::", b"root:H:19000:0:99999:7:::"),
        (b"root:!old:19000:0:99999:7:::", b"root:H:19000:0:99999:7:::"),
        (b"root::::::::", b"root:H:::::::"),
        (b"root:x", b"root:H"),
        (b"root:*:0:0:99999:7:::", b"root:H:19700:0:99999:7:::"),
        (b"root:*:19000:0:30:7:::", b"root:H:19700:0:30:7:::"),
        (b"root:*:19690:0:30:7:::", b"root:H:19690:0:30:7:::"),
        (b"root:*:19000:0:99999:7::19701:", b"root:H:19000:0:99999:7::19701:"),
    ],
)
def test_one_field_changes_and_the_day_only_when_the_password_would_count_as_expired(line: bytes, new: bytes) -> None:
    assert with_hash(REST + line + b"\n" + REST, b"H", TODAY) == REST + new + b"\n" + REST
    assert with_hash(line, b"H", TODAY) == new


def test_who_has_no_line_or_an_expired_account_is_refused() -> None:
    with pytest.raises(ItemRefused, match="no line in its shadow"):
        with_hash(REST, b"H", TODAY)
    with pytest.raises(ItemRefused, match="has expired"):
        with_hash(b"root:*:19000:0:99999:7::19700:", b"H", TODAY)


def test_a_passwd_may_keep_the_password_itself() -> None:
    assert is_shadowed(b"root:x:0:0::/root:/bin/sh\n")
    assert is_shadowed(b"")
    assert not is_shadowed(b"root:$1$abc$def:0:0::/root:/bin/sh\n")
    assert not is_shadowed(b"root::0:0::/root:/bin/sh\n")
    assert with_hash(b"root::0:0::/root:/bin/sh\n", b"H", None) == b"root:H:0:0::/root:/bin/sh\n"


@given(some.binary(max_size=80), some.binary(max_size=80).filter(lambda text: b"root" not in text))
def test_other_bytes_stay_whatever_they_are(before: bytes, after: bytes) -> None:
    before = before.replace(b"root", b"")
    text = before + b"\nroot:*:19000:0:99999:7:::\n" + after

    new = with_hash(text, b"H", TODAY)

    assert new == before + b"\nroot:H:19000:0:99999:7:::\n" + after
    assert hash_in(new) == b"H"
