"""``local://``: an oslo.messaging driver whose broker is this process.

Every transport of one URL (``local://``, or ``local:///name``) shares one broker. Messages travel as JSON text,
written by the serialiser of the library's own drivers: what RabbitMQ could not carry is refused here too, and no two
sides ever hold the same object. Listeners and callers block on queues; nobody looks twice. (``fake://`` sleeps 50 ms
between looks.)

A message nobody listens for is refused at once, where ``fake://`` keeps it and RabbitMQ drops it and lets the caller
wait for its timeout: all listeners live in this process, so there is nobody to wait for. A fan-out to nobody is no
error. ``call_monitor_timeout`` is met without heartbeats: a server here cannot die without its caller.
"""

from __future__ import annotations

import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from oslo_serialization import jsonutils

from injector.rpc.native import driver_base, driver_common, messaging

OUTSIDE = "local:// exists only inside `injector serve`; use the REST API or a rabbit:// transport_url"

Address = tuple[str, str]


class NobodyListens(messaging.MessageDeliveryFailure):  # type: ignore[misc]
    """The message was refused: no listener of this process takes it. The text is fit for users."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as text, and where its reply goes (None for a cast)."""

    text: str
    reply: queue.SimpleQueue[str] | None


class Incoming(driver_base.RpcIncomingMessage):  # type: ignore[misc]
    """A message as the server's dispatcher takes it."""

    def __init__(self, delivery: Delivery, inbox: Inbox) -> None:
        letter = jsonutils.loads(delivery.text)
        super().__init__(letter["context"], letter["message"])
        self._delivery = delivery
        self._inbox = inbox

    def reply(self, reply: Any = None, failure: Any = None) -> None:
        if self._delivery.reply is not None:
            self._delivery.reply.put(_reply_text(reply, failure))

    def requeue(self) -> None:
        self._inbox.put(self._delivery)

    def heartbeat(self) -> None:
        """Nothing to say: the caller lives in this process."""


def _reply_text(reply: Any, failure: Any) -> str:
    """A reply that is no JSON becomes a failure: without any, the caller would wait for its whole timeout."""
    if failure is None:
        try:
            return str(jsonutils.dumps({"result": reply}))
        except (TypeError, ValueError):
            failure = sys.exc_info()
    return str(jsonutils.dumps({"failure": driver_common.serialize_remote_exception(failure)}))


class Inbox(driver_base.PollStyleListener):  # type: ignore[misc]
    """What one listener has been given and not yet taken."""

    def __init__(self, broker: Broker, address: Address, server: str) -> None:
        super().__init__()
        self.address = address
        self.server = server
        self._broker = broker
        self._waiting: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._stopped = False
        broker.attach(self)

    def put(self, delivery: Delivery) -> None:
        self._waiting.put(delivery)

    @driver_base.batch_poll_helper  # type: ignore[untyped-decorator]
    def poll(self, timeout: float | None = None) -> Incoming | None:
        try:
            delivery = self._waiting.get(block=not self._stopped, timeout=timeout)
        except queue.Empty:
            return None
        return None if delivery is None else Incoming(delivery, self)

    def stop(self) -> None:
        """Take nothing new and wake the poller; what is here already can still be polled."""
        self._broker.detach(self)
        self._stopped = True
        self._waiting.put(None)

    def cleanup(self) -> None:
        self._broker.detach(self)


