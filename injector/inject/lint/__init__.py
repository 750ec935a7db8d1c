"""The look at a request before anything is booted: what cannot work, and what is doubtful.

Pure functions over values. One call finds everything in a request, one everything in its network data, and one judges
what was found by the operator's policy:

    findings = lint.request(Subject(user_data, files, keys), CloudConfigSchema(path))
    judged = lint.judge(findings, settings.lint.severities)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from injector.inject.lint import files as _files
from injector.inject.lint import keys as _keys
from injector.inject.lint import network as _network
from injector.inject.lint.network import Json
from injector.inject.lint.reading import Reading, read
from injector.inject.lint.schema import CloudConfigSchema
from injector.inject.lint.userdata import FIELD
from injector.model.finding import Check, Finding, Severity
from injector.model.keypair import KeyPair
from injector.model.payload import InjectedFile
from injector.model.secret import Secret

__all__ = ["CloudConfigSchema", "Judged", "Subject", "judge", "network_data", "request", "sets_passwords"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a request is looked at, in clear: key pairs by the field that names them; ``password_given`` by the
    caller, not generated.
    """

    user_data: Secret | None = None
    files: tuple[InjectedFile, ...] = ()
    keys: Mapping[str, KeyPair] = field(default_factory=dict)
    password_given: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """Findings by what the policy makes of them; those whose check is off are in neither."""

    denied: tuple[Finding, ...] = ()
    warned: tuple[Finding, ...] = ()


def request(subject: Subject, schema: CloudConfigSchema) -> tuple[Finding, ...]:
    """Everything that is doubtful about a request; what it quotes of it are names, never contents."""
    found = list(_files.lint(subject.files))
    for name, key in subject.keys.items():
        found += _keys.lint(key.public_key, name) if key.type == "ssh" else ()
    if subject.user_data is not None:
        found += _user_data(read(subject.user_data.reveal()), schema, password_given=subject.password_given)
    return tuple(found)


def network_data(document: Json, macs: Collection[str]) -> tuple[Finding, ...]:
    """Everything that is doubtful about a ``network_data.json`` for a guest whose cards have ``macs``."""
    return _network.lint(document, macs)


def sets_passwords(user_data: bytes) -> bool:
    """Whether user-data brings passwords of its own: these win, and a ``chpasswd`` in vendor data is not obeyed.

    Seen in cloud-configs, also inside of MIME messages, archives, gzip and templates; not in scripts and includes.
    """
    return read(user_data).sets_passwords


def judge(findings: Iterable[Finding], severities: Mapping[Check, Severity]) -> Judged:
    by_severity: dict[Severity, list[Finding]] = {severity: [] for severity in Severity}
    for finding in dict.fromkeys(findings):
        by_severity[severities[finding.check]].append(finding)
    return Judged(tuple(by_severity[Severity.DENY]), tuple(by_severity[Severity.WARN]))


def _user_data(reading: Reading, schema: CloudConfigSchema, *, password_given: bool) -> list[Finding]:
    found = list(reading.findings)
    for config in reading.configs:
        found += schema.check(config.text, config.where)
        for place, key in config.ssh_keys():
            found += _keys.lint(key, FIELD, f"{config.where}{place}: ", options=True)
    if password_given and reading.sets_passwords:
        message = "the user-data sets passwords of its own (chpasswd or password), and wins over this one"
        found.append(Finding(Check.PASSWORD_OVERRIDDEN, "adminPass", message))
    return found
