"""Every URL of the API, in one literal.

Image and network calls have aliases: a stock client that knows one endpoint only looks for them below ``/v2.1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from injector.api.operations import Operations
from injector.api.resources.drives import DriveResource
from injector.api.resources.flavors import FlavorResource
from injector.api.resources.hosts import HostResource
from injector.api.resources.images import ImageResource
from injector.api.resources.keypairs import KeyPairResource
from injector.api.resources.limits import LimitsResource
from injector.api.resources.metadata import MetadataResource
from injector.api.resources.networks import NetworkResource
from injector.api.resources.previews import PreviewResource
from injector.api.resources.servers import ServerResource
from injector.api.resources.versions import VersionResource

ANONYMOUS = frozenset({"/", "/v2.1"})
"""Version documents: served without a credential."""

_IMAGES = ("/v2/images", "/v2.1/v2/images", "/v2.1/images")
_NETWORKS = ("/v2.0/networks", "/v2.1/v2.0/networks", "/v2.1/networks")


class Route(NamedTuple):
    """``resource`` answers with its ``on_<method>``, or ``on_<method>_<suffix>``."""

    path: str
    resource: object
    suffix: str | None = None


def routes(do: Operations) -> Iterator[Route]:
    versions, limits, hosts = VersionResource(), LimitsResource(do.limits), HostResource(do.hosts)
    servers, metadata, keypairs = ServerResource(do.servers), MetadataResource(do.servers), KeyPairResource(do.keypairs)
    flavors, images, networks = FlavorResource(do.flavors), ImageResource(do.images), NetworkResource(do.networks)
    drives = DriveResource(do.drives)
    yield from (
        Route("/", versions, "all"),
        Route("/v2.1", versions),
        Route("/v2.1/limits", limits),
        Route("/v2.1/servers", servers, "collection"),
        Route("/v2.1/servers/detail", servers, "detail"),
        Route("/v2.1/servers/injector-preview", PreviewResource(do.previews)),
        Route("/v2.1/servers/{server_id}", servers),
        Route("/v2.1/servers/{server_id}/action", servers, "action"),
        Route("/v2.1/servers/{server_id}/injector-receipt", servers, "receipt"),
        Route("/v2.1/servers/{server_id}/injector-generations", drives, "generations"),
        Route("/v2.1/servers/{server_id}/injector-verify", drives, "verify"),
        Route("/v2.1/servers/{server_id}/injector-diff", drives, "diff"),
        Route("/v2.1/servers/{server_id}/metadata", metadata),
        Route("/v2.1/servers/{server_id}/metadata/{key}", metadata, "item"),
        Route("/v2.1/os-keypairs", keypairs, "collection"),
        Route("/v2.1/os-keypairs/{name}", keypairs),
        Route("/v2.1/flavors", flavors, "collection"),
        Route("/v2.1/flavors/detail", flavors, "detail"),
        Route("/v2.1/flavors/{flavor_id}", flavors),
        Route("/v2.1/flavors/{flavor_id}/os-extra_specs", flavors, "extra_specs"),
        Route("/v2.1/injector-hosts", hosts, "collection"),
        Route("/v2.1/injector-hosts/{name}", hosts),
        Route("/v2.1/injector-hosts/{name}/action", hosts, "action"),
        Route("/v2.1/os-availability-zone", hosts, "zones"),
    )
    for place in _IMAGES:
        yield Route(place, images, "collection")
        yield Route(f"{place}/{{image_id}}", images)
        yield Route(f"{place}/{{image_id}}/file", images, "file")
    for place in _NETWORKS:
        yield Route(place, networks, "collection")
        yield Route(f"{place}/{{network_id}}", networks)
