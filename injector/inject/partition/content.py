"""Writes files and metadata: at any path of the guest, with any content, for any owner that it knows."""

from __future__ import annotations

from dataclasses import dataclass

from injector.inject.partition import accounts, paths
from injector.inject.partition.draft import AS_IT_IS, Draft
from injector.inject.partition.filesystem import Attributes
from injector.model.payload import Item

META = "/meta.js"


@dataclass(frozen=True, slots=True)
class Put:
    """Where it is, and whose, if an owner was asked for."""

    path: str
    uid: int | None = None
    gid: int | None = None


def put_file(draft: Draft, item: Item, content: bytes) -> Put:
    """New ones are root's, 0644, and what is missing above them is root's, 0755, unless something else is asked for."""
    put = Put(absolute(item.name), *_owner(draft, item.owner))
    _write(draft, put.path, content, Attributes(item.mode, put.uid, put.gid))
    return put


def put_metadata(draft: Draft, content: bytes) -> tuple[str, ...]:
    _write(draft, META, content, AS_IT_IS)
    return (META,)


def absolute(path: str) -> str:
    """As in Nova, a path is seen from the guest's root."""
    return path if path.startswith("/") else f"/{path}"


def _owner(draft: Draft, spec: str | None) -> tuple[int | None, int | None]:
    if spec is None:
        return None, None
    passwd, group = (draft.text(path, accounts.LIMIT) for path in (accounts.PASSWD, accounts.GROUP))
    return accounts.owner(spec, passwd, group)


def _write(draft: Draft, path: str, content: bytes, attributes: Attributes) -> None:
    place = paths.file_place(draft, path)
    draft.make_directories(place)
    draft.write(place, content, attributes)