class Broker:
    """The listeners of one virtual host, each topic's in the order in which their turn comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._topics: dict[Address, deque[Inbox]] = {}

    def attach(self, inbox: Inbox) -> None:
        with self._lock:
            self._topics.setdefault(inbox.address, deque()).append(inbox)

    def detach(self, inbox: Inbox) -> None:
        """Forget a listener; after this returns it is given nothing. Harmless when repeated."""
        with self._lock:
            inboxes = self._topics.get(inbox.address, deque())
            if inbox in inboxes:
                inboxes.remove(inbox)
            if not inboxes:
                self._topics.pop(inbox.address, None)

    def has_listeners(self) -> bool:
        return bool(self._topics)

    def give_all(self, address: Address, delivery: Delivery) -> None:
        with self._lock:
            for inbox in self._topics.get(address, ()):
                inbox.put(delivery)

    def give_one(self, address: Address, server: str | None, delivery: Delivery) -> bool:
        """Give it to the listener whose turn it is, of those with this server name; False when there is none."""
        with self._lock:
            inboxes = self._topics.get(address, deque())
            chosen = next((inbox for inbox in inboxes if server in (None, inbox.server)), None)
            if chosen is None:
                return False
            inboxes.remove(chosen)
            inboxes.append(chosen)
            chosen.put(delivery)
            return True


# A broker lives as long as a transport or a listener holds it.
_brokers: weakref.WeakValueDictionary[str, Broker] = weakref.WeakValueDictionary()
_brokers_lock = threading.Lock()


def broker_of(virtual_host: str | None) -> Broker:
    """The one broker of this virtual host in this process."""
    with _brokers_lock:
        broker = _brokers.get(virtual_host or "")
        if broker is None:
            broker = _brokers[virtual_host or ""] = Broker()
        return broker


class LocalDriver(driver_base.BaseDriver):  # type: ignore[misc]
    """The driver behind ``local://``; RPC only."""

    def __init__(
        self,
        conf: Any,
        url: Any,
        default_exchange: str | None = None,
        allowed_remote_exmods: Sequence[str] | None = None,
    ) -> None:
        super().__init__(conf, url, default_exchange, allowed_remote_exmods)
        if url.hosts:
            raise messaging.InvalidTransportURL(str(url), "local:// takes no host: local:// or local:///name")
        self._broker = broker_of(url.virtual_host)

    def _address(self, target: Any) -> Address:
        return (target.exchange or self._default_exchange or "", target.topic)

    def send(
        self,
        target: Any,
        ctxt: dict[str, Any],
        message: dict[str, Any],
        wait_for_reply: bool | None = None,
        timeout: float | None = None,
        call_monitor_timeout: float | None = None,  # noqa: ARG002
        retry: int | None = None,  # noqa: ARG002
        transport_options: Any = None,  # noqa: ARG002
    ) -> Any:
        """Hand the message over; with ``wait_for_reply`` block until the reply, or MessagingTimeout."""
        text = jsonutils.dumps({"context": ctxt, "message": message})
        reply: queue.SimpleQueue[str] | None = queue.SimpleQueue() if wait_for_reply else None
        self._deliver(target, Delivery(text, reply))
        return None if reply is None else self._await(target, reply, timeout)

    def _deliver(self, target: Any, delivery: Delivery) -> None:
        if not self._broker.has_listeners():
            raise NobodyListens(OUTSIDE)
        if target.fanout:
            self._broker.give_all(self._address(target), delivery)
        elif not self._broker.give_one(self._address(target), target.server, delivery):
            where = f"{target.topic} on {target.server}" if target.server else target.topic
            raise NobodyListens(f"nobody listens for {where}")

    def _await(self, target: Any, reply: queue.SimpleQueue[str], timeout: float | None) -> Any:
        try:
            answer = jsonutils.loads(reply.get(timeout=timeout))
        except queue.Empty:
            raise messaging.MessagingTimeout(f"no reply from {target.topic} within {timeout} s") from None
        if "failure" in answer:
            raise driver_common.deserialize_remote_exception(answer["failure"], self._allowed_remote_exmods)
        return answer["result"]

    def listen(self, target: Any, batch_size: int, batch_timeout: float | None) -> Any:
        inbox = Inbox(self._broker, self._address(target), target.server)
        return driver_base.PollStyleListenerAdapter(inbox, batch_size, batch_timeout)

    def send_notification(
        self, target: Any, ctxt: Any, message: Any, version: float, retry: int | None = None
    ) -> NoReturn:
        raise NotImplementedError("local:// carries RPC only, no notifications")

    def listen_for_notifications(
        self, targets_and_priorities: Any, pool: str | None, batch_size: int, batch_timeout: float | None
    ) -> NoReturn:
        raise NotImplementedError("local:// carries RPC only, no notifications")

    def cleanup(self) -> None:
        """Nothing is held but the broker; listeners belong to their servers."""
