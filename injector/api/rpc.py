"""The operations behind the bus: what ``injector.rpc.Client`` calls, checked by the same schemas as REST."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from injector.api.operations import Operations
from injector.api.operations.drives import Begun
from injector.api.operations.servers import Rebuilding
from injector.api.views import drives, flavors, hosts, images, keypairs, limits, networks, previews, servers
from injector.api.views.viewpoint import Document, Viewpoint
from injector.errors import InvalidRequest
from injector.model.context import Context
from injector.rpc.client import TOPIC, VERSION
from injector.rpc.sealing import FIELD, Opener

__all__ = ["TOPIC", "ApiEndpoint"]

_HERE = Viewpoint()
_UNKEPT = re.compile("[\0\ud800-\udfff]")
# Actions whose body or answer may hold what the broker is not to see.
_SECRET_ACTIONS = frozenset({"rebuild"})


class ApiEndpoint:
    """Documents in, documents out, in the shape of REST's newest microversion with relative links.

    What may hold secrets comes and goes ``sealed``. In clear (``body``) it is taken only where nobody sees it on its
    way: with ``sealed_only`` it is refused.
    """

    version = VERSION
    methods = (
        "sealing_key",
        *("create_servers", "preview_server", "find_servers", "show_server", "delete_server", "act", "show_receipt"),
        *("find_generations", "compare_generations", "verify_server", "diff_server"),
        *("show_metadata", "set_metadata", "delete_metadata"),
        *("create_keypair", "find_keypairs", "show_keypair", "delete_keypair"),
        *("create_flavor", "find_flavors", "show_flavor", "delete_flavor"),
        *("create_image", "find_images", "show_image", "delete_image"),
        *("create_network", "find_networks", "show_network", "delete_network"),
        *("find_hosts", "show_host", "enable_host", "disable_host", "drain_host", "evacuate_host", "forget_host"),
        "show_limits",
    )

    def __init__(self, operations: Operations, opener: Opener, *, sealed_only: bool) -> None:
        self._do = operations
        self._opener = opener
        self._sealed_only = sealed_only

    def sealing_key(self) -> Document:
        """What clients seal to."""
        return self._opener.told()

    def _sealed(self, operation: str, sealed: object, work: Callable[[object], Any]) -> Document:
        """``work`` on what was sealed; its answer goes back to whoever has asked, and to nobody else."""
        body, reply = self._opener.open(operation, sealed)
        return reply.seal(work(body))

    def _refuse_clear(self) -> None:
        if self._sealed_only:
            message = "What may hold secrets is taken sealed only on this bus: use the client of this release."
            raise InvalidRequest(message, field=FIELD)

    # servers

    def create_servers(self, context: Context, body: object = None, sealed: object = None) -> Document:
        if sealed is not None:
            return self._sealed("create_servers", sealed, partial(self._create_servers, context))
        self._refuse_clear()
        return self._create_servers(context, body)

    def _create_servers(self, context: Context, body: object) -> Document:
        made = self._do.servers.create(context, body)
        silent = self._do.servers.silent(made.instances)
        return {
            "servers": [servers.detail(instance, _HERE, silent) for instance in made.instances],
            "reservation_id": made.reservation_id,
            "admin_password": None if made.admin_password is None else made.admin_password.text(),
        }

    def preview_server(self, context: Context, body: object = None, sealed: object = None) -> Document:
        if sealed is not None:
            return self._sealed("preview_server", sealed, partial(self._preview_server, context))
        self._refuse_clear()
        return self._preview_server(context, body)

    def _preview_server(self, context: Context, body: object) -> Document:
        return previews.detail(self._do.previews.show(context, body))

    def find_servers(self, context: Context, parameters: Mapping[str, Any]) -> list[Document]:
        found = self._do.servers.find(context, _texts(parameters))
        return [servers.detail(instance, _HERE, found.silent) for instance in found.instances]

    def show_server(self, context: Context, server_id: str) -> Document:
        instance = self._do.servers.show(context, _text(server_id))
        return servers.detail(instance, _HERE, self._do.servers.silent((instance,)))

    def delete_server(self, context: Context, server_id: str) -> None:
        self._do.servers.delete(context, _text(server_id))

    def act(
        self, context: Context, server_id: str, body: object = None, sealed: object = None
    ) -> str | Document | None:
        if sealed is not None:
            return self._sealed("act", sealed, partial(self._act, context, server_id))
        if isinstance(body, Mapping) and _SECRET_ACTIONS & body.keys():
            self._refuse_clear()
        return self._act(context, server_id, body)

    def _act(self, context: Context, server_id: str, body: object) -> str | Document | None:
        output = self._do.servers.perform(context, _text(server_id), body)
        if isinstance(output, Rebuilding):
            silent = self._do.servers.silent((output.instance,))
            return servers.rebuilding(output.instance, output.admin_password, _HERE, silent)
        return drives.refreshing(output) if isinstance(output, Begun) else output

    def find_generations(self, context: Context, server_id: str) -> list[Document]:
        instance, kept = self._do.drives.generations(context, _text(server_id))
        return [drives.generation(one, instance) for one in kept]

    def compare_generations(self, context: Context, server_id: str, pair: str) -> list[Document]:
        found = self._do.drives.compare(context, _text(server_id), _text(pair))
        return [drives.difference(one) for one in found]

    def diff_server(self, context: Context, server_id: str) -> list[Document]:
        return [drives.difference(one) for one in self._do.drives.differences(context, _text(server_id))]

    def verify_server(self, context: Context, server_id: str) -> Document:
        return drives.inspection(server_id, self._do.drives.verify(context, _text(server_id)))

    def show_receipt(self, context: Context, server_id: str) -> Document:
        return servers.receipt(server_id, self._do.servers.receipt(context, _text(server_id)))

    def show_metadata(self, context: Context, server_id: str) -> Document:
        return dict(self._do.servers.metadata(context, _text(server_id)))

    def set_metadata(self, context: Context, server_id: str, body: object, replace: bool) -> Document:
        change = self._do.servers.replace_metadata if replace else self._do.servers.merge_metadata
        return dict(change(context, _text(server_id), body))

    def delete_metadata(self, context: Context, server_id: str, key: str) -> None:
        self._do.servers.delete_metadata_item(context, _text(server_id), _text(key))

    # key pairs

    def create_keypair(self, context: Context, body: object) -> Document:
        return keypairs.created(self._do.keypairs.create(context, body), _HERE)

    def find_keypairs(self, context: Context, parameters: Mapping[str, Any]) -> list[Document]:
        return _seen(self._do.keypairs.find(context, _texts(parameters)), keypairs.brief)

    def show_keypair(self, context: Context, name: str) -> Document:
        return keypairs.detail(self._do.keypairs.show(context, _text(name)), _HERE)

    def delete_keypair(self, context: Context, name: str) -> None:
        self._do.keypairs.delete(context, _text(name))

    # flavors

    def create_flavor(self, body: object) -> Document:
        return flavors.detail(self._do.flavors.create(body), _HERE)

    def find_flavors(self, parameters: Mapping[str, Any]) -> list[Document]:
        return _seen(self._do.flavors.find(_texts(parameters)), flavors.detail)

    def show_flavor(self, flavor_id: str) -> Document:
        return flavors.detail(self._do.flavors.show(_text(flavor_id)), _HERE)

    def delete_flavor(self, flavor_id: str) -> None:
        self._do.flavors.delete(_text(flavor_id))

    # images

    def create_image(self, context: Context, body: object) -> Document:
        return images.detail(self._do.images.create(context, body))

    def find_images(self, context: Context, parameters: Mapping[str, Any]) -> list[Document]:
        _, found = self._do.images.find(context, _texts(parameters))
        facts = self._do.images.facts(found)
        return [images.detail(image, facts.get(image.id)) for image in found]

    def show_image(self, context: Context, image_id: str) -> Document:
        image = self._do.images.show(context, _text(image_id))
        return images.detail(image, self._do.images.facts([image]).get(image.id))

    def delete_image(self, context: Context, image_id: str) -> None:
        self._do.images.delete(context, _text(image_id))

    # networks

    def create_network(self, context: Context, body: object) -> Document:
        return networks.detail(self._do.networks.create(context, body))

    def find_networks(self, context: Context, parameters: Mapping[str, Any]) -> list[Document]:
        _, found = self._do.networks.find(context, _texts(parameters))
        return [networks.detail(network) for network in found]

    def show_network(self, context: Context, network_id: str) -> Document:
        return networks.detail(self._do.networks.show(context, _text(network_id)))

    def delete_network(self, context: Context, network_id: str) -> None:
        self._do.networks.delete(context, _text(network_id))

    # hosts and limits

    def find_hosts(self, parameters: Mapping[str, Any] | None = None) -> list[Document]:
        _, found = self._do.hosts.find(_texts(parameters or {}))
        return [hosts.detail(host, self._do.hosts.down_after) for host in found]

    def show_host(self, name: str) -> Document:
        return hosts.detail(self._do.hosts.show(_text(name)), self._do.hosts.down_after)

    def enable_host(self, context: Context, name: str) -> Document:
        return hosts.detail(self._do.hosts.enable(context, _text(name)), self._do.hosts.down_after)

    def disable_host(self, context: Context, name: str, reason: object = None) -> Document:
        return hosts.detail(self._do.hosts.disable(context, _text(name), reason), self._do.hosts.down_after)

    def drain_host(self, context: Context, name: str, reason: object = None) -> list[str]:
        return list(self._do.hosts.drain(context, _text(name), reason))

    def evacuate_host(self, context: Context, name: str) -> list[str]:
        return list(self._do.hosts.evacuate(context, _text(name)))

    def forget_host(self, context: Context, name: str) -> None:
        self._do.hosts.forget(context, _text(name))

    def show_limits(self, context: Context) -> Document:
        return limits.absolute(self._do.limits.quotas, self._do.limits.used(context), _HERE)


def _seen(found: tuple[Any, ...], view: Callable[[Any, Viewpoint], Document]) -> list[Document]:
    return [view(one, _HERE) for one in found]


def _text(value: object) -> str:
    """An id or a name: the bus carries any JSON value, and the database would stumble over some."""
    if not isinstance(value, str) or _UNKEPT.search(value):
        raise InvalidRequest("An id or a name must be text, without NUL characters.")
    return value


def _texts(parameters: object) -> dict[str, str]:
    if not isinstance(parameters, Mapping):
        raise InvalidRequest("The parameters of a list must be a mapping.", field="parameters")
    return {_text(name): _text(value) for name, value in parameters.items()}
