"""SSH public keys as one line of text: proven to be a key before anybody relies on it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from injector.errors import InvalidRequest

FIELD = "public_key"
_PLAIN = frozenset(
    {"ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"},
)
_TOKEN_ED25519 = "sk-ssh-ed25519@openssh.com"
_TOKEN_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
_KINDS = _PLAIN | {_TOKEN_ED25519, _TOKEN_ECDSA}
# What sshd accepts since OpenSSH 9.1 (RequiredRSASize).
_LEAST_RSA_BITS = 1024


def fingerprint(public_key: str) -> str:
    """Nova's: MD5 of the key, in colon form. InvalidRequest unless the text is exactly one public key."""
    blob = _blob(public_key)
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))


def _blob(public_key: str) -> bytes:
    line = public_key.strip()
    if not line or len(line.splitlines()) != 1:
        raise _refusal("it must be exactly one line, as in a .pub file")
    kind, _, rest = line.partition(" ")
    if "PRIVATE KEY" in line:
        raise _refusal("this is a private key; send the public one")
    if kind not in _KINDS:
        raise _refusal(f"it must begin with one of {', '.join(sorted(_KINDS))}")
    try:
        blob = base64.b64decode((rest.split() or [""])[0], validate=True)
        _prove(kind, line, blob)
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise _refusal(f"what follows {kind} is no such key") from error
    return blob


def _prove(kind: str, line: str, blob: bytes) -> None:
    """ValueError unless the blob is a key of this kind."""
    if kind in _PLAIN:
        key = load_ssh_public_key(" ".join(line.split()[:2]).encode())
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
            raise _refusal(f"an RSA key of {key.key_size} bits is accepted by no server")
        return
    parts = list(_strings(blob))
    if kind == _TOKEN_ED25519:
        name, point, _application = parts
        valid = len(point) == 32
    else:
        name, curve, point, _application = parts
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        valid = curve == b"nistp256"
    if not valid or name.decode() != kind:
        raise ValueError(kind)


def _strings(blob: bytes) -> Iterator[bytes]:
    """The length-prefixed strings of an SSH blob; ValueError when it ends in the middle of one."""
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("truncated")
        yield blob[4 : 4 + length]
        blob = blob[4 + length :]


def _refusal(why: str) -> InvalidRequest:
    return InvalidRequest(f"Keypair data is invalid: {FIELD} is no SSH public key: {why}.", field=FIELD)
