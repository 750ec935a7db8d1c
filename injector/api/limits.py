"""Limits on what a request may inject, measured and worded as Nova does; -1 is unlimited."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from injector.errors import InvalidRequest, OverQuota
from injector.settings import Quotas


def _over(count: int, limit: int) -> bool:
    return 0 <= limit < count


def check_files(files: Sequence[Mapping[str, Any]], quotas: Quotas) -> None:
    """Paths are counted in characters, contents in characters of base64 as received; no path is judged by content."""
    if _over(len(files), quotas.injected_files):
        message = f"Personality file limit exceeded: {len(files)} files, at most {quotas.injected_files}"
        raise OverQuota(message, field="personality")
    for index, file in enumerate(files):
        _check_length(file, index, "path", quotas.injected_file_path_length)
    for index, file in enumerate(files):
        _check_length(file, index, "contents", quotas.injected_file_content_bytes)


def _check_length(file: Mapping[str, Any], index: int, key: str, limit: int) -> None:
    length, field = len(file[key]), f"personality[{index}].{key}"
    if _over(length, limit):
        what = "path" if key == "path" else "content"
        unit = "characters" if key == "path" else "characters of base64"
        raise OverQuota(f"Personality file {what} exceeds maximum {limit}: {field} has {length} {unit}", field=field)


def check_metadata(metadata: Collection[str], quotas: Quotas) -> None:
    if _over(len(metadata), quotas.metadata_items):
        message = f"Maximum number of metadata items exceeds {quotas.metadata_items}: {len(metadata)} were given"
        raise OverQuota(message, field="metadata")


def check_user_data(encoded: str, quotas: Quotas) -> None:
    """Nova's limit is part of its schema, so this is a 400 and not a 403."""
    if _over(len(encoded), quotas.user_data):
        message = f"user_data is too long: {len(encoded)} characters of base64, at most {quotas.user_data}"
        raise InvalidRequest(f"Invalid input for field/attribute {message}.", field="user_data")


def check_count(count: int, quotas: Quotas) -> None:
    if _over(count, quotas.instances_per_request):
        message = f"Quota exceeded for instances: {count} requested, at most {quotas.instances_per_request} a request"
        raise OverQuota(message, field="max_count")
