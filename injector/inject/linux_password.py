"""The administrator's password for guests that do not read ``admin_pass``: a hash for root, set by cloud-init."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

from injector.inject.lint.reading import read
from injector.model.image import Image
from injector.model.secret import Secret

ROUNDS = 5000
"""crypt(3)'s own number; 2 ms. Whoever can read the drive reads ``admin_pass`` beside it."""

KEY = "cloud-init"
"""The key of vendor data that cloud-init acts on: a text, or a list of texts that are merged in their order."""

# The library loads itself in steps, the last ones during its first hash, and fails for a thread that comes in between.
_one_at_a_time = Lock()

_HEADER = "#cloud-config\n"
# Lists after those that the operator's own vendor data have, where the rule would be that the last one has its way.
_BESIDE = {"merge_how": "dict(recurse_array)+list(append)+str()"}


def is_meant_for(image: Image) -> bool:
    """Windows guests have cloudbase-init, which reads ``admin_pass``; any other may be Linux."""
    return image.properties.get("os_type") != "windows"


def obstacle(password: Secret, user_data: Secret | None) -> str | None:
    """Why cloud-init would not set this password beside this user-data; None when it would, as far as can be seen."""
    if b"\0" in password.reveal():
        return "it holds a NUL character, and no password of Linux can"
    if user_data is None:
        return None
    reading = read(user_data.reveal())
    if reading.sets_passwords:
        return "the user-data sets passwords of its own (chpasswd or password), and a Linux guest obeys these"
    if any(_refuses_vendor_data(config.text.value) for config in reading.configs):
        return "the user-data turns vendor data off, by which a Linux guest is told of it"
    return None


def _refuses_vendor_data(config: Mapping[str, Any]) -> bool:
    told = config.get("vendor_data")
    return isinstance(told, dict) and str(told.get("enabled", True)).lower() not in ("true", "1", "on", "yes")


def hash_of(password: Secret) -> Secret:
    """SHA-512 as in /etc/shadow, with a salt drawn now: kept, because it cannot be made again."""
    with _one_at_a_time:
        # Loaded here, not above: only a boot with a password pays for it.
        from passlib.hash import sha512_crypt

        return Secret(sha512_crypt.using(rounds=ROUNDS).hash(password.text()))


def is_hash_of(hashed: Secret, password: Secret) -> bool:
    with _one_at_a_time:
        from passlib.hash import sha512_crypt

        return bool(sha512_crypt.verify(password.text(), hashed.text()))


def told_with(vendor_data: Mapping[str, Any], hashed: Secret) -> dict[str, Any]:
    """The vendor data with the password in them; what the operator says under the same key stays, and comes first.

    It does not expire: whoever asked for it knows it. Told again, it is told once.
    """
    ours = {text for beside in (False, True) for text in _ours(hashed.text(), beside=beside)}
    before = [text for text in _texts(vendor_data.get(KEY)) if text not in ours]
    return {**vendor_data, KEY: [*before, *_ours(hashed.text(), beside=bool(before))]}


def _ours(root: str, *, beside: bool) -> tuple[str, str]:
    user = {"name": "root", "password": root, "type": "hash"}
    config = {"chpasswd": {"expire": False, "users": [user]}} | (_BESIDE if beside else {})
    return _HEADER + json.dumps(config), _script(root)


def _script(root: str) -> str:
    """cloud-init before 22.3 does not know ``users``, and later ones call a boot with the older ``list`` degraded."""
    return (
        "#!/bin/sh\n"
        "# For cloud-init before 22.3: later ones have set this password already.\n"
        f"root='{root}'\n"
        'grep -qF "root:$root:" /etc/shadow || echo "root:$root" | chpasswd -e\n'
    )


def seen_in(vendor_data: Mapping[str, Any]) -> Secret | None:
    """The hash that ``told_with`` put there."""
    for text in reversed(_texts(vendor_data.get(KEY))):
        try:
            users = json.loads(text.removeprefix(_HEADER))["chpasswd"]["users"]
            return Secret(next(str(user["password"]) for user in users if user["name"] == "root"))
        except (ValueError, LookupError, TypeError, StopIteration):
            continue
    return None


def _texts(value: object) -> list[str]:
    if not value:
        return []
    return [text for text in _listed(value) if isinstance(text, str)]


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else [value]
