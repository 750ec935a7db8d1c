"""What both sides of the drive benchmarks are asked to deliver; the standard library only, for Nova's own Python."""

from __future__ import annotations

import random
from dataclasses import dataclass

INSTANCE_ID = "5ca1ab1e-0000-4000-8000-000000000001"
IMAGE_ID = "5ca1ab1e-1111-4000-8000-000000000001"
HOSTNAME = "web"
DOMAIN = "novalocal"
PROJECT = "engines"
FLAVOR = "m1.small"
ZONE = "nova"
RESERVATION = "r-12345678"
KEY_NAME = "laptop"
PASSWORD = "correct horse battery"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICsNenn6AbD79LkttOwDsp/BOMw452gOC7j+O8ywx9nb ada@example"
METADATA = {"role": "web", "tier": "1", "essential": "false"}
USER_DATA = (b"#cloud-config\n" + b"# a comment\n" * 400)[:4096]
# Not compressible and not equal: neither side has anything to share between them.
FILES = tuple((f"/etc/file{number}", random.Random(number).randbytes(10 * 1024)) for number in range(5))


@dataclass(frozen=True, slots=True)
class Card:
    """One network card with a static address."""

    mac: str
    network: str
    cidr: str
    ip: str
    gateway: str
    dns: str


CARDS = tuple(
    Card(
        mac=f"52:54:00:00:00:0{number}",
        network=f"5ca1ab1e-2222-4000-8000-00000000000{number}",
        cidr=f"10.0.{number}.0/24",
        ip=f"10.0.{number}.15",
        gateway=f"10.0.{number}.1",
        dns=f"10.0.{number}.3",
    )
    for number in (1, 2)
)
