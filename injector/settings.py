"""What the operator decided, as frozen values; read once from oslo.config in ``conf`` and handed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from injector.model.finding import Check, Severity, severities
from injector.model.host import InjectionPolicy


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the API listens; ``port`` 0 is any free one, None none. The Unix socket is None when it is not wanted."""

    socket: Path | None
    socket_group: str | None
    host: str = "127.0.0.1"
    port: int | None = 8774
    threads: int = 6
    max_request_body_size: int = 1024 * 1024
    enable_instance_password: bool = True
    password_length: int = 12


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits on what a request may inject; -1 is unlimited. File content is counted as base64 text, as Nova does."""

    injected_files: int = 5
    injected_file_content_bytes: int = 10240
    injected_file_path_length: int = 255
    metadata_items: int = 128
    key_pairs: int = 100
    user_data: int = 65535
    instances_per_request: int = 100


@dataclass(frozen=True, slots=True)
class VendorDataSettings:
    """What the operator says to every guest, as in Nova; ``targets`` are ``name@url``, perhaps with credentials.

    Times in seconds.
    """

    providers: tuple[str, ...] = ("StaticJSON",)
    jsonfile: Path | None = None
    targets: tuple[str, ...] = field(default=(), repr=False)
    connect_timeout: float = 5.0
    read_timeout: float = 5.0
    failure_fatal: bool = False
    ssl_certfile: Path | None = None


@dataclass(frozen=True, slots=True)
class DriveSettings:
    """How a config drive is made; ``skip_versions`` are EC2 ones, as in Nova's ``config_drive_skip_versions``.

    ``linux_password`` and ``admin_pass`` as in ``InjectionPolicy`` (there ``drive_password``).
    ``flat_injected``: static addresses also as ``network_config``, from ``network_template`` (None: the one shipped).
    """

    dhcp_domain: str = "novalocal"
    skip_versions: tuple[str, ...] = (
        "1.0",
        "2007-01-19",
        "2007-03-01",
        "2007-08-29",
        "2007-10-10",
        "2007-12-15",
        "2008-02-01",
        "2008-09-01",
    )
    linux_password: str = "given"
    admin_pass: bool = True
    flat_injected: bool = False
    network_template: Path | None = None
    virt_type: str = "kvm"
    vendor_data: VendorDataSettings = field(default_factory=VendorDataSettings)


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """How a guest's partition is written: back ends in the order tried, seconds and bytes each may take.

    ``workers`` are kept ready. ``network_template`` as in ``DriveSettings``.
    """

    filesystems: tuple[str, ...] = ("ext", "guestfs")
    workers: int = 2
    deadline: float = 20.0
    guestfs_deadline: float = 300.0
    memory_limit: int = 512 * 1024**2
    network_template: Path | None = None
    virt_type: str = "kvm"


@dataclass(frozen=True, slots=True)
class LibvirtSettings:
    """``virt_type`` auto | kvm | qemu; ``cpu_mode`` None leaves it to the type; times in seconds."""

    connection_uri: str = "qemu:///system"
    virt_type: str = "auto"
    cpu_mode: str | None = None
    cpu_model: str | None = None
    kvm_probe_timeout: float = 2.0
    connect_timeout: float = 10.0
    start_timeout: float = 30.0
    shutdown_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Limits on qemu-img and on what is kept: seconds, and bytes of address space and image.

    ``directory`` is the api's store, None its place in the state. Where a compute has images from: ``source`` local is
    that directory, http the api at ``api_endpoint`` (an URL without a path), with the token in ``token_file``, believed
    when an authority of ``cafile`` (None: of the host's) vouches for it.
    """

    cpu_time_limit: int = 30
    address_space_limit: int = 2 * 1024**3
    wall_time_limit: float = 300.0
    max_size: int = 100 * 1024**3
    cache_unused_after: float = 86400.0
    directory: Path | None = None
    source: str = "local"
    api_endpoint: str | None = None
    token_file: Path | None = None
    cafile: Path | None = None


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """How many builds at once; how often (seconds) the host is looked over, and says that it is there."""

    max_concurrent_builds: int = 10
    reconcile_interval: float = 30.0
    report_interval: float = 10.0
    witness_interval: float = 2.0
    witness_timeout: float = 900.0
    reserved_memory_mib: int = 512


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """How a build is pushed on: rung again after ``ring_interval`` seconds of silence, on ``max_attempts`` hosts.

    A host that was not heard of for ``host_down_after`` seconds gets no guests.
    """

    max_attempts: int = 3
    ring_interval: float = 15.0
    cpu_allocation_ratio: float = 16.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0
    host_down_after: float = 60.0
    forward_first_port: int = 20000
    forward_last_port: int = 24999
    keep_generations: int = 5


@dataclass(frozen=True, slots=True)
class LintSettings:
    """What is made of each check's findings, and the file of cloud-init's schema (None: nothing is checked by it)."""

    severities: Mapping[Check, Severity] = field(default_factory=severities)
    cloud_config_schema: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, once. ``state_dir`` holds what must survive; see the properties for where.

    ``key_files``: the first seals, all of them open; empty is ``secrets_key`` alone. ``dispatcher_level``: the RPC
    version that dispatchers are held at during an upgrade; None: today's.
    """

    host: str
    state_dir: Path
    database_connection: str = field(repr=False)
    api: ApiSettings
    shutdown_timeout: float = 60.0
    dispatcher_level: str | None = None
    availability_zone: str = "nova"
    quotas: Quotas = field(default_factory=Quotas)
    policy: InjectionPolicy = field(default_factory=InjectionPolicy)
    drive: DriveSettings = field(default_factory=DriveSettings)
    partition: PartitionSettings = field(default_factory=PartitionSettings)
    libvirt: LibvirtSettings = field(default_factory=LibvirtSettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    dispatcher: DispatcherSettings = field(default_factory=DispatcherSettings)
    lint: LintSettings = field(default_factory=LintSettings)
    key_files: tuple[Path, ...] = ()

    @property
    def instances_dir(self) -> Path:
        return self.state_dir / "instances"

    @property
    def images_dir(self) -> Path:
        """The api's image store."""
        return self.images.directory or self.state_dir / "images"

    @property
    def base_dir(self) -> Path:
        """The compute's cache of base images, named by digest."""
        return self.state_dir / "base"

    @property
    def facts_dir(self) -> Path:
        """What the compute found out about images, by digest."""
        return self.state_dir / "facts"

    @property
    def admin_token(self) -> Path:
        return self.state_dir / "admin-token"

    @property
    def secrets_key(self) -> Path:
        return self.state_dir / "secrets.key"
