"""Error bodies, doors and schemas: what a caller is told, and what not."""

from __future__ import annotations

import pytest

from injector.api import faults, schemas
from injector.api.auth import OpenDoor, TokenDoor
from injector.errors import BY_NAME, HostError, InvalidRequest, NotFound, OverQuota, Unauthorized
from injector.model.secret import Secret

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("kind", BY_NAME.values())
def test_every_error_of_the_house_has_a_body(kind: type[Exception]) -> None:
    error = kind("the message")
    ((name, body),) = faults.body(error.status, faults.sentence(error)).items()  # type: ignore[attr-defined, arg-type]
    assert body == {"code": error.status, "message": "the message"}  # type: ignore[attr-defined]
    assert name in {*faults.NAMES.values(), "computeFault"}


def test_the_field_is_named_once() -> None:
    assert faults.sentence(InvalidRequest("it is wrong", field="imageRef")) == "imageRef: it is wrong"
    assert faults.sentence(InvalidRequest("imageRef is wrong", field="imageRef")) == "imageRef is wrong"
    assert faults.sentence(OverQuota("too many")) == "too many"
    assert faults.sentence(NotFound("Flavor 7 could not be found.", field="flavor")) == "Flavor 7 could not be found."


def test_the_operator_s_details_stay_with_the_operator() -> None:
    error = HostError("the disk is full", detail="/var/lib/injector: ENOSPC")
    assert "/var" not in faults.sentence(error)
    assert "\x1b" not in str(faults.body(400, "\x1b[31mred"))
    assert "req-1" in faults.bug("req-1")


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({"X-Auth-Token": TOKEN}, True),
        ({"Authorization": f"bearer  {TOKEN}"}, True),
        ({"X-Auth-Token": TOKEN + "0"}, False),
        ({"X-Auth-Token": TOKEN.upper()}, False),
        ({"Authorization": TOKEN}, False),
        ({"X-Auth-Token": "\u0142"}, False),
        ({}, False),
    ],
)
def test_doors(headers: dict[str, str], admitted: bool) -> None:
    OpenDoor().admit(headers.get)
    door = TokenDoor(Secret(TOKEN))
    if admitted:
        door.admit(headers.get)
        return
    with pytest.raises(Unauthorized) as refused:
        door.admit(headers.get)
    assert TOKEN not in refused.value.message


@pytest.mark.parametrize("token", ["", "short"])
def test_a_token_that_can_be_guessed_is_none(token: str) -> None:
    with pytest.raises(HostError):
        TokenDoor(Secret(token))


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        (schemas.a_number(1), 0, "less than 1"),
        (schemas.a_number(1, 5), 6, "more than 5"),
        (schemas.a_number(1), "1.5", "does not match"),
        (schemas.a_number(-1), "-2", "does not match"),
        (schemas.a_number(0), True, "not of type"),
        (schemas.text(5), "123456", "too long: 6 characters, at most 5"),
        (schemas.text(5, 1), "", "It is empty"),
        (schemas.text(5, 2), "a", "too short"),
        (schemas.an_array({"type": "string"}, maxItems=1), ["a", "b"], "more than 1 items"),
        (schemas.an_array({"type": "string"}, uniqueItems=True), ["a", "a"], "not unique"),
        (schemas.NEVER, 1, "the server who sets it"),
        (schemas.BOOLEAN, 1, "not one of"),
        ({"const": 1}, 2, "It is not valid"),
    ],
)
def test_reasons(schema: schemas.Schema, value: object, reason: str) -> None:
    checker = schemas.Checker(schemas.an_object({"x": schema}), "thing")
    with pytest.raises(InvalidRequest, match=f"field/attribute x\\..*{reason}"):
        checker.check({"thing": {"x": value}})


@pytest.mark.parametrize("value", ["\ud800", {"a": ["\udfff"]}, {"\ud800": 1}])
def test_text_that_is_not_unicode(value: object) -> None:
    with pytest.raises(InvalidRequest, match="Unicode"):
        schemas.Checker({}).check(value)


def test_too_deep() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="too deeply"):
        schemas.Checker({}).check(deep)
