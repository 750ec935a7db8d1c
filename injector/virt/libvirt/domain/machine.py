"""The machine itself: who it is, its firmware and kernel, processor, clock, and what ends it."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from injector.model.host import Verdict
from injector.model.hostile import one_line
from injector.virt.libvirt.domain.blueprint import Blueprint
from injector.virt.libvirt.domain.element import element
from injector.virt.libvirt.domain.mark import Mark

_CONSOLE = "console=ttyS0"


def identity(blueprint: Blueprint) -> list[Element]:
    """The domain's uuid is the instance's: whoever knows the one finds the other."""
    instance = blueprint.instance
    return [
        element("name", text=f"injector-{instance.id}"),
        element("uuid", text=instance.id),
        element("title", text=one_line(instance.name, 255) or instance.id),
        element("metadata", Mark(instance.id, blueprint.home).write()),
    ]


def size(blueprint: Blueprint) -> list[Element]:
    flavor = blueprint.instance.flavor
    return [
        element("memory", text=str(flavor.ram), unit="MiB"),
        element("vcpu", text=str(flavor.vcpus)),
    ]


def operating_system(blueprint: Blueprint) -> Element:
    kernel, uefi = blueprint.kernel, blueprint.hardware.firmware == "uefi"
    return element(
        "os",
        element("type", text="hvm", arch="x86_64", machine=blueprint.hardware.machine),
        # The first firmware libvirt finds enforces Secure Boot with Microsoft's keys: it would refuse home-made images.
        element("firmware", element("feature", enabled="no", name="secure-boot")) if uefi else None,
        element("kernel", text=str(kernel.path)) if kernel else None,
        element("initrd", text=str(kernel.ramdisk)) if kernel and kernel.ramdisk else None,
        element("cmdline", text=_command_line(blueprint)) if kernel else None,
        element("smbios", mode="sysinfo"),
        **({"firmware": "efi"} if uefi else {}),
    )


def _command_line(blueprint: Blueprint) -> str:
    """The image's own, or Nova's default: the whole first disk is the root file system."""
    if blueprint.hardware.command_line is not None:
        return blueprint.hardware.command_line
    root = {"virtio": "vda", "ide": "hda"}.get(blueprint.hardware.disk_bus, "sda")
    # Emulated timers are late on a busy host, and the kernel would take them for broken (Nova adds it as well).
    late = " no_timer_check" if blueprint.verdict.virt_type == "qemu" else ""
    return f"root=/dev/{root} {_CONSOLE}{late}"


def system_information(blueprint: Blueprint) -> Element:
    """cloud-init takes the uuid for the instance's id; the product is not OpenStack's: no metadata service answers."""
    instance_id = blueprint.instance.id
    entries = {
        "manufacturer": "injector",
        "product": "injector",
        "serial": instance_id,
        "uuid": instance_id,
        "family": "Virtual Machine",
    }
    system = element("system", *(element("entry", text=text, name=name) for name, text in entries.items()))
    return element("sysinfo", system, type="smbios")


def features(blueprint: Blueprint) -> Element:
    """Windows under KVM spins and crawls unless it is told where it runs."""
    told = blueprint.hardware.windows and blueprint.verdict.virt_type == "kvm"
    hyperv = element(
        "hyperv",
        element("relaxed", state="on"),
        element("vapic", state="on"),
        element("spinlocks", state="on", retries="8191"),
        mode="custom",
    )
    return element("features", element("acpi"), element("apic"), hyperv if told else None)


def processor(verdict: Verdict, cpu_model: str | None) -> Element | None:
    if verdict.cpu_mode == "none":
        return None
    if verdict.cpu_mode == "custom":
        return element("cpu", element("model", text=cpu_model or "", fallback="forbid"), mode="custom", match="exact")
    return element("cpu", mode=verdict.cpu_mode)


def clock(blueprint: Blueprint) -> Element:
    """Windows keeps local time in its clock. The timers are Nova's: guests that were paused catch up gently."""
    return element(
        "clock",
        element("timer", name="rtc", tickpolicy="catchup"),
        element("timer", name="pit", tickpolicy="delay"),
        element("timer", name="hpet", present="no"),
        offset="localtime" if blueprint.hardware.windows else "utc",
    )


def endings() -> list[Element]:
    """A guest that crashed stays off until somebody has looked at its console."""
    return [
        element("on_poweroff", text="destroy"),
        element("on_reboot", text="restart"),
        element("on_crash", text="destroy"),
    ]
