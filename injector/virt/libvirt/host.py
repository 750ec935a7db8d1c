"""The one door to libvirt: a connection that cannot hang the daemon, its domains, and its errors in our words."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from injector.errors import HostError, HypervisorDown, HypervisorRefused, NoSpace
from injector.model.hostile import one_line
from injector.model.instance import State
from injector.virt.libvirt.domain.element import element
from injector.virt.libvirt.domain.mark import Mark

LOG = logging.getLogger(__name__)

_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN})
_DOWN = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    }
)
_TRANSPORT = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
_PATH = re.compile(r"(?<![\w.])/[^\s'\",:;()]+")
_MONITOR_SECONDS = 10.0
# libvirt itself gives the guest some seconds to let go of a medium.
_MEDIUM_SECONDS = 60.0
_AGENT_REPLY_LIMIT = 1024 * 1024
_CHUNK = 64 * 1024

_Answer = TypeVar("_Answer")

_loop_lock = threading.Lock()
_loop_running = False


_PASSING = frozenset(
    {
        libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
        libvirt.VIR_DOMAIN_PAUSED_SAVE,
        libvirt.VIR_DOMAIN_PAUSED_DUMP,
        libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT,
        libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
        libvirt.VIR_DOMAIN_PAUSED_POSTCOPY,
    }
)
"""Pauses that libvirt makes in the midst of something else, and ends by itself."""

_AFTER: Mapping[int, State | None] = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: State.ACTIVE,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: State.ACTIVE,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: State.ACTIVE,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: State.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: State.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: State.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: None,
}
"""What an event leaves. A SHUTDOWN is not among them: a guest that has powered off is STOPPED a moment later."""

Event = Callable[[str, State | None], None]
"""Called with the id of a domain, whoever's, and what it became; None when it is not defined any more."""


class Power(Enum):
    """What libvirt's many states mean to us; ENDING is a guest whose processor has stopped but not yet its process.

    PAUSED is also one that libvirt has paused because its disk cannot be written: it goes on when told to. A guest
    that sleeps by its own will (PMSUSPENDED) is ON: it wakes by its own devices, and has its memory and its forwards.
    """

    ON = "on"
    PAUSED = "paused"
    ENDING = "ending"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class PowerState:
    """``ended_itself``: it is off because the guest powered off, not because somebody pulled the plug or it crashed."""

    power: Power
    ended_itself: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the host has; ``kind`` is libvirt's name of the driver (QEMU, TEST), memory in MiB."""

    kind: str
    version: str
    arch: str
    vcpus: int
    memory_mib: int


def _translate(error: libvirt.libvirtError, purpose: str) -> HostError:
    """Our error for libvirt's: paths are taken out of what people see, the whole text is the detail."""
    text = one_line(str(error), 2000)
    if error.get_error_code() in _DOWN or error.get_error_domain() in _TRANSPORT:
        return HypervisorDown(f"libvirt does not answer: could not {purpose}", detail=text)
    if "No space left on device" in text:
        return NoSpace(f"the disk is full: libvirt could not {purpose}", detail=text)
    return HypervisorRefused(f"libvirt could not {purpose}: {_PATH.sub('…', text)[:300]}", detail=text)


@contextlib.contextmanager
def _asking(purpose: str) -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        raise _translate(error, purpose) from error


def _in_time(call: Callable[[], _Answer], seconds: float = _MONITOR_SECONDS) -> _Answer:
    """The answer, or HypervisorDown: libvirt waits for a QEMU that was stopped for as long as it is."""
    answer: Future[_Answer] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="qemu-monitor", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise HypervisorDown(f"QEMU has not answered for {seconds:g} seconds") from error


