"""``/injector-hosts``: what the computes are and can carry."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer
from injector.api.operations.hosts import Hosts
from injector.api.views import hosts as views


class HostResource:
    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def on_get_collection(self, _req: ApiRequest, resp: Response) -> None:
        answer(resp, {"hosts": [views.detail(host) for host in self._hosts.all()]})

    def on_get(self, _req: ApiRequest, resp: Response, name: str) -> None:
        answer(resp, {"host": views.detail(self._hosts.show(name))})
