"""Public keys: real ones of every kind are taken, everything else is refused with the reason."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from injector.api.sshkey import fingerprint
from injector.errors import InvalidRequest
from injector.system.process import run
from tests import builders


def _openssh(key: object) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()  # type: ignore[attr-defined, no-any-return]


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _token_key(kind: str, *parts: bytes) -> str:
    blob = b"".join(map(_string, (kind.encode(), *parts)))
    return f"{kind} {base64.b64encode(blob).decode()} token"


POINT = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
ED25519_TOKEN = "sk-ssh-ed25519@openssh.com"
ECDSA_TOKEN = "sk-ecdsa-sha2-nistp256@openssh.com"

KEYS: dict[str, Callable[[], str]] = {
    "ed25519": lambda: _openssh(ed25519.Ed25519PrivateKey.generate()),
    "rsa": lambda: _openssh(rsa.generate_private_key(65537, 2048)),
    "p256": lambda: _openssh(ec.generate_private_key(ec.SECP256R1())),
    "p384": lambda: _openssh(ec.generate_private_key(ec.SECP384R1())),
    "p521": lambda: _openssh(ec.generate_private_key(ec.SECP521R1())),
    "ed25519 on a token": lambda: _token_key(ED25519_TOKEN, b"k" * 32, b"ssh:"),
    "ecdsa on a token": lambda: _token_key(ECDSA_TOKEN, b"nistp256", POINT, b"ssh:"),
    "with a comment and a newline": lambda: builders.PUBLIC_KEY + " of a friend\n",
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_are_taken_and_have_nova_s_fingerprint(kind: str) -> None:
    text = KEYS[kind]()
    digest = hashlib.md5(base64.b64decode(text.split()[1])).hexdigest()
    assert fingerprint(text).replace(":", "") == digest
    assert len(fingerprint(text)) == 47


def test_ssh_keygen_sees_the_same_fingerprint() -> None:
    command, key = ["ssh-keygen", "-E", "md5", "-lf", "-"], builders.PUBLIC_KEY.encode()
    said = run(command, purpose="read a key", limits=None, timeout=30, input=key)
    assert f"MD5:{fingerprint(builders.PUBLIC_KEY)}" in said.stdout.decode()


def _of(kind: str) -> list[str]:
    return KEYS[kind]().split()


def _rsa_line(bits: int) -> str:
    """A public key by its numbers; the library makes no short ones, but reads them."""
    modulus = (1 << (bits - 1)) | 12345678901234567
    parts = (b"ssh-rsa", (65537).to_bytes(3, "big"), b"\0" + modulus.to_bytes(bits // 8, "big"))
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


REFUSED: dict[str, tuple[str, Callable[[], str]]] = {
    "nothing": ("exactly one line", lambda: " \n"),
    "two keys": ("exactly one line", lambda: f"{builders.PUBLIC_KEY}\n{builders.PUBLIC_KEY}"),
    "words": ("must begin with", lambda: "hello world"),
    "a private key in a line": ("private key", lambda: "-----BEGIN OPENSSH PRIVATE KEY-----"),
    "options": ("must begin with", lambda: f'command="sh" {builders.PUBLIC_KEY}'),
    "the kind alone": ("no such key", lambda: "ssh-rsa"),
    "no base64": ("no such key", lambda: "ssh-rsa %%%%"),
    "a truncated key": (
        "no such key",
        lambda: builders.PUBLIC_KEY.split()[0] + " " + builders.PUBLIC_KEY.split()[1][:40],
    ),
    "another kind inside": ("no such key", lambda: f"ssh-rsa {_of('ed25519')[1]}"),
    "trailing bytes": (
        "no such key",
        lambda: "ssh-ed25519 " + base64.b64encode(base64.b64decode(_of("ed25519")[1]) + b"x").decode(),
    ),
    "a short RSA key": ("512 bits", lambda: _rsa_line(512)),
    "DSA": ("must begin with", lambda: _openssh(dsa.generate_private_key(1024))),
    "a token's key too short": ("no such key", lambda: _token_key(ED25519_TOKEN, b"k" * 31, b"ssh:")),
    "a token's key of another kind": ("no such key", lambda: _token_key(ED25519_TOKEN, b"nistp256", POINT, b"ssh:")),
    "a token's point off the curve": ("no such key", lambda: _token_key(ECDSA_TOKEN, b"nistp256", b"\4" * 65, b"ssh:")),
    "a token's key of another curve": ("no such key", lambda: _token_key(ECDSA_TOKEN, b"nistp384", POINT, b"ssh:")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_key_is_refused(case: str) -> None:
    reason, make = REFUSED[case]
    with pytest.raises(InvalidRequest, match=f"public_key.*{reason}") as refused:
        fingerprint(make())
    assert refused.value.field == "public_key"


def test_a_private_key_in_pem_is_not_repeated_in_the_message() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    with pytest.raises(InvalidRequest) as refused:
        fingerprint(pem)
    assert pem.splitlines()[1] not in refused.value.message


def test_an_rsa_key_of_just_the_least_size_is_taken() -> None:
    fingerprint(_openssh(rsa.generate_private_key(65537, 1024)))


def test_a_token_key_must_be_of_the_kind_it_says_and_whole() -> None:
    blob = b"".join(map(_string, (ECDSA_TOKEN.encode(), b"k" * 32, b"ssh:")))
    cut = b"".join(map(_string, (ED25519_TOKEN.encode(), b"k" * 32))) + (9).to_bytes(4, "big") + b"ssh:"
    for wrong in (blob, cut):
        with pytest.raises(InvalidRequest, match="is no such key"):
            fingerprint(f"{ED25519_TOKEN} {base64.b64encode(wrong).decode()}")


def test_stray_characters_in_a_token_key_are_refused() -> None:
    kind, text, _ = KEYS["ed25519 on a token"]().split()
    with pytest.raises(InvalidRequest, match="is no such key"):
        fingerprint(f"{kind} {text[:8]}*{text[8:]}")
