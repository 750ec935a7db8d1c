"""A worker that injects with Nova, as its libvirt driver does; run by the Python that Nova lives in.

Arguments: the partition, the base image and the directory for overlays.
"""

from __future__ import annotations

import sys
from pathlib import Path

# libguestfs's binding comes from Debian only. Last, so that nothing else of Debian's is taken.
sys.path.append("/usr/lib/python3/dist-packages")

import nova.conf
from nova import objects
from nova.network import model
from nova.virt import netutils
from nova.virt.disk import api
from nova.virt.disk.vfs import guestfs
from nova.virt.image import model as images

from tests.bench import _asked as asked
from tests.bench._nova_drive import card
from tests.bench._overlays import make_overlay
from tests.bench._rounds import serve


def main(partition: int, base: Path, scratch: Path) -> None:
    nova.conf.CONF(["--config-dir", str(scratch)], project="nova", default_config_files=[])
    objects.register_all()
    guestfs.force_tcg()
    network_info = model.NetworkInfo([card(one, injected=True) for one in asked.CARDS])

    def make(directory: Path) -> None:
        # LibvirtDriver._inject_data, from the network's template on.
        net = netutils.get_injected_network_template(network_info, libvirt_virt_type="qemu")
        image = images.LocalFileImage(str(directory / "disk"), images.FORMAT_QCOW2)
        done = api.inject_data(
            image,
            asked.PUBLIC_KEY,
            net,
            dict(asked.METADATA),
            asked.PASSWORD,
            list(asked.FILES),
            partition=partition,
            mandatory=("files",),
        )
        if not done:
            raise RuntimeError("Nova did not inject everything")

    serve(make, scratch, prepare=lambda directory: make_overlay(base, directory / "disk"), warm_up=1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
