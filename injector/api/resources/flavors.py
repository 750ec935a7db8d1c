"""``/flavors``."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer, done
from injector.api.operations.flavors import Flavors
from injector.api.views import flavors as views


class FlavorResource:
    def __init__(self, flavors: Flavors) -> None:
        self._flavors = flavors

    def on_get_collection(self, req: ApiRequest, resp: Response) -> None:
        found = self._flavors.find(req.parameters)
        answer(resp, {"flavors": [views.brief(flavor, req.seen) for flavor in found]})

    def on_get_detail(self, req: ApiRequest, resp: Response) -> None:
        found = self._flavors.find(req.parameters)
        answer(resp, {"flavors": [views.detail(flavor, req.seen) for flavor in found]})

    def on_post_collection(self, req: ApiRequest, resp: Response) -> None:
        answer(resp, {"flavor": views.detail(self._flavors.create(req.document()), req.seen)})

    def on_get(self, req: ApiRequest, resp: Response, flavor_id: str) -> None:
        answer(resp, {"flavor": views.detail(self._flavors.show(flavor_id), req.seen)})

    def on_get_extra_specs(self, _req: ApiRequest, resp: Response, flavor_id: str) -> None:
        answer(resp, {"extra_specs": dict(self._flavors.show(flavor_id).extra_specs)})

    def on_delete(self, _req: ApiRequest, resp: Response, flavor_id: str) -> None:
        self._flavors.delete(flavor_id)
        done(resp, 202)
