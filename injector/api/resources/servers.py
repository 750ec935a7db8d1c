"""``/servers``: create, list, show, delete, actions and the receipt."""

from __future__ import annotations

from collections.abc import Callable

from falcon import Response

from injector.api.http import ApiRequest, answer, done
from injector.api.operations.drives import Begun
from injector.api.operations.repeat import HEADER, with_header
from injector.api.operations.servers import Rebuilding, Servers
from injector.api.views import servers as views
from injector.api.views.drives import refreshing
from injector.api.views.viewpoint import Document, Viewpoint
from injector.model.instance import Instance

_View = Callable[[Instance, Viewpoint, frozenset[str]], Document]


class ServerResource:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def on_post_collection(self, req: ApiRequest, resp: Response) -> None:
        made = self._servers.create(req.caller, with_header(req.document(), req.get_header(HEADER)))
        resp.location = f"{req.prefix}/v2.1/servers/{made.instances[0].id}"
        if made.wants_reservation:
            answer(resp, {"reservation_id": made.reservation_id}, 202)
        else:
            answer(resp, {"server": views.created(made.instances, made.admin_password, req.seen)}, 202)

    def on_get_collection(self, req: ApiRequest, resp: Response) -> None:
        self._list(req, resp, lambda instance, seen, _silent: views.brief(instance, seen))

    def on_get_detail(self, req: ApiRequest, resp: Response) -> None:
        self._list(req, resp, views.detail)

    def _list(self, req: ApiRequest, resp: Response, view: _View) -> None:
        found = self._servers.find(req.caller, req.parameters)
        document: Document = {"servers": [view(instance, req.seen, found.silent) for instance in found.instances]}
        if found.instances and len(found.instances) == found.asked.limit:
            document["servers_links"] = req.seen.next_page(req.path, req.parameters, found.instances[-1].id)
        answer(resp, document)

    def on_get(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        instance = self._servers.show(req.caller, server_id)
        answer(resp, {"server": views.detail(instance, req.seen, self._servers.silent((instance,)))})

    def on_delete(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        self._servers.delete(req.caller, server_id)
        done(resp)

    def on_post_action(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        output = self._servers.perform(req.caller, server_id, req.document())
        if output is None:
            done(resp, 202)
        elif isinstance(output, Begun):
            answer(resp, {"refresh": refreshing(output)}, 202)
        elif isinstance(output, Rebuilding):
            resp.location = f"{req.prefix}/v2.1/servers/{server_id}"
            silent = self._servers.silent((output.instance,))
            shown = views.rebuilding(output.instance, output.admin_password, req.seen, silent)
            answer(resp, {"server": shown}, 202)
        else:
            answer(resp, {"output": output})

    def on_get_receipt(self, req: ApiRequest, resp: Response, server_id: str) -> None:
        answer(resp, {"receipt": views.receipt(server_id, self._servers.receipt(req.caller, server_id))})
