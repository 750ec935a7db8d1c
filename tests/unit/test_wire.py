"""Values survive the wire, secrets do not reach it, and no field changes unnoticed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from injector import wire
from injector.errors import InternalError
from injector.model.instance import Fault, Mark, State, Step
from injector.model.network import Forward
from injector.model.payload import Item, ItemKind, Payload
from injector.model.report import Entering, Failed
from injector.model.secret import Secret
from tests import builders

# A change here needs a new version in wire.VERSIONS and a translator from the old one.
FINGERPRINTS = {
    "BootRequest": (1, "ac9977f86b3af879"),
    "ClientToken": (1, "752148ea6566cafd"),
    "Difference": (1, "9452cbe328aff779"),
    "Drive": (1, "dc32d1f3808cd9f2"),
    "Entering": (1, "bdad9ec0d4393012"),
    "Failed": (2, "3343a0910ab18e9e"),
    "Flavor": (1, "e66f1f114f128805"),
    "Forward": (1, "ef4077a8d7998c89"),
    "Generation": (1, "59a16ca929e098a8"),
    "GuestVerdict": (1, "ec10f9beaca8abc3"),
    "HostFacts": (2, "0901483efb72d68d"),
    "Image": (1, "1efba4231cc25c34"),
    "ImageFacts": (1, "1850aaca682fc3b5"),
    "Ingredients": (1, "0ad4e450b8af1f3f"),
    "Inspection": (1, "e884f5c4e8167752"),
    "Instance": (2, "1ac75dba59929b4f"),
    "KeyPair": (1, "dfb1b8c1f649c9fe"),
    "Launched": (1, "43bd45589744624a"),
    "Network": (1, "1d69001695d912bc"),
    "Payload": (1, "1288e8c57aecf090"),
    "Plan": (1, "0af2580845ef0bb8"),
    "Preview": (1, "65ef4265c8142ad5"),
    "Rebuild": (1, "6998c78841a85513"),
    "Receipt": (1, "23d4046838e25a0b"),
    "Refreshed": (1, "b7dff90bd280241a"),
    "Settled": (2, "eba3d5ccf9614d92"),
    "Witnessed": (1, "be9fb1519751fcaa"),
}


def _now() -> datetime:
    return datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def test_no_type_has_changed_without_a_new_version() -> None:
    found = {kind.__name__: (version, wire.fingerprint(kind)) for kind, version in wire.VERSIONS.items()}
    assert found == FINGERPRINTS


VALUES = [
    builders.a_boot_request(metadata={"role": "web"}, items=(Item(ItemKind.FILE, "/é", 3, mode=0o600),)),
    builders.an_instance(
        state=State.ERROR,
        fault=Fault(409, "no", _now()),
        marks=(Mark(Step.IMAGE, _now()),),
        forwards=(Forward("52:54:00:00:00:01", 22, 20022),),
        key=builders.a_key(),
    ),
    builders.an_image(),
    Entering(Step.START, _now()),
    Failed(Fault(503, "full", _now()), elsewhere=True),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal_through_json(value: Any) -> None:
    envelope = json.loads(json.dumps(wire.pack(value)))
    assert wire.unpack(envelope, type(value)) == value
    assert wire.from_text(wire.to_text(value)) == value


def test_a_payload_does_not_travel_in_clear() -> None:
    with pytest.raises(TypeError, match="in clear"):
        wire.pack(builders.a_payload())
    with pytest.raises(TypeError, match="in clear"):
        wire.to_text(builders.a_payload())


def test_a_secret_inside_another_value_does_not_travel() -> None:
    sealed_with_a_secret = replace(builders.a_sealed(), key_id=Secret("x"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        wire.pack(builders.an_instance(payload=sealed_with_a_secret))


def test_a_payload_comes_back_for_the_sealer() -> None:
    payload = builders.a_payload(user_data=Secret(b"\xff\x00"), files=(builders.a_file(mode=0o600),))
    assert wire.from_clear(wire.to_clear(payload), Payload) == payload


@pytest.mark.parametrize(
    "envelope",
    [
        {"type": "Nonsense", "version": 1, "data": {}},
        {"type": "Forward", "version": 1, "data": {}},
        {"type": "Instance", "version": 1, "data": {"id": 7}},
    ],
)
def test_what_is_not_what_it_says_is_refused(envelope: dict[str, Any]) -> None:
    with pytest.raises(InternalError):
        wire.unpack(envelope, builders.an_instance().__class__)


def test_only_what_was_expected_is_read() -> None:
    forward = wire.pack(Forward("52:54:00:00:00:01", 22, 20022))
    assert wire.unpack(forward) == wire.unpack(forward, Forward)
    with pytest.raises(InternalError, match="Forward was not expected"):
        wire.unpack(forward, Failed)
    with pytest.raises(InternalError, match="Nonsense was not expected"):
        wire.unpack(forward | {"type": "Nonsense"})


def test_what_is_no_secret_and_no_value_of_ours_does_not_travel() -> None:
    with pytest.raises(TypeError, match=r"^object does not travel$"):
        wire.to_clear(object())


def test_a_digest_is_of_32_characters_and_of_the_value() -> None:
    one, other = Forward("52:54:00:00:00:01", 22, 20022), Forward("52:54:00:00:00:01", 22, 20023)
    assert len(wire.digest(one)) == 32
    assert wire.digest(one) == wire.digest(replace(one)) != wire.digest(other)


def test_a_payload_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match=r"^Secret does not travel in clear$"):
        wire.pack(builders.a_payload())


def test_text_of_an_earlier_version_is_read_with_what_was_added_since() -> None:
    today = builders.an_instance()
    envelope = json.loads(wire.to_text(today)) | {"version": 1}
    for added in ("allowed", "launched", "calls"):
        del envelope["data"][added]
    assert wire.from_text(json.dumps(envelope)) == today
    # Today's of the same name has other fields, for all that anybody knows.
    with pytest.raises(KeyError):
        wire.from_text(json.dumps(envelope | {"version": 0}))


def test_text_of_an_unheard_kind_is_refused() -> None:
    with pytest.raises(InternalError, match="was not expected"):
        wire.from_text('{"type": "Unheard", "version": 1, "data": {}}')
