"""Whether KVM can be trusted: proven by a guest that is started the way guests are, and ends itself in time."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from injector.errors import HypervisorRefused
from injector.model.host import Verdict
from injector.settings import LibvirtSettings
from injector.system import files
from injector.virt.libvirt import power
from injector.virt.libvirt.domain import machine
from injector.virt.libvirt.domain.element import element
from injector.virt.libvirt.domain.storage import untouched
from injector.virt.libvirt.host import Domain, Host, Power

LOG = logging.getLogger(__name__)

# What follows is a whole operating system. The firmware puts the ACPI registers of both machines at 0x600, and
# writing SLP_EN with sleep type 0 to the one at 0x604 powers the machine off:
#   mov dx, 0x604;  mov ax, 0x2000;  out dx, ax;  hlt;  jmp to the hlt
_POWER_OFF = bytes.fromhex("ba0406 b80020 ef f4 ebfd")
_BOOT_SECTOR = _POWER_OFF.ljust(510, b"\0") + b"\x55\xaa"
# The firmware boots from no virtio disk that is smaller than a cylinder.
_DISK = _BOOT_SECTOR.ljust(1024 * 1024, b"\0")
_MACHINE = "q35"
_LOOK_AGAIN = 0.02
_PROCESS_ENDS = 10.0


def decide(host: Host, settings: LibvirtSettings, instances_dir: Path) -> Verdict:
    """How guests will run. HypervisorDown when libvirt does not answer: then nothing is known."""
    if not host.has_qemu:
        return Verdict("test", "none", "libvirt's test driver runs no guests", proven=False)
    emulated, native = _emulated_cpu(settings), settings.cpu_mode or "host-model"
    if settings.virt_type == "qemu":
        return Verdict("qemu", emulated, "the operator chose emulation (virt_type is qemu)", proven=False)
    if settings.virt_type == "kvm":
        return Verdict("kvm", native, "the operator chose KVM unproven (virt_type is kvm)", proven=False)
    kvm = Verdict("kvm", native, "a guest booted with it and powered itself off", proven=True)
    why = obstacle(host, kvm, settings, instances_dir)
    if why is None:
        return kvm
    LOG.warning("KVM does not work here, guests are emulated and slow: %s", why)
    return Verdict("qemu", emulated, f"KVM does not work here: {why}", proven=False)


def _emulated_cpu(settings: LibvirtSettings) -> str:
    """There is no processor of the host to pass through when it is emulated."""
    mode = settings.cpu_mode or "maximum"
    return "maximum" if mode == "host-passthrough" else mode


def obstacle(host: Host, verdict: Verdict, settings: LibvirtSettings, instances_dir: Path) -> str | None:
    """Why a guest under ``verdict`` did not power itself off in time; None when it did."""
    try:
        with _probe(host, verdict, settings, instances_dir) as domain:
            domain.start(with_daemon=True)
            why = _watch(domain, settings.kvm_probe_timeout)
    except HypervisorRefused as refused:
        why = refused.message
    return why and f"with cpu_mode {verdict.cpu_mode} {why}"


def _watch(domain: Domain, timeout: float) -> str | None:
    """What counts is when the guest ends; its process may take longer, and libvirt does not answer meanwhile."""
    deadline = time.monotonic() + timeout
    asked = time.monotonic()
    while domain.power().power is Power.ON:
        if asked > deadline:
            # It may well end after all, many times slower than emulation: a right answer too late is a no.
            return f"a boot sector had not run within {timeout:g} s"
        time.sleep(_LOOK_AGAIN)
        asked = time.monotonic()
    return None if power.wait_until_off(domain, _PROCESS_ENDS).ended_itself else "QEMU ended before the guest did"


@contextlib.contextmanager
def _probe(host: Host, verdict: Verdict, settings: LibvirtSettings, instances_dir: Path) -> Iterator[Domain]:
    """A defined domain with a boot sector for a disk; afterwards neither is left.

    Its id is always the same for an installation, so that what a killed daemon left is found and removed.
    """
    probe_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:injector:kvm-probe:{instances_dir}"))
    directory = instances_dir / "kvm-probe"
    _remove(host, probe_id, directory)
    try:
        group = host.qemu_group()
        files.make_directory(directory, 0o750, group)
        disk = directory / "boot"
        files.write_atomic(disk, _DISK, mode=0o440, group=group)
        yield host.define(_xml(probe_id, verdict, settings.cpu_model, disk))
    finally:
        _remove(host, probe_id, directory)


def _remove(host: Host, probe_id: str, directory: Path) -> None:
    domain = host.anybodys(probe_id)
    if domain is not None:
        domain.destroy()
        domain.undefine()
    shutil.rmtree(directory, ignore_errors=True)


def _xml(probe_id: str, verdict: Verdict, cpu_model: str | None, disk: Path) -> str:
    domain = element(
        "domain",
        element("name", text=f"injector-kvm-probe-{probe_id}"),
        element("uuid", text=probe_id),
        element("memory", text="32", unit="MiB"),
        element("vcpu", text="1"),
        element("os", element("type", text="hvm", arch="x86_64", machine=_MACHINE)),
        element("features", element("acpi"), element("apic")),
        machine.processor(verdict, cpu_model),
        element("on_crash", text="destroy"),
        element(
            "devices",
            element("controller", type="usb", index="0", model="none"),
            element(
                "disk",
                element("driver", name="qemu", type="raw"),
                untouched(disk),
                element("target", dev="vda", bus="virtio"),
                element("readonly"),
                element("boot", order="1"),
                type="file",
                device="disk",
            ),
            element("memballoon", model="none"),
        ),
        type=verdict.virt_type,
    )
    return ElementTree.tostring(domain, encoding="unicode")
