"""Every failure the house knows, sorted by who can act on it.

    InjectorError
     ├── RequestError     the caller can act            4xx   refused, or the boot gives up
     │    ├── InvalidRequest  400      ├── Unauthorized   401      ├── OverQuota      403
     │    ├── NotFound        404      ├── Conflict       409      ├── Undeliverable  409
     │    └── TooLarge        413
     ├── HostError        the dispatcher can act        503   the next untried host
     │    ├── HypervisorDown  ├── HypervisorRefused  ├── NoSpace       ├── ProgramFailed
     │    ├── ImageUnavailable ├── BusUnavailable    ├── ChannelBroken ├── NoHost
     │    ├── VersionMismatch
     │    └── Unanswered       nobody: what became of it is not known, and the work is done again when it is rung for
     ├── GuestError       the image's owner can act     409   the boot ends in ERROR with the reason
     │    ├── ImageRejected  ├── GuestUnreadable  ├── ItemRefused  └── CannotServe
     ├── StaleError       nobody: the world moved on    409   undone quietly
     │    ├── NoRoom  └── KeyUnknown
     └── InternalError    our bug                       500   traceback in the log, a clean message outside

A message is written for the person who can act; it names the field and holds no path of the host and no command.
What only the operator may see goes into ``detail``, which is logged and never leaves the host.
"""

from __future__ import annotations

from typing import Any, ClassVar


class InjectorError(Exception):
    """A failure with a message for people; ``field`` names the part of the request that is at fault."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None, detail: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.detail = detail

    def to_wire(self) -> dict[str, Any]:
        """What crosses the bus: the class name, the message and the field; never ``detail``."""
        return {"type": type(self).__name__, "message": self.message, "field": self.field}


class RequestError(InjectorError):
    """The caller can act: the request itself cannot be served as it is."""

    status = 400


class InvalidRequest(RequestError):
    """A field of the request is malformed or out of range."""


class Unauthorized(RequestError):
    """No credential, or a wrong one."""

    status = 401


class OverQuota(RequestError):
    """More was asked for than a limit allows (Nova answers 403 to these)."""

    status = 403


class NotFound(RequestError):
    """The thing named does not exist."""

    status = 404


class Conflict(RequestError):
    """The thing named is in a state in which this cannot be done."""

    status = 409


class Undeliverable(RequestError):
    """Something asked for cannot be brought into the guest; the message names each item and why."""

    status = 409


class TooLarge(RequestError):
    """The body of the request is larger than the API accepts."""

    status = 413


class HostError(InjectorError):
    """This host (or something behind it) cannot do it now; another host may."""

    status = 503


class HypervisorDown(HostError):
    """libvirt or QEMU does not answer."""


class HypervisorRefused(HostError):
    """libvirt or QEMU answered, and refused."""


class NoSpace(HostError):
    """A disk of the host is full."""


class ProgramFailed(HostError):
    """A program the host needs is missing, failed, or ran out of its time or memory."""


class ImageUnavailable(HostError):
    """The image's bytes cannot be fetched, or are not the bytes that were registered."""


class BusUnavailable(HostError):
    """The message bus, or the service behind it, does not answer."""


class VersionMismatch(HostError):
    """The service behind the bus is of another release and does not offer the operation as it was asked for."""


class Unanswered(HostError):
    """A compute asked or told something in the middle of its work, and nobody has taken it.

    Neither this host nor the guest has failed: the work is let go, and begun again when it is rung for.
    """


class ChannelBroken(HostError):
    """An injection channel wrote something other than what was asked, or could not write at all."""


class NoHost(HostError):
    """No host is known, or none has room."""


class GuestError(InjectorError):
    """The image or the guest is at fault; its owner can act, another host cannot."""

    status = 409


class ImageRejected(GuestError):
    """The image is not what it claims to be, or refers to files outside itself."""


class GuestUnreadable(GuestError):
    """The guest's file system is damaged, or not what it says: no back end is to be tried on it."""


class ItemRefused(GuestError):
    """An item cannot be written into this guest; whoever catches it names the item."""


class CannotServe(GuestError):
    """A back end of partition injection does not edit such a file system; another one may. Nothing was written."""


class StaleError(InjectorError):
    """The record says something else by now; whoever gets this lets go."""

    status = 409


class NoRoom(StaleError):
    """The host that was chosen has no room for it any more; another choice may find one."""


class KeyUnknown(StaleError):
    """What came over the bus was sealed to a key that the far side does not hold (any more)."""


class InternalError(InjectorError):
    """A bug of ours; the far side's traceback is in its own log."""


def _tree(root: type[InjectorError]) -> dict[str, type[InjectorError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_NAME: dict[str, type[InjectorError]] = _tree(InjectorError)


def from_wire(data: dict[str, Any]) -> InjectorError:
    """The error that ``to_wire`` described; a class this version does not know becomes an InternalError."""
    kind = BY_NAME.get(str(data.get("type")), InternalError)
    return kind(str(data.get("message", "")), field=data.get("field"))
