"""``/limits``."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer
from injector.api.operations.usage import UsedLimits
from injector.api.views.limits import absolute


class LimitsResource:
    def __init__(self, limits: UsedLimits) -> None:
        self._limits = limits

    def on_get(self, req: ApiRequest, resp: Response) -> None:
        shown = absolute(self._limits.quotas, self._limits.used(req.caller), req.seen)
        answer(resp, {"limits": {"rate": [], "absolute": shown}})
