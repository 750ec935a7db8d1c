"""One cloud-config: whether cloud-init can read it, and what in it concerns keys and passwords."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from injector.inject.lint import yamltext
from injector.inject.lint.unpack import Part
from injector.inject.lint.userdata import FIELD, Form
from injector.inject.lint.yamltext import YamlText
from injector.model.finding import Check, Finding

# The keys of a template stand at the margin whatever it renders to.
_PASSWORD_LINE = re.compile(r"^(?:chpasswd|password):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """A cloud-config that could be read; ``text.value`` is a mapping."""

    text: YamlText
    where: str = ""

    def ssh_keys(self) -> Iterator[tuple[str, str]]:
        """Every SSH key in it, with its place: ``users[1].ssh_authorized_keys[0]``."""
        config = self.text.value
        yield from _key_list(config, "")
        users = config.get("users")
        for index, user in enumerate(users if isinstance(users, list) else ()):
            if isinstance(user, dict):
                yield from _key_list(user, f"users[{index}].")

    @property
    def sets_passwords(self) -> bool:
        """Whether it leaves no room for another ``chpasswd``.

        Lists in user-data replace those in vendor data; a top-level ``password`` counts only without any list.
        """
        chpasswd = self.text.value.get("chpasswd")
        lists = isinstance(chpasswd, dict) and any(chpasswd.get(key) for key in ("users", "list"))
        return lists or bool(self.text.value.get("password"))


def read(part: Part) -> tuple[CloudConfig | None, tuple[Finding, ...]]:
    """The cloud-config in a part; None, and why, when cloud-init would not take it either."""
    try:
        text = yamltext.read(part.text)
    except yamltext.YamlError as error:
        message = f"{part.where}{error.place}this cloud-config cannot be read as YAML: {error.problem}"
        return None, (Finding(Check.CLOUD_CONFIG_YAML, FIELD, message),)
    if text.value is None:
        return None, (Finding(Check.USER_DATA_EMPTY, FIELD, f"{part.where}this cloud-config has no keys"),)
    if not isinstance(text.value, dict):
        message = f"{part.where}this cloud-config is a {_kind(text.value)}, not a mapping ('key: value' lines)"
        return None, (Finding(Check.CLOUD_CONFIG_MAPPING, FIELD, message),)
    return CloudConfig(text, part.where), ()


def template_sets_passwords(part: Part) -> bool:
    """The same of a template, as far as can be known before it is rendered."""
    return part.form is Form.JINJA and _PASSWORD_LINE.search(part.text) is not None


def patch_sets_passwords(part: Part) -> bool:
    """The same of a #cloud-config-jsonp."""
    operations = patch_of(part)
    paths = [str(one.get("path")) for one in operations or () if isinstance(one, dict) and one.get("op") != "test"]
    return any(path.split("/")[1:2] in (["chpasswd"], ["password"]) for path in paths)


def patch_of(part: Part) -> list[Any] | None:
    """The operations of a JSON patch; None when it is none."""
    try:
        operations = json.loads(part.text.lstrip()[len(Form.JSONP.value) :])
    except (ValueError, RecursionError):
        return None
    return operations if isinstance(operations, list) else None


def _key_list(holder: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name in ("ssh_authorized_keys", "ssh-authorized-keys"):
        keys = holder.get(name)
        listed = [keys] if isinstance(keys, str) else keys
        for index, key in enumerate(listed if isinstance(listed, list) else ()):
            yield f"{prefix}{name}[{index}]", str(key)


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else "text" if isinstance(value, str) else "single value"
