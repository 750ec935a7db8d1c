"""The WSGI application: scope, door, microversion, routes, and every error as a body clients understand."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import falcon

from injector.api import faults, microversion
from injector.api.auth import Door
from injector.api.http import BODY_LIMIT, CONTEXT, ApiRequest, answer
from injector.api.operations import Operations
from injector.api.routes import ANONYMOUS, routes
from injector.errors import InjectorError, InvalidRequest
from injector.model.context import Context
from injector.model.hostile import one_line
from injector.rpc.scope import request_scope

LOG = logging.getLogger(__name__)

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_WORDS = {
    400: "The server could not comply with the request since it is malformed.",
    404: "The resource could not be found.",
    405: "The method specified is not allowed for this resource.",
    415: "Unsupported Content-Type: application/json is spoken here.",
}


def make_app(operations: Operations, door: Door, max_request_body_size: int) -> WsgiApp:
    """From the inside out: routes, error bodies, microversion, door, and around all of it the request's scope."""
    app = falcon.App(request_type=ApiRequest, middleware=[_Entrance(door)])
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(Exception, _on_bug)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(InjectorError, _on_error)
    for route in routes(operations):
        app.add_route(route.path, route.resource, suffix=route.suffix)
    return _Scope(app, max_request_body_size)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Gives each request its id: in the log lines it causes, and in the headers of its answer."""

    app: WsgiApp
    max_request_body_size: int

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        context, began = Context(), time.monotonic()
        environ[CONTEXT], environ[BODY_LIMIT] = context, self.max_request_body_size
        ids = [("x-openstack-request-id", context.request_id), ("x-compute-request-id", context.request_id)]

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            asked = one_line(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", 200)
            LOG.info("%s: %s in %.0f ms", asked, status, (time.monotonic() - began) * 1000)
            return start_response(status, [*headers, *ids], exc_info)

        with request_scope(context):
            return self.app(environ, start)


class _Entrance:
    """What every request passes before its route is looked up."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def process_request(self, req: ApiRequest, _resp: falcon.Response) -> None:
        if req.method == "GET" and req.path in ANONYMOUS:
            return
        self._door.admit(req.get_header)
        if "\0" in req.path or "%00" in req.query_string:
            raise InvalidRequest("The URL holds a NUL character, which databases do not keep.", field="url")
        req.version = microversion.negotiate(req.get_header)

    def process_response(self, req: ApiRequest, resp: falcon.Response, _resource: object, _succeeded: bool) -> None:
        if req.path.startswith("/v2.1"):
            for name, value in microversion.echo(req.version):
                resp.append_header(name, value)


def _on_error(_req: ApiRequest, resp: falcon.Response, error: InjectorError, _params: Any) -> None:
    if error.status >= 500 or error.detail:
        LOG.warning("%s: %s (%s)", type(error).__name__, error.message, error.detail or "-")
    answer(resp, faults.body(error.status, faults.sentence(error)), error.status)


def _on_http_error(_req: ApiRequest, resp: falcon.Response, error: falcon.HTTPError, _params: Any) -> None:
    """What falcon itself found: no such route, no such method, no such media type."""
    status = error.status_code
    resp.set_headers(error.headers or {})
    answer(resp, faults.body(status, _WORDS.get(status, error.title or "The request failed.")), status)


def _on_bug(req: ApiRequest, resp: falcon.Response, _error: Exception, _params: Any) -> None:
    LOG.exception("%s %s failed", req.method, one_line(req.path, 200))
    answer(resp, faults.body(500, faults.bug(req.caller.request_id)), 500)
