"""The state directory: made with the owners and modes of the design, checked when it is there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from injector.errors import HostError
from injector.settings import Settings
from injector.system import files, locks

_LOCK_SECONDS = 3.0


def make_home(settings: Settings) -> None:
    """The state directory itself; HostError when it cannot be made."""
    try:
        settings.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError("the state directory cannot be made", field="state_path", detail=str(error)) from error


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One daemon a state directory: a second would undo the first one's builds. The kernel frees a dead one's lock."""
    with ExitStack() as held:
        try:
            held.enter_context(locks.locked(settings.state_dir / "lock", _LOCK_SECONDS))
        except HostError as error:
            message = "another injector runs on this state directory"
            raise HostError(message, field="state_path", detail=error.detail) from error
        yield


def prepare(settings: Settings, qemu_group: int | None) -> None:
    """A compute's directories can be passed through (0711), so that QEMU reaches its files, but not listed."""
    files.make_directory(settings.instances_dir, 0o711, qemu_group)
    files.make_directory(settings.base_dir, 0o711, qemu_group)


def admin_token(settings: Settings) -> str:
    """The API's token; drawn at the first start, readable by the daemon's user only: HostError when it is not so."""
    path = settings.admin_token
    if not path.exists():
        files.write_atomic(path, secrets.token_urlsafe(32).encode(), mode=0o600)
    content = files.read_private(path, "the token in <state_path>/admin-token", "admin-token")
    return content.strip().decode("utf-8", "replace")


def prepare_images(settings: Settings, qemu_group: int | None) -> None:
    """The api's store of images; where guests are built beside it, QEMU may be handed its files as they are."""
    files.make_directory(settings.images_dir, 0o711, qemu_group)
