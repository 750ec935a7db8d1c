"""What is to be changed in a guest's files, one value a change, in the order in which it is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from injector.errors import InternalError
from injector.inject.partition.filesystem import Attributes, GuestFiles


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """A directory that is not there yet, in one that is by then."""

    path: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A new file, or the content of the one there, in place."""

    path: str
    content: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Change:
    """Other attributes for what is there."""

    path: str
    attributes: Attributes


Edit = MakeDirectory | WriteFile | Change


def apply(edits: Iterable[Edit], files: GuestFiles) -> None:
    """Do them all; raises what the file system raises."""
    for edit in edits:
        match edit:
            case MakeDirectory(path, attributes):
                files.make_directory(path, attributes)
            case WriteFile(path, content, attributes):
                files.write(path, content, attributes)
            case Change(path, attributes):
                files.change(path, attributes)


def merged(first: Attributes, then: Attributes) -> Attributes:
    """Both in one: what ``then`` names wins."""
    named = {field.name: getattr(then, field.name) for field in fields(then)}
    kept = {field.name: getattr(first, field.name) for field in fields(first)}
    return Attributes(**(kept | {name: value for name, value in named.items() if value is not None}))


def follow(first: Edit, then: Edit) -> Edit:
    """One edit that does what both do to the same path; InternalError when no such thing can be meant."""
    attributes = merged(first.attributes, then.attributes)
    match first, then:
        case MakeDirectory(path, _), Change():
            return MakeDirectory(path, attributes)
        case WriteFile(path, content, _), Change():
            return WriteFile(path, content, attributes)
        case ((WriteFile() | Change()), WriteFile(path, content, _)):
            return WriteFile(path, content, attributes)
        case Change(path, _), Change():
            return Change(path, attributes)
    raise InternalError("an edit of a guest's file follows one that it cannot follow")
