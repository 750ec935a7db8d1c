"""A server as the Compute API shows it, with what this house adds under ``injector:``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from ipaddress import ip_address

from injector.api.unknown import UNKNOWN, is_unknown
from injector.api.views.delivery import receipt_items, show_finding, show_plan
from injector.api.views.drives import in_guest
from injector.api.views.viewpoint import Document, Viewpoint, exact, microseconds, seconds
from injector.model.instance import Instance, State, Step
from injector.model.network import Nic
from injector.model.receipt import Receipt
from injector.model.secret import Secret

_STATUSES: Mapping[State, tuple[str, str, str | None]] = {
    State.BUILDING: ("BUILD", "building", None),
    State.ACTIVE: ("ACTIVE", "active", None),
    State.STOPPING: ("ACTIVE", "active", "powering-off"),
    State.STOPPED: ("SHUTOFF", "stopped", None),
    State.STARTING: ("SHUTOFF", "stopped", "powering-on"),
    State.REBOOTING: ("REBOOT", "active", "rebooting"),
    State.REBOOTING_HARD: ("HARD_REBOOT", "active", "rebooting_hard"),
    State.REFRESHING: ("ACTIVE", "active", "refreshing"),
    State.PAUSING: ("ACTIVE", "active", "pausing"),
    State.PAUSED: ("PAUSED", "paused", None),
    State.UNPAUSING: ("PAUSED", "paused", "unpausing"),
    State.SUSPENDING: ("ACTIVE", "active", "suspending"),
    State.SUSPENDED: ("SUSPENDED", "suspended", None),
    State.RESUMING: ("SUSPENDED", "suspended", "resuming"),
    State.ERROR: ("ERROR", "error", None),
    State.DELETED: ("DELETED", "deleted", None),
}
"""State → status, vm_state and task_state in Nova's words; a server being deleted keeps the look it had."""

_BUILD_TASKS: Mapping[Step, str] = {
    Step.SCHEDULE: "scheduling",
    Step.IMAGE: "block_device_mapping",
    Step.DISK: "block_device_mapping",
}
_REBUILD_TASKS: Mapping[Step, str] = {
    Step.SCHEDULE: "rebuilding",
    Step.IMAGE: "rebuild_block_device_mapping",
    Step.DISK: "rebuild_block_device_mapping",
}
_NO_STATE, _RUNNING, _PAUSED, _SHUT_DOWN = 0, 1, 3, 4
_POWER: Mapping[str, int] = {"active": _RUNNING, "paused": _PAUSED, "stopped": _SHUT_DOWN, "suspended": _SHUT_DOWN}
"""Nova's numbers; a guest that libvirt has saved to disk is shut down to it, and so to Nova."""


def brief(instance: Instance, seen: Viewpoint) -> Document:
    return {"id": instance.id, "name": instance.name, "links": seen.links("servers", instance.id)}


def detail(instance: Instance, seen: Viewpoint, silent: frozenset[str] = frozenset()) -> Document:
    """``silent``: the hosts that are not heard of."""
    status, vm_state, task_state = _status(instance)
    if is_unknown(instance, silent):
        status = UNKNOWN
    return {
        **brief(instance, seen),
        "status": status,
        "tenant_id": instance.project_id,
        "user_id": instance.user_id,
        "hostId": _host_id(instance),
        "created": seconds(instance.created_at),
        "updated": seconds(instance.updated_at),
        "image": {"id": instance.image.id, "links": seen.bookmark("images", instance.image.id)},
        "flavor": _flavor(instance, seen),
        "addresses": {} if instance.state is State.BUILDING else _addresses(instance.nics),
        "metadata": dict(instance.metadata),
        "accessIPv4": "",
        "accessIPv6": "",
        "OS-DCF:diskConfig": "MANUAL",
        "config_drive": "True" if _has_drive(instance) else "",
        "key_name": None if instance.key is None else instance.key.name,
        "OS-EXT-AZ:availability_zone": instance.availability_zone,
        "OS-EXT-STS:vm_state": vm_state,
        "OS-EXT-STS:task_state": task_state,
        "OS-EXT-STS:power_state": _NO_STATE if status == UNKNOWN else _POWER.get(vm_state, _NO_STATE),
        "OS-SRV-USG:launched_at": microseconds(instance.launched_at),
        "OS-SRV-USG:terminated_at": microseconds(instance.terminated_at),
        "OS-EXT-SRV-ATTR:host": instance.host,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": instance.host,
        "OS-EXT-SRV-ATTR:instance_name": instance.id,
        "os-extended-volumes:volumes_attached": [],
        **_progress(instance, status),
        **_fault(instance, status),
        **_by_version(instance, seen),
        **_ours(instance),
        "injector:host_state": _host_state(instance, silent),
    }


def created(instances: tuple[Instance, ...], password: Secret | None, seen: Viewpoint) -> Document:
    """The answer to a create call: of several servers the first, as Nova does; the rest is found by reservation id."""
    first = instances[0]
    answer: Document = {
        "id": first.id,
        "links": seen.links("servers", first.id),
        "OS-DCF:diskConfig": "MANUAL",
        "security_groups": [],
    }
    return answer | ({} if password is None else {"adminPass": password.text()})


def rebuilding(instance: Instance, password: Secret | None, seen: Viewpoint, silent: frozenset[str]) -> Document:
    """The answer to a rebuild: all of the server, and its new password, as Nova has it."""
    return detail(instance, seen, silent) | ({} if password is None else {"adminPass": password.text()})


