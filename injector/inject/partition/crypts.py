"""Password hashes by the system's libcrypt: made as a guest's login.defs asks, and checked; their cost is bounded."""

from __future__ import annotations

import ctypes
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from injector.errors import InternalError, ItemRefused
from injector.model.secret import Secret

LOGIN_DEFS = "/etc/login.defs"
LIMIT = 1024 * 1024

# Loaded with this module: a worker can open no file later.
_LIBCRYPT = ctypes.CDLL("libcrypt.so.1")
_LIBCRYPT.crypt_rn.restype = ctypes.c_char_p
_LIBCRYPT.crypt_rn.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
_LIBCRYPT.crypt_gensalt_rn.restype = ctypes.c_char_p
_LIBCRYPT.crypt_gensalt_rn.argtypes = (
    *(ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int),
    *(ctypes.c_char_p, ctypes.c_int),
)
_STATE = 32768
"""``sizeof (struct crypt_data)``: part of libcrypt's interface."""
_SETTING = 192
_SALT = 16
_LONGEST_PASSWORD = 511
"""``CRYPT_MAX_PASSPHRASE_SIZE`` less its NUL."""

# What is done for a guest that asks for more than this is a denial of service, whoever meant it.
_MOST_ROUNDS = 500_000
_MOST_BCRYPT = 12
_MOST_YESCRYPT = 7

_COSTS = re.compile(
    rb"\$(?:[56]\$(?:rounds=(?P<rounds>[1-9][0-9]{0,8})\$)?[./0-9A-Za-z]{1,16}\$"
    rb"|2b\$(?P<bcrypt>[0-3][0-9])\$"
    rb"|y\$j(?P<yescrypt>[./0-9A-Z])[5T]\$[./0-9A-Za-z]{1,86}\$)[./0-9A-Za-z]+"
)
_ITOA64 = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Method:
    """``prefix`` as crypt(5) has it; ``cost`` in that method's own unit, 0 for its default."""

    prefix: bytes
    cost: int = 0


def method_of(login_defs: bytes) -> Method:
    """What ``ENCRYPT_METHOD`` asks for; SHA-512 for MD5, DES and nothing at all.

    The last line of a name counts. Costs are bounded: those asked for above it get the bound.
    """
    says = _settings(login_defs)
    match says.get("ENCRYPT_METHOD", "").upper():
        case "YESCRYPT":
            return Method(b"$y$", _number(says, "YESCRYPT_COST_FACTOR", 1, _MOST_YESCRYPT))
        case "BCRYPT":
            return Method(b"$2b$", _most(says, "BCRYPT", 4, _MOST_BCRYPT))
        case "SHA256":
            return Method(b"$5$", _most(says, "SHA_CRYPT", 1000, _MOST_ROUNDS))
        case _:
            return Method(b"$6$", _most(says, "SHA_CRYPT", 1000, _MOST_ROUNDS))


def hash_of(password: Secret, method: Method) -> bytes:
    """With a salt drawn now. ItemRefused for a password that no line of shadow can be the hash of."""
    clear = password.reveal()
    if b"\0" in clear or b"\n" in clear:
        raise ItemRefused("it holds a NUL or a line break, and no password of Linux can")
    if len(clear) > _LONGEST_PASSWORD:
        raise ItemRefused(f"it is longer than {_LONGEST_PASSWORD} bytes")
    made = _crypt(clear, _setting(method))
    if made is None:
        raise InternalError("libcrypt makes no hash")
    return made


def is_hash_of(hashed: bytes, password: Secret) -> bool:
    """Whether it is one of ours, and of this password; no hash of another kind or cost is tried."""
    if not _is_bounded(hashed):
        return False
    made = _crypt(password.reveal(), hashed)
    return made is not None and hmac.compare_digest(made, hashed)


def _is_bounded(hashed: bytes) -> bool:
    found = _COSTS.fullmatch(hashed)
    if found is None:
        return False
    rounds, bcrypt, yescrypt = found.group("rounds", "bcrypt", "yescrypt")
    cost = 0 if yescrypt is None else _ITOA64.index(yescrypt)
    return int(rounds or 0) <= _MOST_ROUNDS and int(bcrypt or 0) <= _MOST_BCRYPT and cost <= _YESCRYPT_LETTER


_YESCRYPT_LETTER = _MOST_YESCRYPT + 6
"""libcrypt writes its cost as the power of two of the blocks: cost 5 is 4096 of them, and the letter 9."""


def _setting(method: Method) -> bytes:
    setting = ctypes.create_string_buffer(_SETTING)
    drawn = os.urandom(_SALT)
    made = _LIBCRYPT.crypt_gensalt_rn(method.prefix, method.cost, drawn, _SALT, setting, _SETTING)
    if not made:
        raise InternalError("libcrypt makes no salt")
    return bytes(made)


def _crypt(clear: bytes, setting: bytes) -> bytes | None:
    """None for a setting that libcrypt does not take."""
    state = ctypes.create_string_buffer(_STATE)
    made = _LIBCRYPT.crypt_rn(clear, setting, state, _STATE)
    return bytes(made) if made else None


def _settings(login_defs: bytes) -> Mapping[str, str]:
    lines = (line.split() for line in login_defs.decode("utf-8", "replace").splitlines())
    return {words[0]: words[1].strip('"') for words in lines if len(words) >= 2}


def _most(says: Mapping[str, str], name: str, lowest: int, highest: int) -> int:
    """shadow-utils draws a number between the two; the larger one is as good. 0 where neither is there."""
    named = (f"{name}_MIN_ROUNDS", f"{name}_MAX_ROUNDS")
    return max(_number(says, one, lowest, highest) for one in named)


def _number(says: Mapping[str, str], name: str, lowest: int, highest: int) -> int:
    text = says.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return 0
    return min(max(int(text), lowest), highest)
