"""``/`` and ``/v2.1/``: version documents, for everybody."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer
from injector.api.views import versions as views


class VersionResource:
    def on_get_all(self, req: ApiRequest, resp: Response) -> None:
        answer(resp, {"versions": [views.entry(req.prefix)]})

    def on_get(self, req: ApiRequest, resp: Response) -> None:
        answer(resp, {"version": views.detail(req.prefix)})
