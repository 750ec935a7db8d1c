"""Every option, with the names Nova gives them where Nova has them; registered on an object that is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oslo_config import cfg
from oslo_config.types import Port, String

from injector.model.finding import RULES, Severity
from injector.settings import (
    ApiSettings,
    ComputeSettings,
    DispatcherSettings,
    DriveSettings,
    ImageSettings,
    LibvirtSettings,
    PartitionSettings,
    Quotas,
)

_API = ApiSettings(socket=None, socket_group=None)
_QUOTA = Quotas()
_DRIVE = DriveSettings()
_VENDOR = _DRIVE.vendor_data
_PARTITION = PartitionSettings()
_LIBVIRT = LibvirtSettings()
_IMAGES = ImageSettings()
_COMPUTE = ComputeSettings()
_DISPATCHER = DispatcherSettings()

DEFAULT: Sequence[cfg.Opt] = (
    cfg.HostAddressOpt(
        "host",
        sample_default="the host's name",
        help="The name of this host: instances are tied to it, so it must not change while there are any.",
    ),
    cfg.StrOpt("state_path", default="/var/lib/injector", help="Where everything lives that must survive a restart."),
    cfg.FloatOpt(
        "shutdown_timeout",
        default=60.0,
        min=0,
        help="Seconds that builds in flight get to finish at SIGTERM; what is not done by then is undone.",
    ),
    cfg.StrOpt("availability_zone", default="nova", help="The availability zone this host is in."),
    cfg.BoolOpt(
        "force_config_drive",
        default=True,
        help="Give every new guest a config drive, asked for or not. Partition injection (inject_partition) is only "
        "chosen when this is False. Binds first builds only.",
    ),
    cfg.StrOpt(
        "config_drive_format",
        default="iso9660",
        choices=[
            ("iso9660", "ISO 9660 with Joliet and Rock Ridge, on a cdrom"),
            ("vfat", "FAT with long names, on a read-only disk: its medium never changes while the guest runs"),
        ],
        help="The format of config drives.",
    ),
    cfg.BoolOpt(
        "config_drive_inject_password",
        default=_DRIVE.admin_pass,
        help="Put the administrator's password onto config drives in clear (admin_pass in meta_data.json), as Nova "
        "does: it is how cloudbase-init learns it. A Windows guest cannot be given a password without.",
    ),
    cfg.StrOpt(
        "linux_password",
        default=_DRIVE.linux_password,
        choices=[
            ("given", "root gets a password that the caller gave"),
            ("always", "root gets the generated one too"),
            ("never", "none; a request that gives one is refused, unless its image says os_type=windows"),
        ],
        help="Which passwords config drives tell Linux guests, which do not read admin_pass: as a SHA-512 hash for "
        "root in vendor_data.json, set by cloud-init (chpasswd).",
    ),
    cfg.BoolOpt(
        "flat_injected",
        default=_DRIVE.flat_injected,
        help="Write static addresses also as text, by injected_network_template: as network_config on config drives. "
        "Guests read network_data.json first, and that is always there.",
    ),
    cfg.StrOpt(
        "injected_network_template",
        sample_default="the interfaces.template of this package",
        help="A Jinja2 template for that text. Variables as in Nova: interfaces, use_ipv6, libvirt_virt_type. Read and "
        "tried out at start.",
    ),
)

API: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "socket",
        default="/run/injector/api.sock",
        help="The Unix socket of the API (0660): whoever can open it is the administrator. Empty: none.",
    ),
    cfg.StrOpt("socket_group", default="injector", help="The group that may open the socket, if it exists."),
    cfg.HostAddressOpt(
        "host",
        default=_API.host,
        help="The address the API listens on. Every request over TCP needs the token in <state_path>/admin-token: "
        "guests on a user network reach the host's loopback.",
    ),
    cfg.IntOpt("port", default=_API.port, min=-1, max=65535, help="The TCP port of the API; 0: any free; -1: none."),
    cfg.IntOpt("threads", default=_API.threads, min=1, help="Requests served at once on each listener."),
    cfg.IntOpt(
        "max_request_body_size",
        default=_API.max_request_body_size,
        min=1024,
        help="Bytes a request's body may have (413 above); uploads of images are not limited by this.",
    ),
    cfg.BoolOpt(
        "enable_instance_password",
        default=_API.enable_instance_password,
        help="Return the administrator password in the answer to a create request.",
    ),
    cfg.IntOpt("password_length", default=_API.password_length, min=8, help="Length of generated passwords."),
    cfg.StrOpt("dhcp_domain", default=_DRIVE.dhcp_domain, help="Appended to the hostname in metadata; empty: nothing."),
    cfg.ListOpt(
        "config_drive_skip_versions",
        default=list(_DRIVE.skip_versions),
        help="EC2 metadata versions that are left out of config drives.",
    ),
    cfg.ListOpt(
        "vendordata_providers",
        item_type=cfg.types.String(choices=["StaticJSON", "DynamicJSON"]),
        default=list(_VENDOR.providers),
        help="Where vendor data come from: a file (vendordata_jsonfile_path), and services "
        "(vendordata_dynamic_targets). Read by the host that builds.",
    ),
    cfg.StrOpt(
        "vendordata_jsonfile_path",
        help='A file with a JSON object: vendor_data.json, and "static" in vendor_data2.json. Read at start.',
    ),
    cfg.ListOpt(
        "vendordata_dynamic_targets",
        secret=True,
        default=[],
        help="Services, as name@url: each is asked once a config drive, by a POST that tells it of the server, and its "
        "JSON is put under its name into vendor_data2.json. Credentials in the URL are sent as basic authentication.",
    ),
    cfg.IntOpt(
        "vendordata_dynamic_connect_timeout",
        default=int(_VENDOR.connect_timeout),
        min=3,
        help="Seconds that connecting to such a service may take.",
    ),
    cfg.IntOpt(
        "vendordata_dynamic_read_timeout",
        default=int(_VENDOR.read_timeout),
        min=1,
        help="Seconds that such a service has to answer once it is connected.",
    ),
    cfg.BoolOpt(
        "vendordata_dynamic_failure_fatal",
        default=_VENDOR.failure_fatal,
        help="End the build when such a service fails; else its part is left out, and the log says so.",
    ),
    cfg.StrOpt(
        "vendordata_dynamic_ssl_certfile",
        default="",
        help="Certificates of the authorities to trust for https targets; empty: those of this host.",
    ),
)

QUOTA: Sequence[cfg.Opt] = (
    cfg.IntOpt("injected_files", default=_QUOTA.injected_files, min=-1, help="Files per request; -1: no limit."),
    cfg.IntOpt(
        "injected_file_content_bytes",
        default=_QUOTA.injected_file_content_bytes,
        min=-1,
        help="Length of a file's content as base64 text (as Nova counts it); -1: no limit.",
    ),
    cfg.IntOpt(
        "injected_file_path_length",
        default=_QUOTA.injected_file_path_length,
        min=-1,
        help="Characters of a file's path; -1: no limit.",
    ),
    cfg.IntOpt("metadata_items", default=_QUOTA.metadata_items, min=-1, help="Metadata items; -1: no limit."),
    cfg.IntOpt("key_pairs", default=_QUOTA.key_pairs, min=-1, help="Key pairs per user; -1: no limit."),
    cfg.IntOpt(
        "user_data", default=_QUOTA.user_data, min=0, help="Length of user-data as base64 text, as Nova counts it."
    ),
    cfg.IntOpt(
        "instances_per_request",
        default=_QUOTA.instances_per_request,
        min=1,
        help="Instances that one request may boot (max_count).",
    ),
)

DATABASE: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "connection",
        secret=True,
        sample_default="sqlite:///<state_path>/injector.sqlite",
        help="The SQLAlchemy URL of the database.",
    ),
)

SECRETS: Sequence[cfg.Opt] = (
    cfg.ListOpt(
        "key_files",
        default=[],
        sample_default=["<state_path>/secrets.key"],
        help="Files of the keys of the installation, each 0600: the first seals what is secret, all of them open it. "
        "Every api and every compute needs the same ones. Only the default file is made at the first start; "
        "injector-manage secrets new-key makes others.",
    ),
)

LIBVIRT: Sequence[cfg.Opt] = (
    cfg.StrOpt("connection_uri", default=_LIBVIRT.connection_uri, help="The libvirt connection."),
    cfg.StrOpt(
        "virt_type",
        default=_LIBVIRT.virt_type,
        choices=[
            ("auto", "prove KVM by booting with it at start; fall back to qemu with a warning"),
            ("kvm", "KVM, unproven"),
            ("qemu", "emulation (TCG)"),
        ],
        help="How guests run.",
    ),
    cfg.StrOpt(
        "cpu_mode",
        choices=["host-model", "host-passthrough", "maximum", "custom", "none"],
        help="The guests' processor; unset: host-model with KVM, maximum with qemu.",
    ),
    cfg.StrOpt("cpu_model", help="The processor's model, with cpu_mode = custom."),
    cfg.FloatOpt(
        "kvm_probe_timeout",
        default=_LIBVIRT.kvm_probe_timeout,
        min=0.1,
        help="Seconds a boot sector has to run under KVM; a right answer that comes later is a no.",
    ),
    cfg.FloatOpt("connect_timeout", default=_LIBVIRT.connect_timeout, min=1, help="Seconds libvirt has to answer."),
    cfg.FloatOpt("start_timeout", default=_LIBVIRT.start_timeout, min=1, help="Seconds a domain has to be running."),
    cfg.FloatOpt(
        "shutdown_timeout",
        default=_LIBVIRT.shutdown_timeout,
        min=0,
        help="Seconds a guest has to power off or restart by itself before it is forced to.",
    ),
    cfg.IntOpt(
        "inject_partition",
        default=-2,
        min=-2,
        help="-2: no partition injection; -1: find the root by inspection; 0: the whole disk; N: partition N. "
        "Only used when no config drive is wanted (force_config_drive = False).",
    ),
    cfg.BoolOpt("inject_key", default=False, help="Partition injection writes the key."),
    cfg.BoolOpt("inject_password", default=False, help="Partition injection writes the administrator password."),
)

INJECTION: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "undeliverable",
        default="refuse",
        choices=[
            ("refuse", "a boot that asks for what cannot be delivered is refused, naming it"),
            ("warn", "it boots without, and the receipt says so"),
        ],
        help="What to do about items that cannot be delivered.",
    ),
    cfg.ListOpt(
        "filesystems",
        default=list(_PARTITION.filesystems),
        item_type=String(choices=["ext", "guestfs", "mounted"]),
        help="Back ends of partition injection in the order in which they are tried: ext (ext2, ext3 and ext4, without "
        "an appliance and without a mount), guestfs (everything libguestfs reads), mounted (the host's own kernel "
        "mounts the guest's file system: ext, xfs and btrfs, as root, for images you trust only).",
    ),
    cfg.IntOpt("workers", default=_PARTITION.workers, min=1, help="Processes kept ready to write into a guest (ext)."),
    cfg.FloatOpt("deadline", default=_PARTITION.deadline, min=1, help="Seconds a back end may take for one guest."),
    cfg.FloatOpt(
        "guestfs_deadline",
        default=_PARTITION.guestfs_deadline,
        min=10,
        help="The same for guestfs, which boots an appliance: seconds with KVM, half a minute without.",
    ),
    cfg.IntOpt(
        "memory_limit",
        default=_PARTITION.memory_limit,
        min=2**26,
        help="Bytes of memory a process that reads a guest's file system may map (not guestfs).",
    ),
)

IMAGES: Sequence[cfg.Opt] = (
    cfg.IntOpt("cpu_time_limit", default=_IMAGES.cpu_time_limit, min=1, help="CPU seconds qemu-img may use."),
    cfg.IntOpt(
        "address_space_limit", default=_IMAGES.address_space_limit, min=2**26, help="Bytes of memory qemu-img may map."
    ),
    cfg.FloatOpt("wall_time_limit", default=_IMAGES.wall_time_limit, min=1, help="Seconds qemu-img may take."),
    cfg.IntOpt("max_size", default=_IMAGES.max_size, min=2**20, help="Bytes an image may have, also unpacked."),
    cfg.FloatOpt(
        "cache_unused_after",
        default=_IMAGES.cache_unused_after,
        min=0,
        help="Seconds after its last use that a base image may leave a host's cache.",
    ),
    cfg.StrOpt(
        "directory",
        sample_default="<state_path>/images",
        help="Where the api keeps images. Several apis have one such directory, on storage that they share.",
    ),
    cfg.StrOpt(
        "source",
        default=_IMAGES.source,
        choices=[
            ("local", "that directory: api and compute are on one host, or share it"),
            ("http", "the api at api_endpoint"),
        ],
        help="Where a compute has images from.",
    ),
    cfg.URIOpt(
        "api_endpoint",
        schemes=["http", "https"],
        help="With source = http: the api, or what stands before several, such as https://api.example.org:8774. The "
        "token goes there: without https, anybody on the way can read it.",
    ),
    cfg.StrOpt(
        "token_file",
        help="With source = http: a file with the api's token (its <state_path>/admin-token), readable by the daemon's "
        "user only.",
    ),
    cfg.StrOpt("cafile", help="Certificates of the authorities to trust for api_endpoint; unset: those of this host."),
)

COMPUTE: Sequence[cfg.Opt] = (
    cfg.IntOpt(
        "max_concurrent_builds", default=_COMPUTE.max_concurrent_builds, min=1, help="Builds at once on this host."
    ),
    cfg.FloatOpt(
        "reconcile_interval",
        default=_COMPUTE.reconcile_interval,
        min=1,
        help="Seconds between two comparisons of the host's guests with the records.",
    ),
    cfg.FloatOpt(
        "report_interval",
        default=_COMPUTE.report_interval,
        min=0.1,
        help="Seconds between two signs of life; several must fit into [dispatcher] host_down_after.",
    ),
    cfg.FloatOpt(
        "witness_interval",
        default=_COMPUTE.witness_interval,
        min=0.1,
        help="Seconds between two questions to a booting guest.",
    ),
    cfg.FloatOpt(
        "witness_timeout",
        default=_COMPUTE.witness_timeout,
        min=1,
        help="Seconds after which a guest that has not finished its boot is no longer asked.",
    ),
    cfg.IntOpt(
        "reserved_memory_mib",
        default=_COMPUTE.reserved_memory_mib,
        min=0,
        help="MiB of the host's memory that guests do not get.",
    ),
)

DISPATCHER: Sequence[cfg.Opt] = (
    cfg.IntOpt("max_attempts", default=_DISPATCHER.max_attempts, min=1, help="Hosts a build is tried on."),
    cfg.FloatOpt(
        "ring_interval",
        default=_DISPATCHER.ring_interval,
        min=0.1,
        help="Seconds of silence after which a compute is told again what there is to do.",
    ),
    cfg.FloatOpt(
        "cpu_allocation_ratio", default=_DISPATCHER.cpu_allocation_ratio, min=0.1, help="Virtual to real processors."
    ),
    cfg.FloatOpt(
        "ram_allocation_ratio", default=_DISPATCHER.ram_allocation_ratio, min=0.1, help="Promised to real memory."
    ),
    cfg.FloatOpt(
        "disk_allocation_ratio", default=_DISPATCHER.disk_allocation_ratio, min=0.1, help="Promised to real disk."
    ),
    cfg.FloatOpt(
        "host_down_after",
        default=_DISPATCHER.host_down_after,
        min=0.5,
        help="Seconds without a sign of life, by the database's clock, after which a host counts as down: it gets no "
        "guests, builds that were not yet allowed to start there move to another, and servers are shown as UNKNOWN. "
        "The same everywhere.",
    ),
    cfg.Opt(
        "forward_first_port",
        type=Port(),
        default=_DISPATCHER.forward_first_port,
        help="First port on 127.0.0.1 that leads into a user network.",
    ),
    cfg.Opt("forward_last_port", type=Port(), default=_DISPATCHER.forward_last_port, help="Last such port."),
    cfg.IntOpt(
        "keep_generations",
        default=_DISPATCHER.keep_generations,
        min=1,
        help="How many generations of a guest's config drive are kept to go back to; the current one always is.",
    ),
)

UPGRADE_LEVELS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "dispatcher",
        regex=r"1\.\d+",
        help="The RPC version of the oldest dispatcher while they are being upgraded, such as 1.0; newer apis and "
        "computes then ask for nothing that it does not know. Not set: today's.",
    ),
)

_SEVERITIES = [
    (Severity.WARN.value, "the server boots; the finding is kept with it and shown"),
    (Severity.DENY.value, "the request is refused, naming what was found"),
    (Severity.OFF.value, "nobody is told"),
]

LINT: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "cloud_config_schema",
        sample_default="<state_path>/schema-cloud-config-v1.json",
        help="cloud-init's own JSON schema of cloud-configs (cloudinit/config/schemas/ in its package): its version "
        "decides what is allowed. While there is no such file, cloud-configs are not checked by it.",
    ),
    *(
        cfg.StrOpt(check.value, default=rule.severity.value, choices=_SEVERITIES, help=f"On {rule.meaning}.")
        for check, rule in RULES.items()
    ),
)

GROUPS: Mapping[str, Sequence[cfg.Opt]] = {
    "DEFAULT": DEFAULT,
    "api": API,
    "quota": QUOTA,
    "database": DATABASE,
    "secrets": SECRETS,
    "libvirt": LIBVIRT,
    "injection": INJECTION,
    "images": IMAGES,
    "compute": COMPUTE,
    "dispatcher": DISPATCHER,
    "upgrade_levels": UPGRADE_LEVELS,
    "lint": LINT,
}


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """For oslo-config-generator (entry point ``oslo.config.opts``)."""
    return [(group, list(options)) for group, options in GROUPS.items()]


def register(conf: cfg.ConfigOpts) -> None:
    for group, options in GROUPS.items():
        conf.register_opts(list(options), group=None if group == "DEFAULT" else group)
