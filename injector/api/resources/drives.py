"""``/servers/{id}/injector-generations``, ``injector-verify``, ``injector-diff``: the config drives of a server."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer
from injector.api.operations.drives import Drives
from injector.api.views import drives as views
from injector.errors import InvalidRequest


class DriveResource:
    def __init__(self, drives: Drives) -> None:
        self._drives = drives

    def on_get_generations(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        unknown = set(req.parameters) - {"compare"}
        if unknown:
            raise InvalidRequest("Generations are only asked for with 'compare'.", field=sorted(unknown)[0][:40])
        if "compare" in req.parameters:
            found = self._drives.compare(req.caller, server_id, req.parameters["compare"])
            answer(resp, {"differences": [views.difference(one) for one in found]})
            return
        instance, kept = self._drives.generations(req.caller, server_id)
        answer(resp, {"generations": [views.generation(one, instance) for one in kept]})

    def on_get_diff(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        found = self._drives.differences(req.caller, server_id)
        answer(resp, {"differences": [views.difference(one) for one in found]})

    def on_get_verify(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        answer(resp, {"verify": views.inspection(server_id, self._drives.verify(req.caller, server_id))})
