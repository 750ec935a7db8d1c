"""SSH public keys: those with which nobody can log in, and those that newer servers refuse."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from injector.model.finding import Check, Finding

LEAST_RSA_BITS = 2048
_LOADED = frozenset(
    {"ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"},
)
_UNLOADED = frozenset({"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"})
_KINDS = _LOADED | _UNLOADED | {"ssh-dss"}
_OPTIONS = re.compile(
    r"(?:restrict|command|from|environment|principals|permit(?:open|listen)|tunnel|expiry-time|cert-authority|"
    r"(?:no-)?(?:pty|port-forwarding|agent-forwarding|X11-forwarding|user-rc|touch-required|verify-required))\b"
)


def lint(text: str, field: str, where: str = "", *, options: bool = False) -> tuple[Finding, ...]:
    """What is wrong with one key; ``options`` may stand before it where it goes into ``authorized_keys`` as it is.

    No message quotes the key: it may be a private one.
    """
    line = text.strip()
    unusable = _unusable(line, options=options)
    if unusable is not None:
        return (Finding(Check.KEY_UNUSABLE, field, f"{where}{unusable}"),)
    weak = _weak(_without_options(line))
    return () if weak is None else (Finding(Check.KEY_WEAK, field, f"{where}{weak}"),)


def _unusable(line: str, *, options: bool) -> str | None:
    if not line:
        return "the key is empty"
    if "PRIVATE KEY" in line:
        return "this is a private key: send the public one, and make a new pair, for this one was shown to others"
    if line.startswith("---- BEGIN SSH2"):
        return "this is a key in the form of RFC 4716: convert it with ssh-keygen -i"
    if line.startswith("PuTTY-User-Key-File"):
        return "this is PuTTY's own file: export its public key in the form of OpenSSH"
    if len(line.splitlines()) > 1:
        return "a key is exactly one line, as in a .pub file"
    return _not_one_key(line, options=options)


def _not_one_key(line: str, *, options: bool) -> str | None:
    if _OPTIONS.match(line):
        if not options:
            return "options stand before the key: cloud-init and cloudbase-init take the bare key here"
        line = _without_options(line)
    kind, _, rest = line.partition(" ")
    if kind.endswith("-cert-v01@openssh.com"):
        return "this is a certificate: servers trust the authority that signed it, not the certificate"
    if kind not in _KINDS:
        return "it does not begin with a type of key that servers know, such as ssh-ed25519"
    return None if _is_key(kind, (rest.split() or [""])[0]) else f"what follows {kind} is no such key: is it whole?"


def _without_options(line: str) -> str:
    """From the type of the key on."""
    words = line.split()
    start = next((place for place, word in enumerate(words) if word in _KINDS or "-cert-v01@" in word), 0)
    return " ".join(words[start:])


def _is_key(kind: str, encoded: str) -> bool:
    try:
        blob = base64.b64decode(encoded, validate=True)
        if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
            return False
        if kind in _LOADED:
            load_ssh_public_key(f"{kind} {encoded}".encode())
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return False
    return True


def _weak(line: str) -> str | None:
    kind, _, rest = line.partition(" ")
    if kind == "ssh-dss":
        return "a DSA key: OpenSSH has refused them since 7.0 (2015) and forgotten them since 10.0; use ssh-ed25519"
    if kind != "ssh-rsa":
        return None
    key = load_ssh_public_key(f"{kind} {rest.split()[0]}".encode())
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        return f"an RSA key of {key.key_size} bits: servers of today want {LEAST_RSA_BITS}; use ssh-ed25519"
    return None
