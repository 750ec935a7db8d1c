"""A sealed question is read by the api alone, its answer by whoever has asked; nothing passes for anything else."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from injector.errors import BusUnavailable, InvalidRequest, KeyUnknown
from injector.rpc.sealing import Opener, Question, Sealer
from injector.system.vault import Vault

BODY = {"server": {"name": "web", "adminPass": "tr0ub4dor", "personality": [{"contents": "d29yZA=="}]}}
OPENER = Opener(Vault(b"k" * 32).bus_keys)


def asked(opener: Opener = OPENER, operation: str = "create_servers") -> Question:
    return Sealer(opener.told()).seal(operation, BODY)


def flipped(text: str) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[-1] ^= 1
    return base64.b64encode(raw).decode()


def test_a_question_and_its_answer_arrive() -> None:
    question = asked()
    body, reply = OPENER.open("create_servers", question.document)
    assert body == BODY
    assert question.answer(reply.seal({"admin_password": "x"})) == {"admin_password": "x"}


def test_nothing_of_either_is_to_be_seen() -> None:
    question = asked()
    _, reply = OPENER.open("create_servers", question.document)
    for seen in (question.document, reply.seal(BODY)):
        values = [str(value) for value in seen.values()]
        clear = "".join(values).encode() + b"".join(map(base64.b64decode, (seen["nonce"], seen["ciphertext"])))
        assert b"tr0ub4dor" not in clear
        assert b"d29yZA" not in clear


def test_apis_that_share_a_key_share_their_clients() -> None:
    assert Opener(Vault(b"k" * 32).bus_keys).open("create_servers", asked().document)[0] == BODY


def test_during_a_rotation_every_api_opens_what_any_of_them_told_the_client() -> None:
    old, new = b"o" * 32, b"n" * 32
    between, after = Opener(Vault(old, new).bus_keys), Opener(Vault(new, old).bus_keys)
    assert between.told() == Opener(Vault(old).bus_keys).told() != after.told()
    for teller in (between, after):
        for opener in (between, after):
            assert opener.open("create_servers", asked(teller).document)[0] == BODY


def test_a_key_that_is_gone_is_said_to_be() -> None:
    with pytest.raises(KeyUnknown):
        Opener(Vault(b"n" * 32).bus_keys).open("create_servers", asked().document)


def test_a_question_for_one_operation_is_none_for_another() -> None:
    with pytest.raises(InvalidRequest, match="cannot be opened"):
        OPENER.open("preview_server", asked().document)


def test_an_answer_is_no_question_and_opens_for_its_asker_only() -> None:
    question, other = asked(), asked()
    _, reply = OPENER.open("create_servers", question.document)
    answer = reply.seal(BODY)
    with pytest.raises(InvalidRequest):
        OPENER.open("create_servers", question.document | answer)
    with pytest.raises(BusUnavailable):
        other.answer(answer)


@pytest.mark.parametrize("part", ["sender", "nonce", "ciphertext"])
def test_what_was_altered_does_not_open(part: str) -> None:
    document = asked().document
    with pytest.raises(InvalidRequest):
        OPENER.open("create_servers", document | {part: flipped(document[part])})


@pytest.mark.parametrize("part", ["nonce", "ciphertext"])
def test_an_altered_answer_does_not_open(part: str) -> None:
    question = asked()
    answer = OPENER.open("create_servers", question.document)[1].seal(1)
    with pytest.raises(BusUnavailable, match="altered"):
        question.answer(answer | {part: flipped(answer[part])})


@pytest.mark.parametrize("answer", [None, {}, "text", {"nonce": "", "ciphertext": ""}, {"nonce": 1, "ciphertext": 2}])
def test_what_is_no_answer_is_said_to_be_none(answer: Any) -> None:
    with pytest.raises(BusUnavailable):
        asked().answer(answer)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"key_id": 1},
        {"sender": base64.b64encode(bytes(32)).decode()},
        {"sender": "AAAA"},
        {"nonce": ""},
        {"ciphertext": "%"},
        {"ciphertext": ""},
    ],
)
def test_what_is_no_question_is_refused(document: Any) -> None:
    broken = asked().document | document if isinstance(document, dict) and document else document
    with pytest.raises(InvalidRequest) as refusal:
        OPENER.open("create_servers", broken)
    assert refusal.value.field == "sealed"


@pytest.mark.parametrize("told", [{"public_key": "AAAA"}, {"public_key": "%"}])
def test_a_key_that_is_none_is_not_sealed_to(told: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        Sealer(OPENER.told() | told)


def test_only_plain_values_travel() -> None:
    with pytest.raises(TypeError, match=r"what create_servers is asked\.server is a bytes"):
        Sealer(OPENER.told()).seal("create_servers", {"server": b"web"})


def test_what_is_sealed_stays_readable_by_neighbouring_releases() -> None:
    (key,) = Vault(b"k" * 32).bus_keys
    private = X25519PrivateKey.from_private_bytes(key)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key_id = hashlib.sha256(b"injector bus key id" + public).hexdigest()[:16]
    assert OPENER.told() == {"key_id": key_id, "public_key": base64.b64encode(public).decode()}
    question = asked()
    raw = {name: base64.b64decode(question.document[name]) for name in ("sender", "nonce", "ciphertext")}
    assert question.document["key_id"] == key_id
    assert len(raw["nonce"]) == 12
    shared = private.exchange(X25519PublicKey.from_public_bytes(raw["sender"]))
    keys = HKDF(SHA256(), 64, salt=None, info=b"injector bus 1" + raw["sender"] + public).derive(shared)
    there, back = AESGCM(keys[:32]), AESGCM(keys[32:])
    assert json.loads(there.decrypt(raw["nonce"], raw["ciphertext"], b"create_servers question")) == BODY
    sealed = back.encrypt(b"n" * 12, b'"told"', b"create_servers answer")
    parts = {"nonce": b"n" * 12, "ciphertext": sealed}
    assert question.answer({name: base64.b64encode(part).decode() for name, part in parts.items()}) == "told"


def test_the_same_question_is_never_the_same_text() -> None:
    assert len({json.dumps(asked().document) for _ in range(3)}) == 3
