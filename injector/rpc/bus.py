"""The road between stations: calls and casts over oslo.messaging, with the house's own errors and request context.

``local://`` joins the stations of one process, ``rabbit://`` those of many. What holds on both:

* A call blocks until the answer; two calls one after the other from one thread are handled in that order.
* A cast returns when the bus has taken it. Casts may be handled in any order, by several workers at once.
* A message is handled at most once. It is acknowledged before it is handled: a service killed then has lost it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn, Protocol, Self

from injector.errors import BusUnavailable, InjectorError, InternalError, VersionMismatch
from injector.model.context import Context
from injector.rpc.endpoint import Endpoint, Gate, open_envelope, pack_context, refuse_unless_plain
from injector.rpc.local import OUTSIDE, NobodyListens, broker_of
from injector.rpc.native import RPCServer, library_options, look_often, messaging, metrics_options, tracing_options
from injector.rpc.scope import current_context

LOG = logging.getLogger(__name__)

# Not the library's default "openstack": on a shared broker, messages for others' topics stay theirs.
EXCHANGE = "injector"
DEFAULT_WORKERS = 8
# Reconnections to a broker before a message is given up; None would block the caller for as long as it is down.
SEND_RETRIES = 1


class Options(Protocol):
    """The part of oslo.config's ConfigOpts used here."""

    def register_opts(self, opts: Sequence[Any], group: str | None = None) -> None: ...


def stays_inside(conf: Options) -> bool:
    """Whether the configured bus is this process's own; BusUnavailable when nobody can tell."""
    return bool(_parse(conf, None).transport == "local")


def _parse(conf: Options, url: str | None) -> Any:
    """The configured address when ``url`` is None.

    The library quotes what it takes for a port, which is half a password if that has a ``/`` in it.
    """
    try:
        return messaging.TransportURL.parse(conf, url)
    except ValueError:
        message = "transport_url cannot be read: want driver://user:password@host:port/, the password %-encoded"
        raise BusUnavailable(message, field="transport_url") from None
    except (messaging.DriverLoadFailure, messaging.InvalidTransportURL) as error:
        raise BusUnavailable(f"transport_url cannot be used: {error}", field="transport_url") from error


