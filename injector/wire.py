"""Values as text: ``{"type", "version", "data"}`` for what crosses the bus or lies in the database, and back.

Every type that travels is listed in VERSIONS with its version. A field that changes without a new version fails
``tests/unit/test_wire.py``, which holds a fingerprint of each. An older version is read through a translator in
TRANSLATORS: a function from the older ``data`` to the next one's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

import msgspec

from injector.errors import InternalError
from injector.model import (
    boot,
    facts,
    flavor,
    generation,
    guest,
    host,
    image,
    ingredients,
    instance,
    keypair,
    network,
    payload,
    plan,
    preview,
    receipt,
    report,
    secret,
)

_Kind = TypeVar("_Kind")

VERSIONS: Mapping[type[Any], int] = {
    boot.BootRequest: 1,
    boot.ClientToken: 1,
    boot.Rebuild: 1,
    facts.ImageFacts: 1,
    flavor.Flavor: 1,
    generation.Drive: 1,
    generation.Difference: 1,
    generation.Generation: 1,
    generation.Inspection: 1,
    guest.GuestVerdict: 1,
    host.HostFacts: 2,
    image.Image: 1,
    ingredients.Ingredients: 1,
    instance.Instance: 2,
    keypair.KeyPair: 1,
    network.Forward: 1,
    network.Network: 1,
    payload.Payload: 1,
    plan.Plan: 1,
    preview.Preview: 1,
    receipt.Receipt: 1,
    report.Entering: 1,
    report.Failed: 2,
    report.Launched: 1,
    report.Refreshed: 1,
    report.Settled: 2,
    report.Witnessed: 1,
}


def _as_it_is(data: dict[str, Any]) -> dict[str, Any]:
    """Only fields with defaults were added."""
    return data


TRANSLATORS: Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("Failed", 1): _as_it_is,
    ("HostFacts", 1): _as_it_is,
    ("Instance", 1): _as_it_is,
    ("Settled", 1): _as_it_is,
}

_BY_NAME: Mapping[str, type[Any]] = {kind.__name__: kind for kind in VERSIONS}


def _encode_secret(value: Any) -> Any:
    if isinstance(value, secret.Secret):
        return value.reveal().hex()
    raise TypeError(f"{type(value).__name__} does not travel")


def _decode_secret(kind: type[Any], value: Any) -> Any:
    if kind is secret.Secret:
        return secret.Secret(bytes.fromhex(value))
    raise TypeError(f"{kind.__name__} does not travel")


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} does not travel in clear")


def pack(value: Any) -> dict[str, Any]:
    """The envelope of ``value``; TypeError for a value with a Secret in it (a Payload must be sealed)."""
    data = msgspec.to_builtins(value, enc_hook=_refuse)
    return {"type": type(value).__name__, "version": VERSIONS[type(value)], "data": data}


def unpack(envelope: Mapping[str, Any], kind: type[Any] | None = None) -> Any:
    """The value in an envelope, checked against its type; InternalError when it is not what it says."""
    name, version = str(envelope["type"]), int(envelope["version"])
    if name not in _BY_NAME or (kind is not None and name != kind.__name__):
        raise InternalError(f"a {name} was not expected here")
    found, data = _BY_NAME[name], dict(envelope["data"])
    for older in range(version, VERSIONS[found]):
        data = TRANSLATORS[name, older](data)
    try:
        return msgspec.convert(data, found)
    except msgspec.ValidationError as error:
        raise InternalError(f"a {name} cannot be read: {error}") from error


class _Envelope(msgspec.Struct):
    """An envelope whose data is still text."""

    type: str
    version: int
    data: msgspec.Raw


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _BY_NAME.items()
}


def to_text(value: Any) -> str:
    """The envelope as JSON text, for the database; TypeError as in ``pack``."""
    envelope = {"type": type(value).__name__, "version": VERSIONS[type(value)], "data": value}
    return msgspec.json.encode(envelope, enc_hook=_refuse).decode()


def from_text(text: str) -> Any:
    """The value in an envelope's text; one of today's version is read without a detour over dictionaries."""
    envelope = _ENVELOPE.decode(text)
    kind = _BY_NAME.get(envelope.type)
    if kind is None or envelope.version != VERSIONS[kind]:
        return unpack(msgspec.json.decode(text))
    try:
        return _DECODERS[envelope.type].decode(envelope.data)
    except msgspec.ValidationError as error:
        raise InternalError(f"a {envelope.type} cannot be read: {error}") from error


def to_clear(value: Any) -> bytes:
    """A value with its secrets in clear, for the sealer only."""
    return msgspec.json.encode(value, enc_hook=_encode_secret)


def from_clear(data: bytes, kind: type[_Kind]) -> _Kind:
    return msgspec.json.decode(data, type=kind, dec_hook=_decode_secret)


def digest(value: Any) -> str:
    """32 characters that are the same in every process for equal values, sets in them included."""
    return hashlib.sha256(msgspec.json.encode(value, enc_hook=_refuse, order="deterministic")).hexdigest()[:32]


def fingerprint(kind: type[Any]) -> str:
    """A short digest of a type's fields and of those of every type below it."""
    seen: dict[str, str] = {}
    _describe(kind, seen)
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:16]


def _describe(kind: Any, seen: dict[str, str]) -> str:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if kind.__name__ not in seen:
            seen[kind.__name__] = ""
            hints = typing.get_type_hints(kind)
            fields = [f"{f.name}:{_describe(hints[f.name], seen)}" for f in dataclasses.fields(kind)]
            seen[kind.__name__] = ",".join(fields)
        return kind.__name__
    if isinstance(kind, type) and issubclass(kind, Enum):
        seen[kind.__name__] = "|".join(sorted(str(member.value) for member in kind))
        return kind.__name__
    arguments = typing.get_args(kind)
    if arguments:
        origin = typing.get_origin(kind)
        name = "union" if origin is types.UnionType else getattr(origin, "__name__", str(origin))
        return f"{name}[{','.join(_describe(argument, seen) for argument in arguments)}]"
    return getattr(kind, "__name__", str(kind))
