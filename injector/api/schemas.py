"""What bodies look like: JSON schemas compiled once, and one check whose messages name the field and show no secret."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from jsonschema import Draft202012Validator, FormatChecker

from injector.errors import InvalidRequest
from injector.model.hostile import one_line

Document = dict[str, Any]
Schema = dict[str, Any]

# Python's ``$`` also matches before a trailing newline.
END = r"\Z"
_SECRET = frozenset({"adminPass", "user_data", "contents", "public_key"})
_SHOWN = 100

_formats = FormatChecker(formats=())


@_formats.checks("name")
def _is_name(value: object) -> bool:
    """Nova's rule: printable, and no white space at either end."""
    return not isinstance(value, str) or (value == value.strip() and all(map(_is_printable, value)))


def _is_printable(character: str) -> bool:
    category = unicodedata.category(character)
    return category == "Zs" or category[0] not in "CZ"


@_formats.checks("path")
def _is_path(value: object) -> bool:
    return not isinstance(value, str) or "\0" not in value


def an_object(properties: Mapping[str, Schema], *required: str) -> Schema:
    """Exactly these keys: what is not understood is refused, never dropped."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def an_array(items: Schema, **limits: Any) -> Schema:
    return {"type": "array", "items": items, **limits}


def text(longest: int, shortest: int = 0, **more: Any) -> Schema:
    return {"type": "string", "minLength": shortest, "maxLength": longest, **more}


def a_pattern(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern}){END}"}


def or_null(schema: Schema) -> Schema:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}


def a_number(least: int, most: int = 2**31 - 1) -> Schema:
    """A JSON integer, or its digits as text, as Nova takes numbers; ``least`` is -1, 0 or 1."""
    digits = {-1: "-1|[0-9]{1,9}", 0: "[0-9]{1,9}", 1: "0*[1-9][0-9]{0,8}"}[least]
    return {**a_pattern(digits), "type": ["integer", "string"], "minimum": least, "maximum": most, "maxLength": 20}


NAME = text(255, 1, format="name")
IDENTIFIER = text(255, 1, format="name")
UUID = a_pattern("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
METADATA: Schema = {
    "type": "object",
    "propertyNames": a_pattern("[a-zA-Z0-9-_:. ]{1,255}"),
    "additionalProperties": text(255),
}
NOTHING: Schema = {"type": ["null", "object"], "maxProperties": 0}
NEVER: Schema = {"not": {}}
TRUE_WORDS = frozenset({"True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes"})
FALSE_WORDS = frozenset({"False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no"})
BOOLEAN: Schema = {"enum": [True, False, *sorted(TRUE_WORDS | FALSE_WORDS)]}


def as_boolean(value: bool | str) -> bool:
    """What BOOLEAN let through."""
    return value is True or value in TRUE_WORDS


class Checker:
    """One kind of body: ``{wrapper: {…}}``, or the bare object when ``wrapper`` is None.

    ``beside``: the keys that may stand beside the wrapper.
    """

    def __init__(self, schema: Schema, wrapper: str | None = None, beside: Mapping[str, Schema] | None = None) -> None:
        whole = schema if wrapper is None else an_object({wrapper: schema, **(beside or {})}, wrapper)
        Draft202012Validator.check_schema(whole)
        self._validator = Draft202012Validator(whole, format_checker=_formats)
        self._wrapper = wrapper

    def check(self, document: object) -> Any:
        """The document inside the wrapper; InvalidRequest naming the field that is wrong."""
        _refuse_surrogates(document)
        error = next(self._validator.iter_errors(document), None)  # the rest may be as many as the body has words
        if error is not None:
            raise _refusal(error, self._wrapper)
        return document if self._wrapper is None else document[self._wrapper]  # type: ignore[index]


def the_only(document: object, actions: Mapping[str, Checker]) -> tuple[str, Any]:
    """The name of the only action in a body, and its arguments."""
    names = list(document) if isinstance(document, dict) else []
    if len(names) != 1:
        raise InvalidRequest("The body must hold exactly one action.", field="action")
    if names[0] not in actions:
        raise InvalidRequest(f"There is no such action: {names[0][:40]!r}.", field="action")
    return names[0], actions[names[0]].check(document)


def _refuse_surrogates(document: object) -> None:
    # Half a surrogate pair is legal in JSON text, and in nothing that comes after: not in UTF-8, a database or a drive.
    try:
        msgspec.json.encode(document)
    except (UnicodeEncodeError, ValueError, RecursionError) as error:
        raise InvalidRequest("the request holds text that is not Unicode, or is nested too deeply") from error


def _refusal(error: Any, wrapper: str | None) -> InvalidRequest:
    field = field_name([*error.absolute_path, *_named_by(error)], wrapper)
    value = _shown(error)
    message = f"Invalid input for field/attribute {field}.{value} {_reason(error)}."
    return InvalidRequest(message, field=field)


def field_name(path: list[Any], wrapper: str | None = None) -> str:
    """``personality[2].path`` for a path into the document; the wrapper's own name when the path ends there."""
    steps = path[1:] if wrapper is not None and len(path) > 1 and path[0] == wrapper else path
    joined = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return one_line(joined.removeprefix("."), _SHOWN) or (wrapper or "body")


def _named_by(error: Any) -> list[str]:
    """The key that the error is about, where its path ends one level above."""
    if error.validator == "required":
        return [next(name for name in error.validator_value if name not in error.instance)]
    if error.validator == "additionalProperties" and error.validator_value is False:
        return [_unexpected(error)[0]]
    return []


def _unexpected(error: Any) -> list[str]:
    return sorted(set(error.instance) - set(error.schema.get("properties", ())))


def _shown(error: Any) -> str:
    path = error.absolute_path
    if not isinstance(error.instance, str | int | float) or error.validator == "maxLength":
        return ""
    if any(step in _SECRET for step in path):
        return ""
    value = one_line(str(error.instance), _SHOWN)
    return f" Value: {value}." if value else ""


_FORMAT_REASONS = {
    "name": "It holds unprintable characters, or white space at an end",
    "path": "It holds a NUL character",
}

_REASONS: Mapping[str, Callable[[Any], str]] = {
    "required": lambda _error: "It is a required property",
    "additionalProperties": lambda error: _not_allowed(_unexpected(error)),
    "type": lambda error: f"It is not of type {_words(error.validator_value)}",
    "enum": lambda error: f"It is not one of {_words(error.validator_value)}",
    "not": lambda _error: "It is the server who sets it",
    "minLength": lambda error: "It is empty" if not error.instance else "It is too short",
    "maxLength": lambda error: f"It is too long: {len(error.instance)} characters, at most {error.validator_value}",
    "pattern": lambda error: f"It does not match {error.validator_value.removesuffix(END)}",
    "minimum": lambda error: f"It is less than {error.validator_value}",
    "maximum": lambda error: f"It is more than {error.validator_value}",
    "maxItems": lambda error: f"It has more than {error.validator_value} items",
    "uniqueItems": lambda _error: "Its items are not unique",
    "format": lambda error: _FORMAT_REASONS[error.validator_value],
}


def _reason(error: Any) -> str:
    reason = _REASONS.get(error.validator)
    return reason(error) if reason else "It is not valid"


def _not_allowed(keys: list[str]) -> str:
    named = ", ".join(repr(one_line(key, _SHOWN)) for key in keys[:5])
    return f"Additional properties are not allowed ({named} {'was' if len(keys) == 1 else 'were'} unexpected)"


def _words(value: Any) -> str:
    return ", ".join(repr(item) for item in value) if isinstance(value, list) else repr(value)
