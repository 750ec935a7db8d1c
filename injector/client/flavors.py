"""`injector flavor create|list|delete`: the sizes that servers come in."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client.arguments import natural, positive
from injector.client.command import ApiCommand, ApiLister, ApiShower
from injector.client.find import FLAVOR, find_id
from injector.client.session import Document, seg


class Create(ApiShower):
    """Create a flavor."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--vcpus", type=positive, default=1, metavar="N", help="processors (default: %(default)s)")
        parser.add_argument("--ram", type=positive, required=True, metavar="MIB", help="memory in MiB")
        parser.add_argument(
            "--disk",
            type=natural,
            default=0,
            metavar="GIB",
            help="root disk in GiB (default: 0, as large as the image)",
        )
        parser.add_argument("--id", default=None, metavar="ID", help="id (default: made up by the server)")

    def fields(self) -> Mapping[str, Any]:
        flavor = {key: getattr(self.args, key) for key in ("name", "vcpus", "ram", "disk", "id")}
        return _fields(self.session.post(FLAVOR.path, {"flavor": flavor})["flavor"])


class List(ApiLister):
    """List the flavors."""

    titles = ("ID", "Name", "VCPUs", "RAM", "Disk")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        for view in self.session.collection(FLAVOR.listing, "flavors"):
            yield dict(zip(self.titles, _fields(view).values(), strict=True))


class Delete(ApiCommand):
    """Delete flavors; servers made of them keep their size."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("flavors", metavar="FLAVOR", nargs="+", help="name or id")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        return self.each(parsed_args.flavors, self._delete)

    def _delete(self, name: str) -> None:
        self.session.delete(f"{FLAVOR.path}/{seg(find_id(self.session, FLAVOR, name))}")


def _fields(view: Document) -> dict[str, Any]:
    """``ram`` in MiB and ``disk`` in GiB, as the API has them."""
    return {key: view.get(key) for key in ("id", "name", "vcpus", "ram", "disk")}
