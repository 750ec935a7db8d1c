"""Limits as the Compute API shows them; -1 is unlimited."""

from __future__ import annotations

from injector.api.views.viewpoint import Document, Viewpoint
from injector.model.host import Usage
from injector.settings import Quotas


def absolute(quotas: Quotas, used: Usage, seen: Viewpoint) -> Document:
    document = {
        "maxServerMeta": quotas.metadata_items,
        "maxPersonality": quotas.injected_files,
        "maxPersonalitySize": quotas.injected_file_content_bytes,
        "maxTotalKeypairs": quotas.key_pairs,
        "maxTotalInstances": -1,
        "maxTotalCores": -1,
        "maxTotalRAMSize": -1,
        "totalInstancesUsed": used.guests,
        "totalCoresUsed": used.vcpus,
        "totalRAMUsed": used.ram,
    }
    return document if seen.since(39) else document | {"maxImageMeta": quotas.metadata_items}
