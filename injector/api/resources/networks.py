"""``/networks`` in the shape of Neutron."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer, done
from injector.api.operations.networks import Networks
from injector.api.views import networks as views
from injector.api.views.viewpoint import Document


class NetworkResource:
    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def on_get_collection(self, req: ApiRequest, resp: Response) -> None:
        asked, found = self._networks.find(req.caller, req.parameters)
        document: Document = {"networks": [views.detail(network) for network in found]}
        if found and len(found) == asked.limit:
            document["networks_links"] = req.seen.next_page(req.path, req.parameters, found[-1].id)
        answer(resp, document)

    def on_post_collection(self, req: ApiRequest, resp: Response) -> None:
        answer(resp, {"network": views.detail(self._networks.create(req.caller, req.document()))}, 201)

    def on_get(self, req: ApiRequest, resp: Response, network_id: str) -> None:
        answer(resp, {"network": views.detail(self._networks.show(req.caller, network_id))})

    def on_delete(self, req: ApiRequest, resp: Response, network_id: str) -> None:
        self._networks.delete(req.caller, network_id)
        done(resp)
