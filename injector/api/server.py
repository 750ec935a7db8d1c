"""The embedded HTTP servers: one on a Unix socket whose permissions are its credential, one on TCP behind the token."""

from __future__ import annotations

import contextlib
import grp
import logging
import math
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

from cheroot import wsgi

from injector.api.app import WsgiApp, make_app
from injector.api.auth import OpenDoor, TokenDoor
from injector.api.operations import Operations
from injector.api.slow import Connection
from injector.errors import HostError
from injector.model.secret import Secret
from injector.settings import ApiSettings

LOG = logging.getLogger(__name__)

_SOCKET_MODE = 0o660
_HEADER_BYTES = 64 * 1024
_BACKLOG = 128
_DRAINED = 4 * 1024 * 1024
_DRAIN_SECONDS = 2.0
_PIECE = 64 * 1024


class _Gateway(wsgi.Gateway_10):
    """Ends the connection where a body was not read to its end.

    Cheroot would read the rest into memory at once, however long the caller (who may have no token) said it is.
    A little of it is read nevertheless: a client that still sends would not see its answer. Nothing for one without
    a credential: it could hold our threads by sending slowly.
    """

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self._leave_nothing_unread(status.startswith("401"))
        return super().start_response(status, headers, exc_info)

    def _leave_nothing_unread(self, stranger: bool) -> None:
        if self.req.chunked_read:
            self.req.close_connection |= not self.req.rfile.closed
            return
        budget = 0 if stranger else _DRAINED
        with contextlib.suppress(OSError), self.req.conn.within(_DRAIN_SECONDS):
            while self.req.rfile.remaining > 0 and budget > 0 and self.req.rfile.read(_PIECE):
                budget -= _PIECE
        if self.req.rfile.remaining > 0:
            self.req.close_connection = True
            self.req.rfile.remaining = 0


class _Server(wsgi.Server):
    """Cheroot, with our gateway, our connections, our log and a Unix socket that is never open to everybody."""

    ConnectionClass = Connection
    group: str | None = None
    max_request_header_size = _HEADER_BYTES

    def __init__(self, address: str | tuple[str, int], app: WsgiApp, threads: int, shutdown_timeout: float) -> None:
        super().__init__(
            address,
            app,
            numthreads=threads,
            server_name="injector",
            request_queue_size=_BACKLOG,
            shutdown_timeout=math.ceil(shutdown_timeout),
        )
        self.gateway = _Gateway

    @property
    def place(self) -> str:
        if isinstance(self.bind_addr, str):
            return f"unix:{self.bind_addr}"
        host, port = self.bind_addr[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        LOG.log(level, "%s", msg, exc_info=traceback)

    def stop(self) -> None:
        """Answer what is under way, and take nothing new; the socket's name is gone then."""
        if not self.ready:
            return
        address, family = self.bind_addr, self.socket.family
        waker = threading.Thread(target=self._wake, args=(family, address), daemon=True)
        waker.start()
        super().stop()
        waker.join()
        if isinstance(address, str):
            Path(address).unlink(missing_ok=True)

    def _wake(self, family: socket.AddressFamily, address: Any) -> None:
        """Cheroot's listener looks twice a second whether it is to end; a caller at the door makes it look now."""
        while self.ready:
            time.sleep(0.001)
        time.sleep(0.005)
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(1.0)
            knocking.connect(address)

    def bind_unix_socket(self, bind_addr: str) -> socket.socket:
        """In place of cheroot's own, which makes it 0777 and takes a running daemon's socket away from it."""
        _clear_way(Path(bind_addr))
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listening.fileno(), _SOCKET_MODE)
            listening.bind(bind_addr)
            _give_to(Path(bind_addr), self.group)
            os.chmod(bind_addr, _SOCKET_MODE)  # the umask took from what fchmod gave
        except OSError as error:
            listening.close()
            raise HostError("the API's socket cannot be made", field="[api] socket", detail=str(error)) from error
        self.socket = listening
        return listening


def _clear_way(path: Path) -> None:
    """Remove the socket of a daemon that is gone; HostError when one answers, or it is no socket."""
    path.parent.mkdir(0o755, exist_ok=True)
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise HostError("there is a file where the API's socket should be", field="[api] socket", detail=str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(1.0)
        if knocking.connect_ex(str(path)) == 0:
            raise HostError("another injector answers on the API's socket", field="[api] socket", detail=str(path))
    path.unlink(missing_ok=True)


def _give_to(path: Path, group: str | None) -> None:
    if group is None:
        return
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError):
        LOG.warning("the API's socket is for our own group only: there is no group %s, or we are not in it", group)


class ApiServer:
    """Both servers, from ``start`` to ``stop``."""

    def __init__(
        self, operations: Operations, settings: ApiSettings, token: str, shutdown_timeout: float = 60.0
    ) -> None:
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []
        size = settings.max_request_body_size
        if settings.socket is not None:
            unix = _Server(
                str(settings.socket), make_app(operations, OpenDoor(), size), settings.threads, shutdown_timeout
            )
            unix.group = settings.socket_group
            self._servers.append(unix)
        if settings.port is not None:
            address = (settings.host, settings.port)
            app = make_app(operations, TokenDoor(Secret(token)), size)
            self._servers.append(_Server(address, app, settings.threads, shutdown_timeout))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, for people."""
        return tuple(server.place for server in self._servers)

    @property
    def port(self) -> int | None:
        """The TCP port that was bound: the one asked for, or the one found when any would do."""
        for server in self._servers:
            if isinstance(server.bind_addr, tuple):
                return int(server.bind_addr[1])
        return None

    def start(self) -> None:
        """Listen; HostError when an address cannot be had, and then none is kept."""
        try:
            for server in self._servers:
                _prepare(server)
                thread = threading.Thread(target=server.serve, name="api-listener", daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Take no new requests, and return when those under way have been answered."""
        for server in self._servers:
            server.stop()
        for thread in self._threads:
            thread.join()
        self._threads.clear()


def _prepare(server: _Server) -> None:
    try:
        server.prepare()
    except OSError as error:
        raise HostError("the API cannot listen on its address", field="[api] host, port", detail=str(error)) from error
