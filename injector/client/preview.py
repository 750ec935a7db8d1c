"""`injector preview`: what `injector boot` with the same flags would do, and nothing done."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from injector.client import boot, views
from injector.client.cells import Cell, human_size
from injector.client.command import ApiShower
from injector.client.exits import Failure
from injector.client.find import SERVER


class Preview(ApiShower):
    """Show what a boot would do: the choice of channel and why, every file with its size and digest, the domain."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        boot.what(parser.add_argument_group("what to boot"))
        boot.inject(parser.add_argument_group("what to inject"))

    def fields(self) -> Mapping[str, Any]:
        view = self.session.post(f"{SERVER.path}/injector-preview", boot.body(self.session, self.args))["preview"]
        if not view.get("accepted", True):
            self.ending = Failure("the request would be refused: see the findings")
        return {
            "name": view.get("name"),
            "hostname": view.get("hostname"),
            "host": view.get("host"),
            "plan": Cell(view.get("plan"), views.plan_lines),
            "addresses": Cell(view.get("addresses") or [], _addresses),
            "findings": Cell(view.get("findings") or [], _findings),
            "files": Cell(view.get("files") or [], _files),
            "notes": Cell(view.get("notes") or [], list),
            "domain_xml": Cell(view.get("domain_xml") or "", str.splitlines),
        }


def _addresses(cards: list[dict[str, Any]]) -> list[str]:
    return [f"{card['network']} {card['mac']} {', '.join(card['ips']) or 'by DHCP'}" for card in cards]


def _files(files: list[dict[str, Any]]) -> list[str]:
    return [f"{file['path']}: {human_size(file['size'])}, {file['digest']}" for file in files]


def _findings(findings: list[dict[str, Any]]) -> list[str]:
    lines = views.finding_lines(findings)
    return [f"{one.get('severity')}: {line}" for one, line in zip(findings, lines, strict=True)]