def receipt(instance_id: str, found: Receipt) -> Document:
    return {
        "server_id": instance_id,
        "channel": found.channel.value,
        "reason": found.reason,
        "drive_digest": found.drive_digest,
        "drive_size": found.drive_size,
        "drive_format": found.drive_format,
        "back_end": found.back_end,
        "filesystem": found.filesystem,
        "passed_over": [{"back_end": one.back_end, "reason": one.reason} for one in found.passed_over],
        "items": receipt_items(found),
    }


def _status(instance: Instance) -> tuple[str, str, str | None]:
    if instance.state is State.DELETING:
        before = State.ERROR if instance.fault else State.ACTIVE if instance.launched_at else State.BUILDING
        return (*_STATUSES[before][:2], "deleting")
    if instance.state is State.BUILDING:
        return ("BUILD", "building", _BUILD_TASKS.get(instance.step or Step.SCHEDULE, "spawning"))
    if instance.state is State.REBUILDING:
        return ("REBUILD", "active", _REBUILD_TASKS.get(instance.step or Step.SCHEDULE, "rebuild_spawning"))
    if instance.refresh is not None and not instance.refresh.running:
        return (*_STATUSES[State.STOPPED][:2], "refreshing")
    return _STATUSES[instance.state]


def _host_state(instance: Instance, silent: frozenset[str]) -> str | None:
    return None if instance.host is None else "down" if instance.host in silent else "up"


def _host_id(instance: Instance) -> str:
    """The same for two servers of one project on one host, and nothing else told by it."""
    if instance.host is None:
        return ""
    return hashlib.sha224(f"{instance.project_id}{instance.host}".encode()).hexdigest()


def _has_drive(instance: Instance) -> bool:
    """What was decided, once it is; until then what was asked."""
    return instance.config_drive if instance.plan is None else instance.plan.drive_bus is not None


def _flavor(instance: Instance, seen: Viewpoint) -> Document:
    flavor = instance.flavor
    if not seen.since(47):
        return {"id": flavor.id, "links": seen.bookmark("flavors", flavor.id)}
    return {
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "ephemeral": 0,
        "swap": 0,
        "extra_specs": dict(flavor.extra_specs),
    }


def _addresses(nics: tuple[Nic, ...]) -> Document:
    """By network; a card whose guest asks by DHCP has no address that is known here."""
    networks: dict[str, list[Document]] = {}
    for nic in nics:
        known = networks.setdefault(nic.network.name, [])
        known += [_address(nic, address.ip) for address in nic.addresses if address.ip is not None]
    return networks


def _address(nic: Nic, ip: str) -> Document:
    return {
        "addr": ip,
        "version": ip_address(ip).version,
        "OS-EXT-IPS:type": "fixed",
        "OS-EXT-IPS-MAC:mac_addr": nic.mac,
    }


def _progress(instance: Instance, status: str) -> Document:
    """Percent of the steps of a build; 0 where Nova says 0, absent where Nova has none."""
    if status == "BUILD" and instance.step is not None:
        return {"progress": 100 * list(Step).index(instance.step) // len(Step)}
    return {"progress": 0} if status in ("ACTIVE", "BUILD", "DELETED") else {}


def _fault(instance: Instance, status: str) -> Document:
    if instance.fault is None or status not in ("ERROR", "DELETED"):
        return {}
    fault = instance.fault
    return {"fault": {"code": fault.code, "created": seconds(fault.at), "message": fault.message}}


def _by_version(instance: Instance, seen: Viewpoint) -> Document:
    """What the versions added. ``user_data`` (2.3) is left out: it is a secret here, also to administrators."""
    added: Document = {}
    if seen.since(3):
        added |= {
            "OS-EXT-SRV-ATTR:hostname": instance.hostname,
            "OS-EXT-SRV-ATTR:reservation_id": instance.reservation_id,
            "OS-EXT-SRV-ATTR:launch_index": instance.launch_index,
            "OS-EXT-SRV-ATTR:kernel_id": instance.kernel.id if instance.kernel else "",
            "OS-EXT-SRV-ATTR:ramdisk_id": instance.ramdisk.id if instance.ramdisk else "",
            "OS-EXT-SRV-ATTR:root_device_name": None,
        }
    if seen.since(9):
        added["locked"] = False
    if seen.since(19):
        added["description"] = None
    if seen.since(26):
        added["tags"] = []
    return added


def _tags(instance: Instance) -> list[Document]:
    disk = [{"type": "disk", "tag": instance.disk_tag}] if instance.disk_tag else []
    return disk + [{"type": "nic", "mac": nic.mac, "tag": nic.tag} for nic in instance.nics if nic.tag]


def _ours(instance: Instance) -> Document:
    guest = instance.guest
    return {
        "injector:keys": [key.name for key in instance.keys],
        "injector:tags": _tags(instance),
        "injector:guest": {
            "state": guest.state.value,
            "detail": guest.detail,
            "witness": guest.witness,
            "at": exact(guest.at),
        },
        "injector:plan": None if instance.plan is None else show_plan(instance.plan),
        "injector:generation": instance.generation or None,
        "injector:drive_in_guest": in_guest(instance) if instance.generation else None,
        "injector:fault": None if instance.fault is None else instance.fault.message,
        "injector:marks": [{"step": mark.step.value, "at": exact(mark.at)} for mark in instance.marks],
        "injector:forwards": [
            {"host": "127.0.0.1", "host_port": one.host_port, "guest_port": one.guest_port, "mac": one.mac}
            for one in instance.forwards
        ],
        "injector:findings": [show_finding(finding) for finding in instance.findings],
        "injector:request_id": instance.request_id,
        "injector:attempt": instance.attempt,
    }
