"""``/os-keypairs``; status codes changed with 2.2."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer, done
from injector.api.operations.keypairs import KeyPairs
from injector.api.views import keypairs as views


class KeyPairResource:
    def __init__(self, keypairs: KeyPairs) -> None:
        self._keypairs = keypairs

    def on_get_collection(self, req: ApiRequest, resp: Response) -> None:
        found = self._keypairs.find(req.caller, req.parameters)
        answer(resp, {"keypairs": [{"keypair": views.brief(keypair, req.seen)} for keypair in found]})

    def on_post_collection(self, req: ApiRequest, resp: Response) -> None:
        keypair = self._keypairs.create(req.caller, req.document())
        answer(resp, {"keypair": views.created(keypair, req.seen)}, 201 if req.seen.since(2) else 200)

    def on_get(self, req: ApiRequest, resp: Response, name: str) -> None:
        answer(resp, {"keypair": views.detail(self._keypairs.show(req.caller, name), req.seen)})

    def on_delete(self, req: ApiRequest, resp: Response, name: str) -> None:
        self._keypairs.delete(req.caller, name)
        done(resp, 204 if req.seen.since(2) else 202)
