"""Items in a real file system, by every back end: e2fsck and debugfs are the judges of what an errand has left.

A back end is a line in ``BACK_ENDS``; its disk is a small Debian's root, with what an attacker would put there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from injector.errors import ItemRefused
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.errand import Inject, Injected, Look, Looked, Wanted
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.filesystem import Opener
from injector.inject.partition.mounted.opener import MountedOpener
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from tests import builders as a
from tests import judges
from tests.guest_appliance import Slots
from tests.guest_disks import MIB, GuestDisk, RawDisk, debugfs, fsck, make_ext
from tests.guest_mount import RawFile
from tests.memory_files import PASSWD, SHADOW

STAMP = 1_700_000_000
KEYS = "/root/.ssh/authorized_keys"
LABEL = "system_u:object_r:ssh_home_t:s0"
OLD_LABEL = "system_u:object_r:old_t:s0"
FULL = 12 * MIB


Opening = Callable[[GuestDisk], AbstractContextManager[Opener]]


@contextmanager
def _ext(disk: GuestDisk) -> Iterator[Opener]:
    with RawDisk(disk.path) as raw:
        yield ExtOpener(raw)


@contextmanager
def _mounted(disk: GuestDisk) -> Iterator[Opener]:
    yield MountedOpener(RawFile(disk.path, disk.path.parent))


def _guestfs(request: pytest.FixtureRequest) -> Opening:
    slots: Slots = request.getfixturevalue("appliance_slots")
    return slots.opener


BACK_ENDS: dict[str, Callable[[pytest.FixtureRequest], Opening]] = {
    "ext": lambda _request: _ext,
    "guestfs": _guestfs,
    # Only root can have the kernel mount a disk.
    **({"mounted": lambda _request: _mounted} if os.geteuid() == 0 else {}),
}

FILES = {
    "etc/passwd": PASSWD,
    "etc/group": b"root:x:0:\nada:x:1000:\n",
    "etc/shadow": SHADOW,
    "etc/login.defs": b"ENCRYPT_METHOD SHA512\n",
    "etc/motd": b"old\n",
    "etc/network/interfaces": b"auto lo\niface lo inet loopback\n",
    "sbin/ifup": b"ELF",
    "var/shadow": SHADOW,
    "etc/selinux/config": b"SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    "etc/selinux/targeted/contexts/files/file_contexts": f"/root/\\.ssh(/.*)?\t{LABEL}\n".encode(),
}


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> GuestDisk:
    place = tmp_path_factory.mktemp("items")
    tree = place / "tree"
    for path, content in FILES.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    for directory in ("root", "home/ada", "data", "srv"):
        (tree / directory).mkdir(parents=True)
    os.link(tree / "etc/motd", tree / "etc/twin")
    os.mkfifo(tree / "srv/fifo")
    (tree / "srv/loop").symlink_to("/srv/loop")
    (tree / "srv/out").symlink_to("../../../../etc")
    (tree / "srv/shadow").symlink_to("/srv/shadow")
    for number in range(41):
        (tree / f"srv/{number}").symlink_to(f"/srv/{number + 1}" if number < 40 else "/etc/motd")
    disk = make_ext(place / "disk", size=FULL, tree=tree)
    owned = [f"set_inode_field {path} {field} {value}" for path, field, value in OWNED]
    labelled = [f'ea_set {path} security.selinux "{OLD_LABEL}\\000"' for path in ("/etc", "/etc/motd", "/etc/shadow")]
    debugfs(disk, *owned, *labelled)
    return disk


OWNED = (
    *(("/etc/shadow", "gid", 42), ("/etc/shadow", "mode", "0100640"), ("/etc/motd", "mode", "0100604")),
    *(("/home/ada", "uid", 1000), ("/home/ada", "gid", 1000), ("/root", "mode", "040700"), ("/etc/motd", "uid", 33)),
)


@dataclass(frozen=True)
class Guest:
    """A disk of its own, and the back end that edits it."""

    disk: GuestDisk
    opener: Opening
    exact: bool

    def inject(self, *wanted: Wanted, admin_user: str | None = None) -> Injected:
        errand = Inject(self.disk.root, wanted, STAMP, nics=(a.a_nic(),), admin_user=admin_user)
        with self.opener(self.disk) as opener:
            answer = carry_out(errand, opener)
        assert isinstance(answer, Injected)
        assert fsck(self.disk) == ""
        return answer

    def refuses(self, *wanted: Wanted) -> str:
        """The reason; not a byte of the disk has changed, or where a kernel mounted it, not a file."""
        before = self.state()
        with pytest.raises(ItemRefused) as refusal:
            self.inject(*wanted)
        assert self.state() == before
        return refusal.value.message

    def state(self) -> str:
        if self.exact:
            return self.disk.digest()
        # Of what is not there (/opt, before anything was written) the root says so.
        places = ("/", "/etc", "/root", "/srv", "/home", "/etc/network")
        return debugfs(self.disk, *(f"ls -l {place}" for place in places), "cat /etc/motd", "stat /etc/shadow")

    def read(self, path: str) -> bytes:
        return debugfs(self.disk, f"cat {path}").encode()

    def stat(self, path: str) -> tuple[int, int, int, int]:
        """Inode, mode, owner and group, as debugfs sees them."""
        said = debugfs(self.disk, f"stat {path}")
        found = re.search(r"Inode: (\d+).*?Mode:\s+(\d+).*?User:\s+(\d+)\s+Group:\s+(\d+)", said, re.DOTALL)
        assert found, said
        return int(found[1]), int(found[2], 8), int(found[3]), int(found[4])

    def label(self, path: str) -> str:
        return debugfs(self.disk, f"ea_get {path} security.selinux")

    def link(self, path: str, target: str) -> None:
        debugfs(self.disk, f"symlink {path} {target}")


@pytest.fixture(params=BACK_ENDS)
def guest(request: pytest.FixtureRequest, master: GuestDisk, tmp_path: Path) -> Guest:
    return Guest(master.copy(tmp_path / "disk"), BACK_ENDS[request.param](request), request.param == "ext")


def key() -> Wanted:
    return Wanted(a.an_item(ItemKind.KEY, "laptop"), Secret(a.PUBLIC_KEY))


def file(path: str, content: bytes = b"hello\n", **changes: object) -> Wanted:
    return Wanted(a.an_item(ItemKind.FILE, path, **changes), Secret(content))


def password() -> Wanted:
    return Wanted(a.an_item(ItemKind.PASSWORD, "password"), Secret("hunter2"))


def metadata() -> Wanted:
    return Wanted(a.an_item(ItemKind.METADATA, "metadata"), Secret('{"role": "web"}'))


def network() -> Wanted:
    return Wanted(a.an_item(ItemKind.NETWORK, "network"), Secret(b""))


def is_password(shadow: bytes) -> bool:
    hashed = shadow.decode().splitlines()[0].split(":")[1]
    return judges.sha512_crypt("hunter2", hashed.split("$")[2]) == hashed


def test_every_item_is_where_the_guests_own_programs_look(guest: Guest) -> None:
    guest.inject(key(), network(), metadata(), password(), file("/opt/a/b", mode=0o640, owner="ada"), admin_user="ada")

    assert guest.read(KEYS).decode() == f"{a.PUBLIC_KEY}\n"
    assert guest.stat("/root/.ssh")[1:] == (0o700, 0, 0)
    assert guest.stat(KEYS)[1:] == (0o600, 0, 0)
    assert guest.stat("/home/ada/.ssh/authorized_keys")[1:] == (0o600, 1000, 1000)
    assert "10.0.2.15" in guest.read("/etc/network/interfaces").decode()
    assert guest.read("/meta.js") == b'{"role": "web"}'
    assert is_password(guest.read("/etc/shadow"))
    assert guest.read("/etc/shadow").decode().splitlines()[1:] == SHADOW.decode().splitlines()[1:]
    assert guest.stat("/etc/shadow")[1:] == (0o640, 0, 42)
    assert [guest.stat(path)[1:] for path in ("/opt", "/opt/a", "/opt/a/b")] == [
        *((0o755, 0, 0), (0o755, 0, 0)),
        (0o640, 1000, 1000),
    ]


def test_an_existing_file_keeps_inode_mode_owner_names_and_label(guest: Guest) -> None:
    before = guest.stat("/etc/motd")

    guest.inject(file("/etc/motd", b"x" * 9000))

    assert guest.stat("/etc/motd") == before == guest.stat("/etc/twin")
    assert before[1:] == (0o604, 33, 0)
    assert guest.read("/etc/twin") == b"x" * 9000
    assert OLD_LABEL in guest.label("/etc/motd")


def test_what_is_new_has_the_label_of_the_guests_policy_or_of_its_directory(guest: Guest) -> None:
    guest.inject(key(), file("/etc/new/file"), password())

    assert LABEL in guest.label("/root/.ssh")
    assert LABEL in guest.label(KEYS)
    assert OLD_LABEL in guest.label("/etc/new")
    assert OLD_LABEL in guest.label("/etc/new/file")
    assert OLD_LABEL in guest.label("/etc/shadow")


@pytest.mark.parametrize("size", [0, 1, 4096, MIB])
def test_files_of_any_size_and_any_bytes(guest: Guest, size: int, tmp_path: Path) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]

    answer = guest.inject(file("/opt/binary", content))

    debugfs(guest.disk, f"dump /opt/binary {tmp_path / 'dumped'}")
    assert (tmp_path / "dumped").read_bytes() == content
    assert answer.files[0].content.reveal() == content


@pytest.mark.parametrize(
    "name", ["ünïcödé ☃", "two\nlines", "quotes ' and \"", "back\\slash", "-f", "x" * 255, "$(id)"]
)
def test_any_name_is_a_name(guest: Guest, name: str) -> None:
    guest.inject(file(f"/opt/{name}/{name}"))

    with guest.opener(guest.disk) as opener:
        looked = carry_out(Look(guest.disk.root, (f"/opt/{name}/{name}",), 100), opener)
    assert isinstance(looked, Looked)
    assert [one.content.reveal() for one in looked.files] == [b"hello\n"]


def test_links_are_followed_in_the_guest_and_nowhere_else(guest: Guest) -> None:
    debugfs(guest.disk, "rm /etc/shadow")
    guest.link("/etc/shadow", "../../../../var/shadow")
    guest.link("/root/.ssh", "/data")
    here = Path("/etc/injected-through-a-link")

    guest.inject(key(), password(), file("/srv/out/injected-through-a-link"))

    assert guest.read("/data/authorized_keys").decode() == f"{a.PUBLIC_KEY}\n"
    assert is_password(guest.read("/var/shadow"))
    assert guest.read("/etc/injected-through-a-link") == b"hello\n"
    assert not here.exists()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/srv/loop", "too many links"),
        ("/srv/0", "too many links"),
        ("/srv/fifo", "a device, a FIFO or a socket"),
        ("/srv/fifo/x", "and no directory"),
        ("/etc", "is a directory, and no file"),
        ("/etc/motd/x", "is a file, and no directory"),
        ("/big", "no room for it"),
        ("/" + "x" * 256, "longer than 255"),
    ],
)
def test_what_cannot_be_written_changes_no_byte(guest: Guest, path: str, why: str) -> None:
    content = b"x" * FULL if path == "/big" else b"x"

    assert why in guest.refuses(key(), file("/opt/first"), file(path, content))


def test_forty_links_are_no_attack(guest: Guest) -> None:
    guest.inject(file("/srv/1"))

    assert guest.read("/etc/motd") == b"hello\n"


def test_hostile_accounts_are_refused(guest: Guest) -> None:
    debugfs(guest.disk, "rm /etc/shadow")
    guest.link("/etc/shadow", "/etc/shadow")
    assert "too many links" in guest.refuses(password())

    debugfs(guest.disk, "set_inode_field /etc/passwd size 0x20000000")
    assert "/etc/passwd has 536870912 bytes" in guest.refuses(password())