class Domain:
    """One domain of libvirt's; a handle for the moment, not to be kept."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def id(self) -> str:
        return str(self._handle.UUIDString())

    def power(self) -> PowerState:
        """Off as well when it is not known (any more)."""
        try:
            state, reason = self._handle.state()
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE:
                return PowerState(Power.OFF, ended_itself=False)
            raise _translate(error, "look at the guest") from error
        if state in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED):
            ended = state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN
            return PowerState(Power.OFF, ended_itself=ended)
        return PowerState(_power_with_a_process(state, reason), ended_itself=False)

    @property
    def saved(self) -> bool:
        """Whether its memory is kept on the disk: its next start goes on where it was."""
        with _asking("look for the guest's saved memory"):
            try:
                return bool(self._handle.hasManagedSaveImage())
            except libvirt.libvirtError as error:
                if error.get_error_code() in _GONE:
                    return False
                raise

    def xml(self) -> ElementTree.Element:
        """The description as libvirt has it now: of the running guest when it runs."""
        with _asking("describe the guest"):
            return ElementTree.fromstring(self._handle.XMLDesc())  # noqa: S314 - libvirtd's own words

    def definition(self) -> ElementTree.Element:
        """The description that the next start goes by."""
        with _asking("describe the guest"):
            text = self._handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
            return ElementTree.fromstring(text)  # noqa: S314 - libvirtd's own words

    def change_medium(self, disk: ElementTree.Element) -> None:
        """Give the running guest the medium of ``disk`` in the drive that it describes.

        HypervisorRefused when the drive cannot, or the guest does not let go of the one it has.
        """
        described = ElementTree.tostring(disk, encoding="unicode")
        with _asking("change the medium of the guest's drive"):
            flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
            _in_time(lambda: self._handle.updateDeviceFlags(described, flags), _MEDIUM_SECONDS)

    def start(self, *, with_daemon: bool = False) -> None:
        """Start it, if it is off; ``with_daemon``: libvirt ends it when this connection ends."""
        flags = libvirt.VIR_DOMAIN_START_AUTODESTROY if with_daemon else 0
        with self._bringing_it_to(Power.ON, "start the guest"):
            self._handle.createWithFlags(flags)

    def destroy(self) -> None:
        """Pull the plug; no error when it is off or gone."""
        with self._bringing_it_to(Power.OFF, "power the guest off"):
            self._handle.destroy()

    def pause(self) -> None:
        """Stop its processors; no error when they are."""
        with self._bringing_it_to(Power.PAUSED, "pause the guest"):
            _in_time(self._handle.suspend)

    def unpause(self) -> None:
        """Have its processors go on; no error when they do."""
        with self._bringing_it_to(Power.ON, "have the guest go on"):
            _in_time(self._handle.resume)

    def save(self) -> None:
        """Write its memory to libvirt's own directory and power it off; it takes as long as the disk needs.

        Also a guest that is paused comes back running.
        """
        with _asking("save the guest's memory"):
            self._handle.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def drop_saved(self) -> None:
        """Forget its saved memory: the next start is a boot. No error when there is none."""
        if self.saved:
            with _asking("remove the guest's saved memory"):
                self._handle.managedSaveRemove()

    @contextlib.contextmanager
    def _bringing_it_to(self, wanted: Power, purpose: str) -> Iterator[None]:
        """A refusal is none where the guest is as it was to be."""
        with _asking(purpose):
            try:
                yield
            except libvirt.libvirtError:
                if self.power().power is not wanted:
                    raise

    def undefine(self) -> None:
        """Forget it, with its firmware's variables and saved state; no error when it is gone."""
        with _asking("forget the guest"):
            try:
                self._handle.undefineFlags(_UNDEFINE)
            except libvirt.libvirtError as error:
                if _unsupported_flags(error):
                    self._handle.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
                elif error.get_error_code() not in _GONE:
                    raise

    def shutdown(self) -> None:
        """Ask the guest to power off: through its agent when it has one, else by the power button."""
        with _asking("ask the guest to power off"):
            self._handle.shutdown()

    def monitor(self, command: str, **arguments: Any) -> Any:
        """The answer of QEMU's monitor (QMP). HypervisorRefused when it says no, or where there is no QEMU."""
        request = json.dumps({"execute": command, "arguments": arguments})
        with _asking("speak to QEMU"):
            reply = json.loads(_in_time(lambda: libvirt_qemu.qemuMonitorCommand(self._handle, request, 0)))
        if "error" in reply:
            why = one_line(str(reply["error"].get("desc", "")), 300)
            raise HypervisorRefused(f"QEMU could not {command}: {_PATH.sub('…', why)}", detail=why)
        return reply["return"]

    def human_monitor(self, line: str) -> str:
        """What QEMU's monitor for people prints; there is no other way to forwards."""
        return str(self.monitor("human-monitor-command", **{"command-line": line}))

    def agent(self, command: str, timeout: int, **arguments: Any) -> Any:
        """The guest agent's answer (hostile), or None when it does not answer within ``timeout`` seconds or says no."""
        request = json.dumps({"execute": command, "arguments": arguments})
        try:
            self._handle.agentSetResponseTimeout(timeout)  # else it waits five seconds for an agent that hangs
            text = libvirt_qemu.qemuAgentCommand(self._handle, request, timeout, 0)
        except libvirt.libvirtError as error:
            LOG.debug("guest agent of %s: %s", self.id, one_line(str(error)))
            return None
        if text is None or len(text) > _AGENT_REPLY_LIMIT:
            return None
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return reply.get("return") if isinstance(reply, dict) else None


