"""cloud-init's own JSON schema of a cloud-config, read from its file when the first one has to be checked."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend

from injector.inject.lint.userdata import FIELD
from injector.inject.lint.yamltext import YamlText
from injector.model.finding import Check, Finding
from injector.model.hostile import one_line

LOG = logging.getLogger(__name__)

_TOLD = 5
"""As many failures of one cloud-config are named; the rest are consequences more often than not."""


def _is_string(_checker: Any, value: object) -> bool:
    return isinstance(value, str | bytes)


# As cloud-init itself does: ``!!binary`` is a string to its schema.
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft4Validator, type_checker=Draft4Validator.TYPE_CHECKER.redefine("string", _is_string)
)


class CloudConfigSchema:
    """The schema of one file; None for ``path``, or a file that is not there, checks nothing and says so."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._validator: Any = None
        self._looked = False

    @property
    def present(self) -> bool:
        """Reads the file, the first time; one that cannot be used counts as absent, and is named in the log."""
        with self._lock:
            if not self._looked:
                self._validator, self._looked = self._load(), True
        return self._validator is not None

    def _load(self) -> Any:
        if self._path is None or not self._path.is_file():
            return None
        try:
            document = json.loads(self._path.read_bytes())
            Draft4Validator.check_schema(document)
            return _Validator(document)
        except (OSError, ValueError, SchemaError) as error:
            LOG.warning("[lint] cloud_config_schema cannot be used: %s", one_line(str(error)))
            return None

    def check(self, config: YamlText, where: str = "") -> tuple[Finding, ...]:
        """What of a cloud-config its schema does not allow, in words that quote none of its values."""
        if not self.present:
            message = f"{where}this cloud-config was not checked: cloud-init's schema is not installed here"
            return (Finding(Check.CLOUD_CONFIG_UNCHECKED, FIELD, message),)
        errors = islice(self._validator.iter_errors(config.value), _TOLD)
        return tuple(_finding(error, config, where) for error in errors)


def _finding(error: Any, config: YamlText, where: str) -> Finding:
    error = _innermost(error)
    path = list(error.absolute_path)
    line = config.line(path)
    place = f"line {line}: " if line is not None else ""
    return Finding(Check.CLOUD_CONFIG_SCHEMA, FIELD, f"{where}{place}{_name(path)}: {_reason(error)}")


def _innermost(error: Any) -> Any:
    """Of a choice of forms, none of which fits, the failure of the one that was meant: the one of the right type."""
    while error.context:
        forms: dict[Any, list[Any]] = {}
        for inner in error.context:
            forms.setdefault(inner.schema_path[0], []).append(inner)
        meant = [errors for errors in forms.values() if not any(map(_is_other_type, errors))]
        if len(meant) != 1:
            return error
        error = meant[0][0]
    return error


def _is_other_type(error: Any) -> bool:
    return error.validator == "type" and not error.path


def _name(path: Iterable[Any]) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return one_line(steps.removeprefix("."), 100) or "the whole"


_REASONS: Mapping[str, Callable[[Any], str]] = {
    "required": lambda error: f"{_words(set(error.validator_value) - set(error.instance))} is missing",
    "additionalProperties": lambda error: f"{_words(_unexpected(error))} is not known here",
    "type": lambda error: f"it must be of type {_words(error.validator_value)}",
    "enum": lambda error: f"it must be one of {_words(error.validator_value)}",
    "pattern": lambda _error: "it has the wrong form",
    "minItems": lambda error: f"it has fewer than {error.validator_value} items",
    "maxItems": lambda error: f"it has more than {error.validator_value} items",
    "minProperties": lambda error: f"it has fewer than {error.validator_value} keys",
    "minimum": lambda error: f"it is less than {error.validator_value}",
    "maximum": lambda error: f"it is more than {error.validator_value}",
    "uniqueItems": lambda _error: "its items are not all different",
    "dependencies": lambda _error: "it needs another key beside it",
}


def _reason(error: Any) -> str:
    reason = _REASONS.get(error.validator)
    return reason(error) if reason else "it fits none of the forms that cloud-init allows"


def _unexpected(error: Any) -> set[str]:
    patterns = error.schema.get("patternProperties", ())
    others = {str(key) for key in error.instance} - set(error.schema.get("properties", ()))
    return {key for key in others if not any(re.search(pattern, key) for pattern in patterns)}


def _words(value: Any) -> str:
    words = sorted(map(str, value)) if isinstance(value, list | set) else [str(value)]
    return one_line(", ".join(words[:8]), 200)
