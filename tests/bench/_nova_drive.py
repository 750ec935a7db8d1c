"""A worker that makes config drives with Nova, as its libvirt driver does; run by the Python that Nova lives in."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import nova.conf
from nova import context, objects
from nova.api.metadata.base import InstanceMetadata
from nova.network import model, security_group_api
from nova.virt.configdrive import ConfigDriveBuilder

from tests.bench import _asked as asked
from tests.bench._rounds import serve


def main(scratch: Path) -> None:
    nova.conf.CONF(["--config-dir", str(scratch)], project="nova", default_config_files=[])
    nova.conf.CONF.set_override("tempdir", str(scratch))
    nova.conf.CONF.set_override("dhcp_domain", asked.DOMAIN, group="api")
    objects.register_all()
    _no_neutron_and_no_database()
    instance, network_info = _instance(), model.NetworkInfo([card(one) for one in asked.CARDS])

    def make(directory: Path) -> None:
        # LibvirtDriver._create_configdrive, from its InstanceMetadata on.
        metadata = InstanceMetadata(instance, content=list(asked.FILES), extra_md={}, network_info=network_info)
        with ConfigDriveBuilder(instance_md=metadata) as builder:
            builder.make_drive(str(directory / "disk.config"))

    serve(make, scratch)


def _no_neutron_and_no_database() -> None:
    """Answers at once what Nova asks of others meanwhile: in its favour."""
    security_group_api.get_instance_security_groups = lambda *_: [{"name": "default"}]
    objects.Instance.get_bdms = lambda _: objects.BlockDeviceMappingList(objects=[])


def _instance() -> Any:
    ctxt = context.get_admin_context()
    return objects.Instance(
        context=ctxt,
        id=1,
        uuid=asked.INSTANCE_ID,
        user_id="ada",
        project_id=asked.PROJECT,
        hostname=asked.HOSTNAME,
        display_name=asked.HOSTNAME,
        launch_index=0,
        reservation_id=asked.RESERVATION,
        availability_zone=asked.ZONE,
        root_device_name="/dev/vda",
        default_ephemeral_device=None,
        default_swap_device=None,
        key_name=asked.KEY_NAME,
        key_data=asked.PUBLIC_KEY,
        keypairs=objects.KeyPairList(objects=[_key()]),
        user_data=base64.b64encode(asked.USER_DATA).decode(),
        metadata=dict(asked.METADATA),
        system_metadata={},
        security_groups=objects.SecurityGroupList(objects=[]),
        ec2_ids=objects.EC2Ids(instance_id="i-5ca1ab1e", ami_id="ami-5ca1ab1e", kernel_id=None, ramdisk_id=None),
        flavor=objects.Flavor(name=asked.FLAVOR),
        device_metadata=None,
        numa_topology=None,
    )


def _key() -> Any:
    return objects.KeyPair(name=asked.KEY_NAME, type="ssh", public_key=asked.PUBLIC_KEY)


def card(one: asked.Card, **network_meta: Any) -> Any:
    """A card with the static address, as Neutron describes it."""
    subnet = model.Subnet(
        cidr=one.cidr,
        dns=[model.IP(one.dns, "dns")],
        gateway=model.IP(one.gateway, "gateway"),
        ips=[model.FixedIP(address=one.ip)],
        routes=[],
    )
    network = model.Network(id=one.network, bridge="br0", label="lab", subnets=[subnet], **network_meta)
    return model.VIF(id=one.network, address=one.mac, network=network, type="other")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
