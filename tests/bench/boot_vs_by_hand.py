"""Request to running domain with a cached image, against the same by hand: qemu-img, a written drive, virsh create."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.daemon import Daemon, a_daemon, b64
from tests.system.conftest import furnish

RUNS = 9


def run() -> list[dict[str, Any]]:
    with a_daemon() as daemon:
        daemon.start()
        house = furnish(daemon)
        request: dict[str, Any] = {"networks": [{"uuid": house.network}], "user_data": b64("#!/bin/sh\n:\n")}
        model = daemon.boot(house.tiny, "model", **request)
        daemon.wait_for_status(model, "ACTIVE")
        by_hand = _ByHand(daemon, model)
        ours, hand = [], []
        for number in range(RUNS):
            ours.append(_boot(daemon, house.tiny, f"b{number}", request))
            hand.append(by_hand.boot())
        by_hand.remove()
        daemon.empty()
    (wall, cpu), (hand_wall, hand_cpu) = _medians(ours), _medians(hand)
    return [
        {
            "name": "boot_vs_by_hand",
            "ours_ms": wall,
            "ours_cpu_ms": cpu,
            "peer": "qemu-img create + cp + virsh create",
            "peer_ms": hand_wall,
            "peer_cpu_ms": hand_cpu,
            "ratio": wall / hand_wall,
            "runs": RUNS,
        }
    ]


def _medians(figures: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(wall for wall, _ in figures), statistics.median(cpu for _, cpu in figures)


def _boot(daemon: Daemon, image: str, name: str, request: dict[str, Any]) -> tuple[float, float]:
    cpu, started = daemon.cpu_ms(), time.monotonic()
    server_id = daemon.boot(image, name, **request)
    while daemon.server(server_id)["status"] != "ACTIVE":
        time.sleep(0.005)
    figures = (time.monotonic() - started) * 1000, daemon.cpu_ms() - cpu
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    return figures


class _ByHand:
    """The model's guest made again with the ordinary tools, each time from a fresh overlay and a fresh drive."""

    def __init__(self, daemon: Daemon, model: str) -> None:
        self._home = daemon.state.with_name("by-hand")
        self._home.mkdir(mode=0o711)
        instance = daemon.state / "instances" / model
        self._drive = self._home / "model.drive"
        shutil.copyfile(instance / "disk.config", self._drive)
        for name in ("kernel", "ramdisk"):
            shutil.copyfile(instance / name, self._home / name)
        (self._base,) = (daemon.state / "base").glob("*.qcow2")
        self._size = _virtual_size(self._base)
        self._xml = self._changed(_virsh("dumpxml", "--inactive", model), str(instance))

    def _changed(self, xml: str, instance: str) -> str:
        root = ElementTree.fromstring(xml.replace(instance, str(self._home)))
        identity = str(uuid.uuid4())
        _set(root, "name", f"by-hand-{identity}")
        _set(root, "uuid", identity)
        for entry in root.iterfind("sysinfo/system/entry"):
            if entry.get("name") in ("uuid", "serial"):
                entry.text = identity
        for metadata in root.findall("metadata"):
            root.remove(metadata)
        self._name = f"by-hand-{identity}"
        return ElementTree.tostring(root, encoding="unicode")

    def boot(self) -> tuple[float, float]:
        cpu, started = _children_ms(), time.monotonic()
        disk, drive, xml = self._home / "disk", self._home / "disk.config", self._home / "guest.xml"
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(self._base), str(disk), self._size)
        shutil.copyfile(self._drive, drive)
        drive.chmod(0o444)
        xml.write_text(self._xml)
        _virsh("create", str(xml))
        figures = (time.monotonic() - started) * 1000, _children_ms() - cpu
        _virsh("destroy", self._name)
        for file in (disk, drive):
            os.unlink(file)
        return figures

    def remove(self) -> None:
        shutil.rmtree(self._home)


def _virtual_size(image: Path) -> str:
    told = _run("qemu-img", "info", "-f", "qcow2", "--output=json", str(image))
    return str(told.partition('"virtual-size": ')[2].partition(",")[0])


def _set(root: ElementTree.Element, name: str, text: str) -> None:
    found = root.find(name)
    assert found is not None
    found.text = text


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _virsh(*arguments: str) -> str:
    return _run("virsh", *arguments)


def _children_ms() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000