def _power_with_a_process(state: int, reason: int) -> Power:
    if state == libvirt.VIR_DOMAIN_SHUTDOWN:
        return Power.ENDING
    if state != libvirt.VIR_DOMAIN_PAUSED or reason in _PASSING:
        return Power.ON
    return Power.ENDING if reason == libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN else Power.PAUSED


def _unsupported_flags(error: libvirt.libvirtError) -> bool:
    """The test driver knows fewer flags of undefine than QEMU's."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_INVALID_ARG and "unsupported flags" in str(error))


class Host:
    """libvirt on this host, as one installation (``home``: its directory of instances) sees it.

    Connections are opened when first needed and again when dead. A libvirtd that does not answer is given up after
    ``timeout`` seconds: HypervisorDown.
    """

    def __init__(self, uri: str, timeout: float, home: str) -> None:
        self._uri = uri
        self._timeout = timeout
        self._home = home
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._connection: Any = None
        self._attended: _Attended | None = None
        self._opening: Future[Any] | None = None
        self._capabilities: ElementTree.Element | None = None

    def define(self, xml: str) -> Domain:
        """A domain from its description, validated against libvirt's schema."""
        connection = self._connected()
        with _asking("define the guest"):
            return Domain(connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE))

    def domain(self, instance_id: str) -> Domain | None:
        """The guest of this installation; one that another has under the same id is not to be seen, nor touched."""
        handle = self._find(instance_id)
        mark = None if handle is None else self._mark(handle)
        return Domain(handle) if mark is not None and mark.home == self._home else None

    def anybodys(self, domain_id: str) -> Domain | None:
        """Whoever has defined it, with a mark or without."""
        handle = self._find(domain_id)
        return None if handle is None else Domain(handle)

    def _find(self, domain_id: str) -> Any:
        connection = self._connected()
        try:
            return connection.lookupByUUIDString(domain_id)
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE:
                return None
            raise _translate(error, "look for the guest") from error

    def ours(self) -> dict[str, Domain]:
        """Every domain that bears this installation's mark, by the id of its instance."""
        connection = self._connected()
        with _asking("list the guests"):
            handles = connection.listAllDomains()
        marked = ((self._mark(handle), Domain(handle)) for handle in handles)
        return {mark.instance_id: domain for mark, domain in marked if mark and mark.home == self._home}

    @property
    def has_qemu(self) -> bool:
        """False for libvirt's test driver: no monitor, no agent, no other user."""
        with _asking("ask what it is"):
            return str(self._connected().getType()) == "QEMU"

    def attend(self, event: Event, lost: Callable[[], None]) -> bool:
        """Have ``event`` called by each event of a domain, until ``lost`` is called; whether it was not so already.

        Both are called from libvirt's own thread, and must not ask libvirt anything.
        """
        connection = self._connected()
        if self._attended is not None and self._attended.connection is connection:
            return False
        self._neglect()
        with _asking("listen to its events"):
            self._attended = _Attended.begin(connection, event, lost)
        return True

    def _neglect(self) -> None:
        attended, self._attended = self._attended, None
        if attended is not None:
            attended.end()

    def inventory(self) -> Inventory:
        connection = self._connected()
        with _asking("take the host's inventory"):
            model, memory, vcpus = connection.getInfo()[:3]
            kind, number = str(connection.getType()), int(connection.getVersion())
        version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        return Inventory(kind, version, str(model), int(vcpus), int(memory))

    def qemu_group(self) -> int | None:
        """The group QEMU runs with, so that it can read our directories and images; None where it is nobody else."""
        for label in self._host_capabilities().iterfind("host/secmodel[model='dac']/baselabel"):
            numbers = re.fullmatch(r"\+(\d+):\+(\d+)", label.text or "")
            if numbers:
                return int(numbers[2])
        return None

    def read_last(self, path: Path, length: int) -> bytes:
        """The end of a file that libvirt may read and we may not: through a pool for its directory, gone afterwards."""
        described = element("pool", element("name", text=f"injector-{uuid.uuid4()}"), type="dir")
        described.append(element("target", element("path", text=str(path.parent))))
        connection = self._connected()
        with self._reading, _asking("read a file of the guest"):
            pool = connection.storagePoolCreateXML(ElementTree.tostring(described, encoding="unicode"), 0)
            try:
                volume = pool.storageVolLookupByName(path.name)
                size = int(volume.info()[1])
                return self._download(connection, volume, max(0, size - length), min(size, length))
            finally:
                pool.destroy()

    @staticmethod
    def _download(connection: Any, volume: Any, offset: int, length: int) -> bytes:
        if length == 0:
            return b""
        stream, content = connection.newStream(0), bytearray()
        volume.download(stream, offset, length, 0)
        while len(content) < length and (chunk := stream.recv(min(_CHUNK, length - len(content)))):
            content += chunk
        stream.finish()
        return bytes(content)

    def close(self) -> None:
        self._neglect()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def _host_capabilities(self) -> ElementTree.Element:
        """Asked once: libvirtd may have to try every emulator to answer."""
        if self._capabilities is None:
            connection = self._connected()
            with _asking("tell what it is capable of"):
                self._capabilities = ElementTree.fromstring(connection.getCapabilities())  # noqa: S314 - libvirtd's own
        return self._capabilities

    def _mark(self, handle: Any) -> Mark | None:
        try:
            text = handle.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, Mark.NAMESPACE)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (*_GONE, libvirt.VIR_ERR_NO_DOMAIN_METADATA):
                return None
            raise _translate(error, "read the guest's metadata") from error
        return Mark.read(text)

    def _connected(self) -> Any:
        with self._lock:
            if self._connection is not None and self._alive(self._connection):
                return self._connection
            if self._connection is not None and self._attended is not None:
                self._attended.lost()
            self._connection = None
            opening = self._opening = self._opening or self._open()
        try:
            connection = opening.result(self._timeout)
        except TimeoutError as error:
            raise HypervisorDown(f"libvirt has not answered for {self._timeout:g} seconds") from error
        except libvirt.libvirtError as error:
            self._forget(opening)
            raise HypervisorDown(
                f"libvirt cannot be reached: {_PATH.sub('…', one_line(str(error), 300))}", detail=str(error)
            ) from error
        with self._lock:
            if self._opening is opening:
                self._connection, self._opening = connection, None
        return connection

    def _forget(self, opening: Future[Any]) -> None:
        with self._lock:
            if self._opening is opening:
                self._opening = None

    @staticmethod
    def _alive(connection: Any) -> bool:
        with contextlib.suppress(libvirt.libvirtError):
            return bool(connection.isAlive())
        return False

    def _open(self) -> Future[Any]:
        """In a thread of its own: nothing but the far side ends an open() that libvirtd does not answer."""
        opening: Future[Any] = Future()
        thread = threading.Thread(target=self._open_into, args=(opening,), name="libvirt-open", daemon=True)
        thread.start()
        return opening

    def _open_into(self, opening: Future[Any]) -> None:
        try:
            _run_event_loop()
            connection = libvirt.open(self._uri)
            with contextlib.suppress(libvirt.libvirtError):  # the test driver has nothing to keep alive
                connection.setKeepAlive(max(1, round(self._timeout / 4)), 3)
            opening.set_result(connection)
        except BaseException as error:
            opening.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Attended:
    """A connection whose events are heard. One that is dead stays in memory for as long as it is."""

    connection: Any
    number: int
    lost: Callable[[], None]

    @classmethod
    def begin(cls, connection: Any, event: Event, lost: Callable[[], None]) -> _Attended:
        def on_event(_connection: Any, handle: Any, kind: int, detail: int, _: Any) -> None:
            if kind in _AFTER:
                saved = kind == libvirt.VIR_DOMAIN_EVENT_STOPPED and detail == libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED
                _quietly(event, str(handle.UUIDString()), State.SUSPENDED if saved else _AFTER[kind])

        def on_close(_connection: Any, _reason: int, _: Any) -> None:
            _quietly(lost)

        number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
        connection.registerCloseCallback(on_close, None)
        return cls(connection, number, lost)

    def end(self) -> None:
        """What a dead connection refuses is done all the same."""
        for act in (
            self.connection.unregisterCloseCallback,
            lambda: self.connection.domainEventDeregisterAny(self.number),
        ):
            with contextlib.suppress(libvirt.libvirtError):
                act()


def _quietly(call: Callable[..., None], *arguments: Any) -> None:
    """libvirt's binding would print what is raised on stderr."""
    try:
        call(*arguments)
    except Exception:
        LOG.exception("an event of libvirt's could not be dealt with")


def _run_event_loop() -> None:
    """libvirt's client needs one to answer and send keepalives; one a process, before the first connection."""
    global _loop_running
    with _loop_lock:
        if _loop_running:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print on stderr
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_event_loop, name="libvirt-events", daemon=True).start()
        _loop_running = True


def _event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
