"""Proves what a worker says it wrote: each item is looked for in what was read back, by other ways than it was written.

A worker has read a stranger's file system; nothing that it says is taken for granted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from injector.errors import ChannelBroken
from injector.inject.naming import ROOT_PASSWORD
from injector.inject.partition import accounts, crypts, shadow
from injector.inject.partition.content import META, absolute
from injector.inject.partition.errand import Inject, Injected, Landed, SeenFile, Wanted
from injector.inject.partition.network.reading import Unreadable, addresses_told
from injector.inject.plan import canonical
from injector.inject.receipt import Seen, Thing, address_lines
from injector.model.hostile import one_line
from injector.model.network import Nic
from injector.model.payload import Item, ItemKind
from injector.model.plan import LeftOut
from injector.model.secret import Secret

HASH = Thing(ItemKind.PASSWORD, ROOT_PASSWORD)
BETWEEN = ", "
"""What stands between the paths of an item that is in several files."""

_LONGEST_TEXT = 1024 * 1024
_SEVERAL = frozenset({ItemKind.KEY, ItemKind.NETWORK})

Files = Mapping[str, SeenFile]
"""By the path that was asked for."""


def thing_of(wanted: Wanted) -> Thing:
    return Thing(wanted.item.kind, wanted.item.name, wanted.turn)


def by_path(files: Collection[SeenFile]) -> Files:
    return {file.path: file for file in files}


def paths_of(kind: ItemKind, where: str) -> tuple[str, ...]:
    """The paths in a line of a receipt: a file's may hold anything."""
    return tuple(where.split(BETWEEN)) if kind in _SEVERAL else (where,)


def seen_in(errand: Inject, injected: Injected) -> dict[Thing, Seen]:
    """What is there as it was asked for; of a path that was given twice, only the last.

    ChannelBroken for an answer to something else than was asked.
    """
    wanted = errand.wanted
    _require_answer(wanted, injected)
    files = by_path(injected.files)
    seen: dict[Thing, Seen] = {}
    for landed in injected.landed:
        one = wanted[landed.place]
        found = look_for(one.item.kind, landed.paths, files, errand.nics, one.content)
        if found is not None and _is_as_asked(one.item, landed, files, errand.admin_user):
            seen[thing_of(one)] = found
        if one.item.kind is ItemKind.PASSWORD and (hashed := hash_seen(landed.paths, files)):
            seen[HASH] = hashed
    return seen


def lost_of(wanted: Sequence[Wanted], injected: Injected) -> dict[Thing, LeftOut]:
    """Best-effort items that were declined, and files that later ones of the same path have replaced."""
    lost = {
        thing_of(wanted[one.place]): LeftOut(wanted[one.place].item, one_line(one.reason)) for one in injected.declined
    }
    files = [wanted[one.place] for one in injected.landed if wanted[one.place].item.kind is ItemKind.FILE]
    last = {absolute(one.item.name): one for one in files}
    why = "the request gives its path again, and the later content counts"
    return lost | {thing_of(one): LeftOut(one.item, why) for one in files if last[absolute(one.item.name)] is not one}


def look_for(
    kind: ItemKind, where: Sequence[str], files: Files, nics: Collection[Nic], asked: Secret | None
) -> Seen | None:
    """The item as the guest has it in these files; None when it is not there. ``asked``: None takes any file."""
    there = [files[path] for path in where if path in files]
    if not there or len(there) != len(where):
        return None
    content = _content(kind, there, nics, asked)
    place = one_line(BETWEEN.join(where)) if kind in _SEVERAL else where[0]
    return None if content is None else Seen(content, place, there[0].mode)


def hash_seen(where: Sequence[str], files: Files) -> Seen | None:
    """Root's hash."""
    hashed = shadow.hash_in(files[where[0]].content.reveal()) if len(where) == 1 and where[0] in files else None
    return None if hashed is None else Seen(Secret(hashed), where[0], files[where[0]].mode)


def _content(kind: ItemKind, there: Sequence[SeenFile], nics: Collection[Nic], asked: Secret | None) -> Secret | None:
    if kind is ItemKind.FILE:
        return there[0].content
    texts = {one.path: one.content.reveal() for one in there}
    if any(len(text) > _LONGEST_TEXT for text in texts.values()):
        return None
    match kind:
        case ItemKind.KEY:
            return asked if asked is not None and all(_lets_in(text, asked) for text in texts.values()) else None
        case ItemKind.METADATA:
            return _metadata(there[0].content.reveal())
        case ItemKind.NETWORK:
            return _addresses(texts, nics)
        case ItemKind.PASSWORD:
            return asked if asked is not None and _is_password(texts, asked) else None
    return None


def _lets_in(text: bytes, key: Secret) -> bool:
    """The first line with the key's blob is one that begins with the key: nothing restricts it."""
    type_and_blob = key.reveal().split()[:2]
    lines = (line.split() for line in text.splitlines())
    first = next((words for words in lines if type_and_blob[-1] in words and not words[0].startswith(b"#")), [])
    return first[:2] == type_and_blob


def _metadata(text: bytes) -> Secret | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    plain = isinstance(document, dict) and all(isinstance(value, str) for value in document.values())
    return Secret(canonical(document)) if plain else None


def _addresses(texts: Mapping[str, bytes], nics: Collection[Nic]) -> Secret | None:
    """Every tool must have been told the same."""
    try:
        told = [address_lines(pairs) for pairs in addresses_told(texts, nics).values()]
    except Unreadable:
        return None
    return Secret(told[0]) if told and all(one == told[0] for one in told) else None


def _is_password(texts: Mapping[str, bytes], asked: Secret) -> bool:
    path, text = next(iter(texts.items()))
    hashed = shadow.hash_in(text)
    return path in (shadow.SHADOW, accounts.PASSWD) and hashed is not None and crypts.is_hash_of(hashed, asked)


def _is_as_asked(item: Item, landed: Landed, files: Files, admin_user: str | None) -> bool:
    """Where it is to be, and a file's mode and owner."""
    match item.kind:
        case ItemKind.FILE:
            return landed.paths == (absolute(item.name),) and _is_as_given(item, landed, files[landed.paths[0]])
        case ItemKind.METADATA:
            return landed.paths == (META,)
        case ItemKind.KEY:
            users = 1 if admin_user in (None, "root") else 2
            return len(set(landed.paths)) == users and all(_obeys(path, files[path]) for path in landed.paths)
    return True


def _is_as_given(item: Item, landed: Landed, file: SeenFile) -> bool:
    owned = item.owner is None or (file.uid, file.gid) == (landed.uid, landed.gid)
    return owned and item.mode in (None, file.mode)


def _obeys(path: str, file: SeenFile) -> bool:
    """Whether sshd would look there, and not turn away from what others may write."""
    return path.endswith("/.ssh/authorized_keys") and not file.mode & 0o022


def _require_answer(wanted: Sequence[Wanted], injected: Injected) -> None:
    """Each item has landed or been declined, and none that is required was declined."""
    places = [one.place for one in injected.landed] + [one.place for one in injected.declined]
    if sorted(places) != list(range(len(wanted))) or any(wanted[one.place].item.required for one in injected.declined):
        raise ChannelBroken("a back end of partition injection has not answered what it was asked")
