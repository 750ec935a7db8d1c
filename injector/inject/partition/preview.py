"""What partition injection would write, as far as that is known without the guest; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from injector.inject.partition.authorized_keys import with_key
from injector.inject.partition.content import META, absolute
from injector.inject.partition.errand import Wanted
from injector.inject.partition.network.put import documents_of
from injector.model.facts import ImageFacts, Init, NetworkStack
from injector.model.network import Nic
from injector.model.payload import ItemKind
from injector.model.secret import Secret

_KEYS = "/root/.ssh/authorized_keys"
_USUAL = (NetworkStack.IFUPDOWN,)
"""What is shown of an image that nobody has looked into."""


def preview_of(
    wanted: Sequence[Wanted], nics: Collection[Nic], interfaces: Secret | None, facts: ImageFacts | None
) -> dict[str, bytes]:
    """By path: root's keys alone, the network for the tools that the image is known to use, and no password."""
    files: dict[str, bytes] = {}
    for one in wanted:
        content = one.content.reveal()
        match one.item.kind:
            case ItemKind.KEY:
                files[_KEYS] = with_key(files.get(_KEYS, b""), content)
            case ItemKind.FILE:
                files[absolute(one.item.name)] = content
            case ItemKind.METADATA:
                files[META] = content
            case ItemKind.NETWORK:
                stacks = facts.network if facts is not None and facts.network else _USUAL
                udev = facts is None or facts.init is Init.SYSTEMD
                files |= {one.path: one.content for one in documents_of(stacks, nics, interfaces, udev=udev)}
    return files
