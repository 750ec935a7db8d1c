"""``POST /servers/injector-preview``: the body of a create call, answered with what it would do."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer
from injector.api.operations.preview import Previews
from injector.api.views import previews as views


class PreviewResource:
    def __init__(self, previews: Previews) -> None:
        self._previews = previews

    def on_post(self, req: ApiRequest, resp: Response) -> None:
        answer(resp, {"preview": views.detail(self._previews.show(req.caller, req.document()))})