class Server:
    """An endpoint being served. Stop it, then wait for it."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def stop(self) -> None:
        """Take no new messages; returns at once, while those taken are still being handled."""
        self._server.stop()

    def wait(self) -> None:
        """Block until every message taken before ``stop`` has been handled and answered."""
        self._server.wait()


class Bus:
    """One connection to the message bus, for any number of threads."""

    def __init__(self, transport: Any, *, remote: bool) -> None:
        self._transport = transport
        self.remote = remote
        """Whether messages pass through a broker, where others may see them."""
        self._client = messaging.get_rpc_client(transport, messaging.Target(exchange=EXCHANGE), retry=SEND_RETRIES)
        self._servers: list[Server] = []
        self._reached = not remote

    @classmethod
    def register(cls, conf: Options) -> None:
        """Make ``transport_url`` and its like known before the configuration is parsed."""
        for group, options in library_options():
            if group is None:
                conf.register_opts(options)

    @classmethod
    def open(cls, conf: Options, url: str | None = None) -> Self:
        """For a station, which may serve as well as call; without ``url``, the configured ``transport_url``."""
        # The library registers these on the global CONF only, yet reads them from the one it is given.
        conf.register_opts(metrics_options, group="oslo_messaging_metrics")
        conf.register_opts(tracing_options, group="oslo_messaging_tracing")
        address = _parse(conf, url)
        try:
            transport = messaging.get_rpc_transport(conf, address)
        except (messaging.DriverLoadFailure, messaging.InvalidTransportURL) as error:
            raise BusUnavailable(f"transport_url cannot be used: {error}", field="transport_url") from error
        remote = address.transport != "local"
        if remote:
            look_often()
        return cls(transport, remote=remote)

    @classmethod
    def connect(cls, conf: Options, url: str | None = None) -> Self:
        """For a program that only calls; BusUnavailable at once when ``local://`` is not served in this process."""
        bus = cls.open(conf, url)
        address = _parse(conf, url)
        if address.transport == "local" and not broker_of(address.virtual_host).has_listeners():
            raise BusUnavailable(OUTSIDE, field="transport_url")
        return bus

    def serve(self, topic: str, server: str, endpoint: Endpoint, *, workers: int = DEFAULT_WORKERS) -> Server:
        """Answer messages for ``topic`` (in turn with other servers of it) and for this ``server`` of it.

        ``workers`` native threads at most, started as they are needed. A broker that is down is waited for.
        """
        target = messaging.Target(exchange=EXCHANGE, topic=topic, server=server)
        gate = Gate(topic, endpoint, messaging.Target(version=endpoint.version))
        running = messaging.get_rpc_server(
            self._transport,
            target,
            [gate],
            access_policy=messaging.ExplicitRPCAccessPolicy,
            server_cls=_NativeServer,
        )
        running.start(override_pool_size=workers)
        served = Server(running)
        self._servers.append(served)
        return served

    def call(
        self,
        topic: str,
        method: str,
        /,
        *,
        version: str,
        server: str | None = None,
        timeout: float | None = None,
        context: Context | None = None,
        **arguments: object,
    ) -> Any:
        """Ask and wait for the answer: on ``server``, or on the topic's server whose turn it is.

        ``version`` is the least the far side must offer. ``timeout`` in seconds; None is ``rpc_response_timeout``.
        ``context`` None is the request this thread works for, or else a new one.

        Raises what the endpoint raised, if it is an InjectorError; InternalError for anything else it raised;
        BusUnavailable when nobody answers (whether it was done is then unknown); VersionMismatch;
        TypeError for arguments that are no plain JSON values.
        """
        refuse_unless_plain(arguments, f"{topic} {method}")
        prepared = self._client.prepare(topic=topic, version=version, server=server, timeout=timeout)
        self.reach()
        with _errors_of_the_bus(topic, method, server):
            reply = prepared.call(_context(context, is_cast=False), method, **arguments)
        return open_envelope(reply)

    def cast(
        self,
        topic: str,
        method: str,
        /,
        *,
        version: str,
        server: str | None = None,
        context: Context | None = None,
        **arguments: object,
    ) -> None:
        """Hand a message over and go on; what the endpoint raises is only logged there."""
        refuse_unless_plain(arguments, f"{topic} {method}")
        prepared = self._client.prepare(topic=topic, version=version, server=server)
        with _errors_of_the_bus(topic, method, server):
            prepared.cast(_context(context, is_cast=True), method, **arguments)

    def broadcast(
        self, topic: str, method: str, /, *, version: str, context: Context | None = None, **arguments: object
    ) -> None:
        """Cast to every server of the topic; to none, when there is none."""
        refuse_unless_plain(arguments, f"{topic} {method}")
        prepared = self._client.prepare(topic=topic, version=version, fanout=True)
        with _errors_of_the_bus(topic, method, None):
            prepared.cast(_context(context, is_cast=True), method, **arguments)

    def close(self) -> None:
        """Stop and drain what this bus serves, the last served first, and let the connection go."""
        while self._servers:
            served = self._servers.pop()
            served.stop()
            served.wait()
        self._transport.cleanup()

    def reach(self) -> None:
        """Prove the broker once, in bounded time, before the first call; BusUnavailable when it does not answer.

        The library connects the queue for replies with retries without end, whatever ``retry`` says; a message to a
        topic nobody has is bounded, and dropped by the broker.
        """
        if not self._reached:
            with _errors_of_the_bus("the broker", "reach", None):
                self._client.prepare(topic=f"{EXCHANGE}-nobody").cast({}, "reach")
            self._reached = True


class _NativeServer(RPCServer):  # type: ignore[misc]
    """The library's server on the standard library's pool.

    The library's own pool starts a thread for each message until it is full, wakes each of them every second, and
    takes up to a second to end.
    """

    def __init__(self, transport: Any, target: Any, dispatcher: Any, executor: str | None = None) -> None:
        super().__init__(transport, target, dispatcher, executor)
        self._executor_cls = partial(ThreadPoolExecutor, thread_name_prefix=target.topic)


def _context(context: Context | None, *, is_cast: bool) -> dict[str, Any]:
    return pack_context(context or current_context() or Context(), is_cast=is_cast)


@contextmanager
def _errors_of_the_bus(topic: str, method: str, server: str | None) -> Iterator[None]:
    """Whatever goes wrong between here and the endpoint, as an error of the house."""
    where = f"{topic} on {server}" if server else topic
    try:
        yield
    except NobodyListens as error:
        raise BusUnavailable(str(error)) from error
    except messaging.MessagingTimeout as error:
        raise BusUnavailable(f"{where} did not answer {method} in time; it may have been done") from error
    except messaging.RemoteError as error:
        _raise_refusal(where, method, error)
    except Exception as error:
        # RabbitMQ's own library speaks through some calls undisguised, so no list of classes would be complete;
        # arguments were checked before, and the endpoint's errors travel in envelopes.
        raise BusUnavailable("the message bus does not answer", detail=f"{where} {method}: {error!r}") from error


def _raise_refusal(where: str, method: str, error: Any) -> NoReturn:
    """The far side's dispatcher did not hand the message to the endpoint."""
    refusal: InjectorError
    if error.exc_type == "UnsupportedVersion":
        refusal = VersionMismatch(f"{where} is of another release and does not offer {method} as asked: {error.value}")
    elif error.exc_type == "NoSuchMethod":
        refusal = InternalError(f"{where} has no operation {method}")
    else:
        refusal = InternalError(f"{where} failed before {method} began", detail=str(error))
    raise refusal from error
