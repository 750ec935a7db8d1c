"""`injector image create|list|show|delete`: the disks, kernels and ramdisks that guests boot from."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from injector.client import facts
from injector.client.arguments import key_value, natural
from injector.client.cells import pairs, size
from injector.client.command import ApiCommand, ApiLister, ApiShower
from injector.client.exits import Failure, Refused
from injector.client.find import IMAGE, find, find_id, get
from injector.client.progress import shown
from injector.client.session import Document, seg

FORMATS = ("qcow2", "raw", "aki", "ari")

STANDARD = frozenset(
    {"id", "name", "status", "visibility", "disk_format", "container_format", "min_disk", "min_ram", "size"}
    | {"virtual_size", "checksum", "os_hash_algo", "os_hash_value", "os_hidden", "owner", "tags", "protected"}
    | {"created_at", "updated_at", "self", "file", "schema", "locations", "direct_url", "stores"}
    | {"injector_facts"}
)
"""Glance's own keys of an image, and ours; all others are properties."""


class Create(ApiShower):
    """Register an image and upload its bytes; the server checks that they are what they are said to be."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--file", type=Path, required=True, metavar="FILE", help="the file to upload")
        parser.add_argument(
            "--disk-format",
            choices=FORMATS,
            default="qcow2",
            help="what the file is; aki: a kernel, ari: a ramdisk (default: %(default)s)",
        )
        parser.add_argument(
            "--property",
            dest="properties",
            type=key_value,
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="such as hw_machine_type=q35, os_type=linux, kernel_id=ID (repeat for more)",
        )
        parser.add_argument("--min-disk", type=natural, metavar="GIB", help="the least disk a flavor must have")
        parser.add_argument("--min-ram", type=natural, metavar="MIB", help="the least memory a flavor must have")

    def fields(self) -> Mapping[str, Any]:
        args = self.args
        record = {
            "name": args.name,
            "disk_format": args.disk_format,
            "container_format": args.disk_format if args.disk_format in ("aki", "ari") else "bare",
            "min_disk": args.min_disk,
            "min_ram": args.min_ram,
        }
        said = dict(args.properties) | {key: value for key, value in record.items() if value is not None}
        with _opened(args.file) as source:
            made = self.session.post(IMAGE.path, said)
            try:
                self._upload(str(made["id"]), source)
            except BaseException:  # Ctrl-C included: a record without bytes is of no use to anybody
                self._discard(str(made["id"]))
                raise
        return _fields(get(self.session, IMAGE, str(made["id"])))

    def _upload(self, identity: str, source: BinaryIO) -> None:
        total = os.fstat(source.fileno()).st_size
        with shown(self.app.stderr, quiet=self.app.options.verbose_level == 0, upload=True) as progress:
            path = f"{IMAGE.path}/{seg(identity)}/file"
            self.session.upload(path, source, total, lambda count: progress.sent(count, total))

    def _discard(self, identity: str) -> None:
        """Take the record back; the server may need a moment to notice that no more bytes will come."""
        for _ in range(10):
            try:
                return self.session.delete(f"{IMAGE.path}/{seg(identity)}")
            except Refused as refused:
                if refused.status != 409:
                    return None
                time.sleep(0.2)
            except Failure:
                return None
        return None


class List(ApiLister):
    """List the images."""

    titles = ("ID", "Name", "Status", "Format", "Size")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        for view in self.session.collection(IMAGE.listing, "images"):
            values = (view.get("id"), view.get("name"), view.get("status"), view.get("disk_format"))
            yield dict(zip(self.titles, (*values, size(view.get("size"))), strict=True))


class Show(ApiShower):
    """Show one image: its record, and what was found in its bytes when it was first booted."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("image", metavar="IMAGE", help="name or id")

    def fields(self) -> Mapping[str, Any]:
        view = find(self.session, IMAGE, self.args.image)
        return _fields(view) | facts.fields(view.get("injector_facts"))


class Delete(ApiCommand):
    """Delete images; servers made of them go on."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("images", metavar="IMAGE", nargs="+", help="name or id")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        return self.each(parsed_args.images, self._delete)

    def _delete(self, name: str) -> None:
        self.session.delete(f"{IMAGE.path}/{seg(find_id(self.session, IMAGE, name))}")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _fields(view: Document) -> dict[str, Any]:
    return {
        "id": view.get("id"),
        "name": view.get("name"),
        "status": view.get("status"),
        "disk_format": view.get("disk_format"),
        "size": size(view.get("size")),
        "virtual_size": size(view.get("virtual_size")),
        "sha256": view.get("os_hash_value"),
        "min_disk": view.get("min_disk"),
        "min_ram": view.get("min_ram"),
        "owner": view.get("owner"),
        "created_at": view.get("created_at"),
        "properties": pairs({key: value for key, value in view.items() if key not in STANDARD}),
    }
