"""`injector keypair add|list|delete`: the public keys that guests may be given."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client.arguments import Source
from injector.client.command import ApiCommand, ApiLister, ApiShower
from injector.client.exits import Failure
from injector.client.session import seg

PATH = "/v2.1/os-keypairs"


class Add(ApiShower):
    """Register a public key under a name."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the key pair")
        parser.add_argument(
            "--public-key",
            type=Source,
            required=True,
            metavar="FILE",
            help="such as id_ed25519.pub ('-': standard input)",
        )

    def fields(self) -> Mapping[str, Any]:
        source: Source = self.args.public_key
        try:
            text = source.read().decode()
        except UnicodeDecodeError:
            raise Failure(f"{source.text} is not text, and so no public key") from None
        if "PRIVATE KEY-----" in text:
            raise Failure(f"{source.text} is a private key: it must not leave your hands; give the .pub file")
        body = {"keypair": {"name": self.args.name, "type": "ssh", "public_key": text}}
        made = self.session.post(PATH, body)["keypair"]
        return {key: made.get(key) for key in ("name", "type", "fingerprint")}


class List(ApiLister):
    """List the key pairs."""

    titles = ("Name", "Type", "Fingerprint")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        wrapped = self.session.collection(PATH, "keypairs")
        return [{key.capitalize(): value for key, value in item["keypair"].items()} for item in wrapped]


class Delete(ApiCommand):
    """Delete key pairs; guests that were given them keep them."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("names", metavar="NAME", nargs="+")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        return self.each(parsed_args.names, lambda name: self.session.delete(f"{PATH}/{seg(name)}"))
