"""``/servers/{id}/metadata``: of the record; what was delivered to the guest stays as it is."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer, done
from injector.api.operations.servers import Servers


class MetadataResource:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def on_get(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        answer(resp, {"metadata": dict(self._servers.metadata(req.caller, server_id))})

    def on_post(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        answer(resp, {"metadata": dict(self._servers.merge_metadata(req.caller, server_id, req.document()))})

    def on_put(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        answer(resp, {"metadata": dict(self._servers.replace_metadata(req.caller, server_id, req.document()))})

    def on_get_item(self, req: ApiRequest, resp: Response, server_id: str, key: str) -> None:
        answer(resp, {"meta": dict(self._servers.metadata_item(req.caller, server_id, key))})

    def on_put_item(self, req: ApiRequest, resp: Response, server_id: str, key: str) -> None:
        item = self._servers.set_metadata_item(req.caller, server_id, key, req.document())
        answer(resp, {"meta": dict(item)})

    def on_delete_item(self, req: ApiRequest, resp: Response, server_id: str, key: str) -> None:
        self._servers.delete_metadata_item(req.caller, server_id, key)
        done(resp)
