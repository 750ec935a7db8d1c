"""What a look at a request found before anything was booted: the checks by name, and one finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Check(StrEnum):
    """Everything that is looked for; each is an option of its name in ``[lint]``."""

    USER_DATA_EMPTY = "user_data_empty"
    USER_DATA_FORMAT = "user_data_format"
    USER_DATA_HEADER = "user_data_header"
    USER_DATA_HEADER_STYLE = "user_data_header_style"
    USER_DATA_LINE_ENDINGS = "user_data_line_endings"
    USER_DATA_ENCODED_TWICE = "user_data_encoded_twice"
    USER_DATA_GZIP = "user_data_gzip"
    USER_DATA_MIME = "user_data_mime"
    USER_DATA_PART = "user_data_part"
    USER_DATA_INCLUDE = "user_data_include"
    USER_DATA_JSON = "user_data_json"
    CLOUD_CONFIG_YAML = "cloud_config_yaml"
    CLOUD_CONFIG_MAPPING = "cloud_config_mapping"
    CLOUD_CONFIG_SCHEMA = "cloud_config_schema_failed"
    CLOUD_CONFIG_UNCHECKED = "cloud_config_unchecked"
    PASSWORD_OVERRIDDEN = "password_overridden"
    KEY_WEAK = "key_weak"
    KEY_UNUSABLE = "key_unusable"
    FILE_EMPTY = "file_empty"
    FILE_DUPLICATE = "file_duplicate"
    FILE_PATH = "file_path"
    FILE_RELATIVE = "file_relative"
    FILE_PSEUDO = "file_pseudo"
    FILE_VOLATILE = "file_volatile"
    FILE_OVERWRITTEN = "file_overwritten"
    NETWORK_SCHEMA = "network_schema"
    NETWORK_MTU = "network_mtu"
    NETWORK_MAC = "network_mac"
    NETWORK_ADDRESS = "network_address"
    NETWORK_GATEWAY = "network_gateway"


class Severity(StrEnum):
    """What is made of a finding: told, refused, or not looked at."""

    WARN = "warn"
    DENY = "deny"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Finding:
    """``field`` names the part of the request; ``message`` is for people, harmless, and quotes no content of it."""

    check: Check
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    """``meaning`` is what the check finds; ``severity`` what is made of it unless the operator says otherwise."""

    severity: Severity
    meaning: str


_WARN, _DENY = Severity.WARN, Severity.DENY

RULES: Mapping[Check, Rule] = {
    Check.USER_DATA_EMPTY: Rule(_WARN, "user-data, or a cloud-config in it, that says nothing"),
    Check.USER_DATA_FORMAT: Rule(_WARN, "user-data in no format that cloud-init, cloudbase-init or Ignition knows"),
    Check.USER_DATA_HEADER: Rule(_DENY, "a first line that was meant for cloud-init and is not recognised by it"),
    Check.USER_DATA_HEADER_STYLE: Rule(_WARN, "a first line that cloud-init recognises and other readers do not"),
    Check.USER_DATA_LINE_ENDINGS: Rule(_WARN, "a script with the line endings of Windows"),
    Check.USER_DATA_ENCODED_TWICE: Rule(_DENY, "user-data that is still base64 after it was decoded"),
    Check.USER_DATA_GZIP: Rule(_DENY, "compressed user-data that is damaged or too large when unpacked"),
    Check.USER_DATA_MIME: Rule(_DENY, "a MIME message or an archive that cannot be taken apart"),
    Check.USER_DATA_PART: Rule(_WARN, "a part of a MIME message or an archive that cloud-init has no handler for"),
    Check.USER_DATA_INCLUDE: Rule(_DENY, "an #include without a URL, or with something that is none"),
    Check.USER_DATA_JSON: Rule(_DENY, "Ignition or #cloud-config-jsonp that is no such JSON"),
    Check.CLOUD_CONFIG_YAML: Rule(_DENY, "a cloud-config that is no YAML, or is too deep or too large"),
    Check.CLOUD_CONFIG_MAPPING: Rule(_DENY, "a cloud-config that is not a mapping from keys to values"),
    Check.CLOUD_CONFIG_SCHEMA: Rule(_WARN, "a cloud-config that fails cloud-init's own schema (cloud_config_schema)"),
    Check.CLOUD_CONFIG_UNCHECKED: Rule(_WARN, "in previews: a cloud-config that no schema was there to check"),
    Check.PASSWORD_OVERRIDDEN: Rule(_WARN, "an admin password beside user-data that sets passwords: user-data wins"),
    Check.KEY_WEAK: Rule(_WARN, "an SSH key that newer servers refuse: DSA, or RSA of less than 2048 bits"),
    Check.KEY_UNUSABLE: Rule(_DENY, "an SSH key with which nobody can log in"),
    Check.FILE_EMPTY: Rule(_WARN, "a file without content"),
    Check.FILE_DUPLICATE: Rule(_DENY, "two files with one path"),
    Check.FILE_PATH: Rule(_DENY, "a path that names no file, or leads out of its directory with '..'"),
    Check.FILE_RELATIVE: Rule(_WARN, "a path that does not begin with '/'"),
    Check.FILE_PSEUDO: Rule(_DENY, "a file below /proc or /sys, where none can be kept"),
    Check.FILE_VOLATILE: Rule(_WARN, "a file below /dev, /run or /tmp, where it is lost or hidden"),
    Check.FILE_OVERWRITTEN: Rule(_WARN, "a file that cloud-init itself writes, after it has written this one"),
    Check.NETWORK_SCHEMA: Rule(_DENY, "network data that is not of the form guests read"),
    Check.NETWORK_MTU: Rule(_DENY, "network data with an MTU that is null or none"),
    Check.NETWORK_MAC: Rule(_DENY, "network data with a MAC that no card of the guest has"),
    Check.NETWORK_ADDRESS: Rule(_DENY, "network data with an address that no guest can have"),
    Check.NETWORK_GATEWAY: Rule(_WARN, "network data with a gateway outside of its subnet"),
}


def severities(said: Mapping[Check, Severity] | None = None) -> Mapping[Check, Severity]:
    """The severity of every check: as ``said``, else its own."""
    return {check: rule.severity for check, rule in RULES.items()} | dict(said or {})
