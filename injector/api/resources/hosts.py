"""``/injector-hosts``: what the computes are, can carry and have promised, and what is to become of them."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer, done
from injector.api.operations.hosts import Hosts, Moved
from injector.api.views import hosts as views
from injector.api.views.viewpoint import Document
from injector.model.host import HostRecord


class HostResource:
    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def on_get_collection(self, req: ApiRequest, resp: Response) -> None:
        asked, found = self._hosts.find(req.parameters)
        document: Document = {"hosts": [self._view(host) for host in found]}
        if found and len(found) == asked.limit:
            document["hosts_links"] = req.seen.next_page(req.path, req.parameters, found[-1].facts.name)
        answer(resp, document)

    def on_get(self, _req: ApiRequest, resp: Response, name: str) -> None:
        answer(resp, {"host": self._view(self._hosts.show(name))})

    def on_delete(self, req: ApiRequest, resp: Response, name: str) -> None:
        self._hosts.forget(req.caller, name)
        done(resp)

    def on_post_action(self, req: ApiRequest, resp: Response, name: str) -> None:
        output = self._hosts.perform(req.caller, name, req.document())
        if isinstance(output, Moved):
            answer(resp, {"servers": list(output.server_ids)}, 202)
        else:
            answer(resp, {"host": self._view(output)})

    def on_get_zones(self, _req: ApiRequest, resp: Response) -> None:
        zones = self._hosts.zones()
        answer(resp, {"availabilityZoneInfo": [views.zone(name, zones[name]) for name in sorted(zones)]})

    def _view(self, host: HostRecord) -> Document:
        return views.detail(host, self._hosts.down_after)
