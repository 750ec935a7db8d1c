"""A preview as a document: the choice, the files with their digests, the domain; contents are never shown."""

from __future__ import annotations

from injector.api.operations.preview import Previewed
from injector.api.views.delivery import show_finding, show_plan
from injector.api.views.viewpoint import Document
from injector.model.network import Nic


def detail(found: Previewed) -> Document:
    instance, preview = found.instance, found.preview
    denied = [show_finding(one) | {"severity": "deny"} for one in found.judged.denied]
    return {
        "accepted": not denied,
        "findings": denied + [show_finding(one) | {"severity": "warn"} for one in found.judged.warned],
        "name": instance.name,
        "hostname": instance.hostname,
        "host": preview.host,
        "plan": show_plan(preview.plan),
        "addresses": [_card(nic) for nic in instance.nics],
        "files": [{"path": file.path, "size": file.size, "digest": file.digest} for file in preview.files],
        "domain_xml": preview.domain_xml,
        "notes": list(preview.notes),
    }


def _card(nic: Nic) -> Document:
    """Another request may be given these addresses before this one is made."""
    ips = [address.ip for address in nic.addresses if address.ip is not None]
    return {"network": nic.network.name, "mac": nic.mac, "ips": ips}
