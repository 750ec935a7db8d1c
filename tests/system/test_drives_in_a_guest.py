"""A guest's own kernel mounts drives of both formats: what it reads is what was packed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from injector.model.guest import GuestState
from injector.model.host import InjectionPolicy
from injector.model.receipt import Outcome
from tests import generated, judges
from tests.hypervisors import GUESTS, on_qemu

# Of the requests that tests/contract/test_drive_judges.py has judged; ten of each format.
NUMBERS = {"iso9660": range(0, 200, 20), "vfat": range(10, 200, 20)}
_SEEN = re.compile(r"tiny-guest: disk \w+ type=(\w+) label=(\S*) digest ([0-9a-f]{64})")
# The guest has looked at all disks when it turns to the one it takes for its own.
_DONE = "tiny-guest: drive="


@contextmanager
def booted(drives: Mapping[Path, str], console: Path) -> Iterator[None]:
    """The tiny guest with the drives as injector plugs them: ISO9660 in a cdrom, vfat as a read-only disk."""
    tiny = GUESTS / "tiny"
    command = ["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-m", "256", "-nodefaults", "-display", "none"]
    command += ["-kernel", str(tiny / "vmlinuz"), "-initrd", str(tiny / "initrd")]
    command += ["-append", "console=ttyS0 quiet", "-serial", f"file:{console}", "-device", "virtio-scsi-pci,id=scsi"]
    for number, (drive, drive_format) in enumerate(drives.items()):
        device = "scsi-cd,bus=scsi.0" if drive_format == "iso9660" else "virtio-blk-pci"
        command += ["-blockdev", f"driver=raw,node-name=d{number},read-only=on,file.driver=file,file.filename={drive}"]
        command += ["-device", f"{device},drive=d{number}"]
    with subprocess.Popen(command) as guest:
        try:
            yield
        finally:
            guest.kill()


def said(console: Path, word: str, seconds: float = 120) -> str:
    """What the guest has said once it has said ``word``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = console.read_text(errors="replace") if console.exists() else ""
        if word in text:
            return text
        time.sleep(0.2)
    raise AssertionError(f"the guest never said {word!r}: {text[-2000:]!r}")


def digest_of(tree: Mapping[str, bytes]) -> str:
    """As the guest computes it."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  ./{path}\n" for path, content in sorted(tree.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_kernel_reads_from_twenty_drives_what_was_packed(tmp_path: Path) -> None:
    drives: dict[Path, str] = {}
    packed: dict[str, tuple[str, str]] = {}
    for drive_format, numbers in NUMBERS.items():
        for asked in map(generated.request, numbers):
            delivery = asked.delivery(tmp_path / f"{drive_format}-{asked}", drive_format)
            asked.channel().deliver(delivery)
            drives[delivery.workspace.config_drive] = drive_format
            packed[digest_of(asked.channel().contents(delivery))] = (drive_format, "config-2")
    with booted(drives, tmp_path / "console"):
        text = said(tmp_path / "console", _DONE)
    assert len(packed) == 20
    assert {digest: (drive_format, label) for drive_format, label, digest in _SEEN.findall(text)} == packed


def test_a_guest_that_is_given_vfat_reads_what_the_receipt_says(tmp_path: Path) -> None:
    with on_qemu(tmp_path, InjectionPolicy(drive_format="vfat")) as stage:
        instance = stage.instance()
        try:
            spawned = stage.spawn(instance)
            assert (spawned.plan.drive_format, spawned.plan.drive_bus) == ("vfat", "virtio")
            assert spawned.receipt.drive_digest == stage.drive(instance)
            assert {item.outcome for item in spawned.receipt.items} == {Outcome.READ_BACK}
            verdict = stage.last_word(replace(instance, plan=spawned.plan))
            assert (verdict.state, verdict.witness) == (GuestState.DONE, "console"), verdict
            text = stage.driver.console(instance.id, 100_000).decode(errors="replace")
            assert "tiny-guest: drive=/dev/vdb type=vfat" in text
            tree = judges.mtools_tree(stage.file(instance), tmp_path / "out")
            assert ("vfat", "config-2", digest_of(tree)) in _SEEN.findall(text)
        finally:
            stage.driver.destroy(instance.id)
