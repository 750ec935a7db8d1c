"""From what the user typed, a name or an id, to the one thing meant; or a message that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from injector.client.exits import Failure, Refused
from injector.client.session import Document, Session, seg


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing: ``path`` shows one by id, ``listing`` lists them under ``plural``.

    ``wrapped``: the key that one of them is shown under; None where the API shows it bare (Image).
    ``any_id``: ids are the caller's own words (flavors), not UUIDs only.
    """

    noun: str
    path: str
    listing: str
    plural: str
    wrapped: str | None
    any_id: bool = False


SERVER = Kind("server", "/v2.1/servers", "/v2.1/servers/detail", "servers", "server")
IMAGE = Kind("image", "/v2/images", "/v2/images", "images", None)
FLAVOR = Kind("flavor", "/v2.1/flavors", "/v2.1/flavors/detail", "flavors", "flavor", any_id=True)
HOSTS = "/v2.1/injector-hosts"
NETWORK = Kind("network", "/v2.0/networks", "/v2.0/networks", "networks", "network")


def find(session: Session, kind: Kind, asked: str) -> Document:
    """The view of the one thing whose id, or else whose name, is ``asked``; raises Failure when there is not just one.

    Only exact names count: Nova's own ``name=`` filter, for one, matches parts of names too.
    """
    if kind.any_id or _is_uuid(asked):
        by_id = _by_id(session, kind, asked)
        if by_id is not None:
            return by_id
    filters = {} if kind.any_id else {"name": asked}  # flavors cannot be asked for by name
    named = [item for item in session.collection(kind.listing, kind.plural, **filters) if item.get("name") == asked]
    if not named:
        raise Failure(f"there is no {kind.noun} with the name or id '{asked}'")
    if len(named) > 1:
        ids = ", ".join(str(item["id"]) for item in named)
        raise Failure(f"{len(named)} {kind.plural} are named '{asked}'; say which by its id: {ids}")
    return named[0]


def name_images(session: Session, views: list[Document]) -> list[Document]:
    """The servers' views, their images with names: the Compute API tells ids only. An image that is gone has none."""
    names: dict[str, str] = {}
    try:
        if len(views) == 1:
            image = get(session, IMAGE, str(views[0]["image"]["id"]))
            names = {image["id"]: image["name"]}
        elif views:
            names = {image["id"]: image["name"] for image in session.collection(IMAGE.listing, IMAGE.plural)}
    except (Failure, KeyError):
        return views  # the servers are what was asked about; their images' names are not worth a failure
    return [view | {"image": {**view["image"], "name": names.get(view["image"]["id"])}} for view in views]


def find_id(session: Session, kind: Kind, asked: str) -> str:
    return str(find(session, kind, asked)["id"])


def get(session: Session, kind: Kind, identity: str) -> Document:
    """The view by id; raises Refused when there is none."""
    document = session.get(f"{kind.path}/{seg(identity)}")
    view: Document = document[kind.wrapped] if kind.wrapped else document
    return view


def _by_id(session: Session, kind: Kind, asked: str) -> Document | None:
    try:
        return get(session, kind, asked)
    except Refused as refused:
        if refused.status in (400, 404):
            return None
        raise


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
