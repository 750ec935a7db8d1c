"""Run by test_libvirt_host as a user with no rights but libvirt's group: two guests on one base, one that talks a lot.

python -m tests.system.unprivileged_guest STATE_DIR LIBVIRT_URI      prints one line of JSON
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from injector.images.cache import BaseCache
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from injector.settings import ApiSettings, LibvirtSettings, Settings
from injector.virt.driver import Asks
from injector.virt.libvirt.driver import LibvirtDriver
from injector.virt.libvirt.host import Host
from tests import builders as a
from tests.hypervisors import OtherPorts, Records, Shelf, Stage, by_hand, tiny_images

# More than virtlogd keeps in one file.
CHATTER = b"#!/bin/sh\nyes 0123456789abcdef0123456789abcdef0123456789abcdef | head -c 2500000\necho chatter ends\n"


def main(state_dir: Path, uri: str) -> dict[str, Any]:
    settings = Settings("h", state_dir, "", ApiSettings(None, None), libvirt=LibvirtSettings(uri, "qemu"))
    host = Host(uri, 10.0, str(settings.instances_dir))
    group = host.qemu_group()
    shelf, ports, records = Shelf(state_dir / "shelf"), OtherPorts(), Records()
    cache = BaseCache(settings.base_dir, shelf, group)
    driver = LibvirtDriver(host, settings, a.a_vault(), cache, group, Asks(ports, records, records.keep_facts))
    stage = Stage(driver, settings, shelf, tiny_images(shelf), True, True, ports, records, by_hand(host))
    try:
        return tell(stage)
    finally:
        for instance_id in driver.local():
            driver.destroy(instance_id)
        driver.close()


def tell(stage: Stage) -> dict[str, Any]:
    quiet = stage.instance()
    talker = stage.instance(items=(a.an_item(ItemKind.USER_DATA, "user_data"),))
    receipts = [stage.spawn(quiet).receipt, stage.spawn(talker, a.a_payload(user_data=Secret(CHATTER))).receipt]
    told: dict[str, Any] = {"quiet": stage.last_word(quiet).state, "talker": stage.last_word(talker, 300).state}
    console = stage.workspace(talker).console
    told["console owner"] = console.stat().st_uid
    told["console"] = stage.driver.console(talker.id, 60).decode()
    told["longer console"] = len(stage.driver.console(talker.id, 2_200_000))
    stage.driver.reboot(quiet, hard=True)
    stage.driver.destroy(talker.id)
    told["drive is the same"] = stage.drive(quiet) == receipts[0].drive_digest
    told["not ours"] = sorted(path.name for path in kept(stage) if path.stat().st_uid != os.getuid())
    told["wrong mode"] = [path.name for path in kept(stage) if stat.S_IMODE(path.stat().st_mode) != 0o440]
    stage.driver.destroy(quiet.id)
    told["left"] = sorted(stage.leftovers)
    return told


def kept(stage: Stage) -> Iterator[Path]:
    """Base images and drives: what libvirt must leave to us."""
    yield from (path for path in stage.settings.base_dir.iterdir() if not path.name.startswith("."))
    yield from stage.settings.instances_dir.glob("*/disk.config")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
