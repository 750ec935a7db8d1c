"""What becomes of items in a guest in memory: all of it, or nothing and a reason that names the item."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from injector import wire
from injector.errors import CannotServe, GuestError, GuestUnreadable, ItemRefused
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.crypts import is_hash_of
from injector.inject.partition.errand import Inject, Injected, Look, Looked, Wanted
from injector.inject.partition.filesystem import Attributes
from injector.inject.partition.shadow import hash_in
from injector.model.payload import Item, ItemKind
from injector.model.secret import Secret
from tests import builders as a
from tests.memory_files import PASSWD, ROOT, SHADOW, MemoryDisk, a_guest

STAMP = 1_700_000_000
KEYS = "/root/.ssh/authorized_keys"
LINE = a.PUBLIC_KEY.encode() + b"\n"


def key(text: str = a.PUBLIC_KEY, **changes: object) -> Wanted:
    return Wanted(a.an_item(ItemKind.KEY, "laptop", **changes), Secret(text))


def file(path: str, content: bytes = b"hello", **changes: object) -> Wanted:
    return Wanted(a.an_item(ItemKind.FILE, path, **changes), Secret(content))


def password(text: str = "hunter2", **changes: object) -> Wanted:
    return Wanted(a.an_item(ItemKind.PASSWORD, "password", **changes), Secret(text))


def metadata(**values: str) -> Wanted:
    return Wanted(a.an_item(ItemKind.METADATA, "metadata"), Secret(json.dumps(values)))


def network(**changes: object) -> Wanted:
    return Wanted(a.an_item(ItemKind.NETWORK, "network", **changes), Secret(b""))


def inject(disk: MemoryDisk, *wanted: Wanted, admin_user: str | None = None) -> Injected:
    errand = Inject(ROOT, wanted, STAMP, nics=(a.a_nic(),), admin_user=admin_user)
    answer = carry_out(errand, disk)
    assert isinstance(answer, Injected)
    return answer


def modes(disk: MemoryDisk, *paths: str) -> list[tuple[int, int, int]]:
    return [(node.mode, node.uid, node.gid) for node in map(disk.node, paths)]


def refused(disk: MemoryDisk, *wanted: Wanted, admin_user: str | None = None) -> str:
    """The reason, with the disk as it was."""
    before = (dict(disk.names), [(node.content, node.mode) for node in disk.nodes.values()])
    with pytest.raises(ItemRefused) as refusal:
        inject(disk, *wanted, admin_user=admin_user)
    assert (disk.names, [(node.content, node.mode) for node in disk.nodes.values()]) == before
    assert "close" not in disk.events
    return refusal.value.message


def test_everything_at_once_is_written_and_read_back_by_another_opening() -> None:
    disk = a_guest()

    answer = inject(
        disk, key(), network(), metadata(role="web"), password(), file("/opt/a/b", b"\0\xff", mode=0o640, owner="ada")
    )

    assert disk.events == ["open to write", "close", "open to read"]
    assert [one.place for one in answer.landed] == [0, 1, 2, 3, 4]
    assert {one.path: one.content.reveal() for one in answer.files} == {path: disk.read(path) for path in PATHS}
    assert disk.read(KEYS) == LINE
    assert modes(disk, "/root/.ssh", KEYS) == [(0o700, 0, 0), (0o600, 0, 0)]
    assert disk.read("/meta.js") == b'{"role": "web"}'
    assert modes(disk, "/meta.js", "/opt", "/opt/a", "/opt/a/b") == [
        *((0o644, 0, 0), (0o755, 0, 0), (0o755, 0, 0)),
        (0o640, 1000, 1000),
    ]
    assert b"10.0.2.15" in disk.read("/etc/network/interfaces")
    assert is_hash_of(hash_in(disk.read("/etc/shadow")) or b"", Secret("hunter2"))
    assert modes(disk, "/etc/shadow") == [(0o640, 0, 42)]
    assert disk.node("/opt/a/b").changed == STAMP


PATHS = (KEYS, "/etc/network/interfaces", "/etc/resolv.conf", "/meta.js", "/etc/shadow", "/opt/a/b")


def test_an_existing_file_keeps_what_nobody_asked_to_change() -> None:
    disk = a_guest()
    disk.file("/etc/motd", b"old", 0o604, 33, 33)
    disk.hard_link("/etc/motd.twin", "/etc/motd")

    inject(disk, file("/etc/motd", b"a longer text"))

    assert modes(disk, "/etc/motd") == [(0o604, 33, 33)]
    assert disk.read("/etc/motd.twin") == b"a longer text"

    inject(disk, file("/etc/motd", b"", mode=0o600))

    assert modes(disk, "/etc/motd.twin") == [(0o600, 33, 33)]
    assert disk.read("/etc/motd.twin") == b""


@pytest.mark.parametrize(
    ("build", "wanted", "real"),
    [
        (lambda disk: disk.link("/root/.ssh", "/data/keys"), key(), "/data/keys/authorized_keys"),
        (lambda disk: disk.link("/srv", "../../../../data"), file("/srv/x"), "/data/x"),
        (lambda disk: disk.link("/meta.js", "/var/meta"), metadata(a="b"), "/var/meta"),
        (lambda disk: None, file("../../../../etc/x"), "/etc/x"),
        (lambda disk: None, file("/etc/x\ny'\"z"), "/etc/x\ny'\"z"),
    ],
)
def test_links_are_followed_inside_the_guest(build: Callable[[MemoryDisk], None], wanted: Wanted, real: str) -> None:
    disk = a_guest()
    build(disk)

    answer = inject(disk, wanted)

    assert disk.node(real).content
    assert [one.real for one in answer.files] == [real]


def test_a_shadow_elsewhere_is_written_where_it_is() -> None:
    disk = a_guest()
    disk.file("/data/shadow", SHADOW, 0o600)
    del disk.names["/etc/shadow"]
    disk.link("/etc/shadow", "../data/shadow")

    inject(disk, password())

    assert is_hash_of(hash_in(disk.read("/data/shadow")) or b"", Secret("hunter2"))


Build = Callable[[MemoryDisk], object]


def instead(path: str, build: Build) -> Build:
    def replaced(disk: MemoryDisk) -> None:
        disk.names.pop(path, None)
        build(disk)

    return replaced


def with_mode(path: str, mode: int, uid: int = 0) -> Build:
    def changed(disk: MemoryDisk) -> None:
        if path not in disk.names:
            disk.directory(path)
        disk.node(path).mode, disk.node(path).uid = mode, uid

    return changed


def shared_ssh(disk: MemoryDisk) -> None:
    disk.directory("/tmp", 0o1777)
    disk.link("/root/.ssh", "/tmp")


ATTACKS: dict[str, tuple[Build, Wanted, str]] = {
    "ssh is a file": (lambda disk: disk.file("/root/.ssh"), key(), "'/root/.ssh' is a file, and no directory"),
    "ssh is a device": (lambda disk: disk.other("/root/.ssh"), key(), "a device, a FIFO or a socket"),
    "keys are a directory": (lambda disk: disk.directory(KEYS), key(), f"'{KEYS}' is a directory, and no file"),
    "keys are a FIFO": (lambda disk: disk.other(KEYS), key(), "a device, a FIFO or a socket"),
    "ssh leads to another's": (
        shared_ssh,
        key(),
        "sshd would not take keys of 'root' from '/tmp'",
    ),
    "home of another": (with_mode("/root", 0o700, 1000), key(), "from '/root'"),
    "keys without end": (lambda disk: disk.file(KEYS, claims=512 * 1024**2), key(), "longer than"),
    "shadow leads to itself": (
        instead("/etc/shadow", lambda disk: disk.link("/etc/shadow", "/etc/shadow")),
        password(),
        "too many links",
    ),
    "shadow is gone": (instead("/etc/shadow", lambda disk: None), password(), "no line in its shadow"),
    "shadow is a device": (
        instead("/etc/shadow", lambda disk: disk.other("/etc/shadow")),
        password(),
        "a device, a FIFO or a socket",
    ),
    "passwd without end": (
        lambda disk: disk.file("/etc/passwd", claims=512 * 1024**2),
        password(),
        "longer than",
    ),
    "no root": (lambda disk: disk.file("/etc/passwd", b"ada:x:1:1::/:/bin/sh\n"), password(), "no user 'root'"),
    "no root in shadow": (lambda disk: disk.file("/etc/shadow", b"ada:x:1\n"), password(), "no line in its shadow"),
    "line break": (lambda disk: None, password("a\nb"), "a NUL or a line break"),
    "nobody": (lambda disk: None, file("/x", owner="eve"), "no user 'eve'"),
    "file on a directory": (lambda disk: None, file("/etc"), "'/etc' is a directory, and no file"),
    "file below a file": (lambda disk: None, file("/etc/passwd/x"), "'/etc/passwd' is a file, and no directory"),
    "file on a device": (lambda disk: disk.other("/dev/sda"), file("/dev/sda"), "a device, a FIFO or a socket"),
    "no network": (instead("/sbin/ifup", lambda disk: None), network(), "no network tool that is known here"),
    "a long name": (lambda disk: None, file("/" + "x" * 300), "longer than 255 bytes"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_cannot_be_written_is_refused_by_name_and_nothing_else_is_written(attack: str) -> None:
    build, wanted, why = ATTACKS[attack]
    disk = a_guest()
    build(disk)

    reason = refused(disk, file("/first"), wanted)

    assert reason.startswith(named(wanted.item))
    assert why in reason


def named(item: Item) -> str:
    words = {ItemKind.KEY: "key 'laptop'", ItemKind.PASSWORD: "the password", ItemKind.FILE: f"file '{item.name[:255]}"}
    return words.get(item.kind, "the static network addresses")


@pytest.mark.parametrize("attack", ATTACKS)
def test_best_effort_is_left_out_and_leaves_nothing_behind(attack: str) -> None:
    build, wanted, why = ATTACKS[attack]
    disk = a_guest()
    build(disk)
    before = set(disk.names)
    item = a.an_item(wanted.item.kind, wanted.item.name, required=False, owner=wanted.item.owner)

    answer = inject(disk, Wanted(item, wanted.content), file("/opt/other"))

    assert [one.place for one in answer.declined] == [0]
    assert why in answer.declined[0].reason
    assert set(disk.names) == before | {"/opt", "/opt/other"}


@pytest.mark.parametrize(
    ("build", "directory", "keys"),
    [
        (lambda disk: disk.directory("/root/.ssh", 0o755), (0o755, 0, 0), (0o600, 0, 0)),
        (lambda disk: disk.directory("/root/.ssh", 0o775), (0o700, 0, 0), (0o600, 0, 0)),
        (lambda disk: disk.directory("/root/.ssh", 0o700, 1000), (0o700, 0, 0), (0o600, 0, 0)),
        (lambda disk: disk.file(KEYS, b"", 0o644), (0o755, 0, 0), (0o644, 0, 0)),
        (lambda disk: disk.file(KEYS, b"", 0o666), (0o755, 0, 0), (0o600, 0, 0)),
        (lambda disk: disk.file(KEYS, LINE, 0o666), (0o755, 0, 0), (0o600, 0, 0)),
    ],
)
def test_modes_that_sshd_accepts_stay_and_others_are_set_right(
    build: Build, directory: tuple[int, int, int], keys: tuple[int, int, int]
) -> None:
    disk = a_guest()
    build(disk)

    inject(disk, key())

    assert modes(disk, "/root/.ssh", KEYS) == [directory, keys]
    assert disk.read(KEYS) == LINE


def test_a_home_that_others_may_write_to_is_closed_to_them() -> None:
    disk = a_guest()
    disk.node("/root").mode = 0o777

    inject(disk, key())

    assert modes(disk, "/root") == [(0o755, 0, 0)]


def test_a_named_user_gets_the_key_as_his_own() -> None:
    disk = a_guest()

    answer = inject(disk, key(), admin_user="ada")

    assert answer.landed[0].paths == (KEYS, "/home/ada/.ssh/authorized_keys")
    assert modes(disk, "/home/ada/.ssh", "/home/ada/.ssh/authorized_keys") == [
        (0o700, 1000, 1000),
        (0o600, 1000, 1000),
    ]


def test_a_user_whose_home_is_missing_gets_one_and_an_unknown_one_is_refused() -> None:
    disk = a_guest()
    disk.file("/etc/passwd", PASSWD.replace(b"/home/ada", b"/homes/of/ada"))

    inject(disk, key(), admin_user="ada")

    assert modes(disk, "/homes/of", "/homes/of/ada") == [(0o755, 0, 0), (0o700, 1000, 1000)]
    assert "no user 'eve' (os_admin_user)" in refused(a_guest(), key(), admin_user="eve")


def test_several_keys_are_in_one_file_and_none_twice() -> None:
    disk = a_guest()
    disk.file(KEYS, b"# old\nssh-rsa AAAAold", 0o600)

    answer = inject(disk, key("ssh-rsa AAAAone a"), key("ssh-rsa AAAAtwo"), key("ssh-rsa AAAAone b"))

    assert disk.read(KEYS) == b"# old\nssh-rsa AAAAold\nssh-rsa AAAAone a\nssh-rsa AAAAtwo\n"
    assert len(answer.files) == 1


def test_of_a_path_given_twice_the_last_content_counts() -> None:
    disk = a_guest()

    inject(disk, file("/x", b"first", mode=0o600), file("x", b"second"))

    assert (disk.read("/x"), disk.node("/x").mode) == (b"second", 0o600)


@pytest.mark.parametrize(
    ("first", "then", "where"),
    [
        (key(), file(KEYS), "key 'laptop'"),
        (password(), file("/etc/shadow"), "the password"),
        (file("/etc/twin"), file("/etc/motd"), "file '/etc/twin'"),
        (file("/etc/link"), file("/etc/motd"), "file '/etc/link'"),
        (file("/etc/network/interfaces"), network(), "file '/etc/network/interfaces'"),
    ],
)
def test_two_items_that_are_one_file_are_refused(first: Wanted, then: Wanted, where: str) -> None:
    disk = a_guest()
    disk.file("/etc/motd")
    disk.hard_link("/etc/twin", "/etc/motd")
    disk.link("/etc/link", "motd")

    assert f"already holds {where}, and cannot hold both" in refused(disk, first, then)


def test_a_passwd_that_keeps_the_password_sends_for_it_where_root_has_a_line_in_shadow() -> None:
    disk = a_guest()
    disk.file("/etc/passwd", PASSWD.replace(b"root:x:", b"root::"))

    answer = inject(disk, password())

    assert answer.landed[0].paths == ("/etc/shadow",)
    assert disk.read("/etc/passwd") == PASSWD

    disk = a_guest()
    disk.file("/etc/passwd", PASSWD.replace(b"root:x:", b"root:*:"))
    del disk.names["/etc/shadow"]

    answer = inject(disk, password())

    assert answer.landed[0].paths == ("/etc/passwd",)
    assert is_hash_of(hash_in(disk.read("/etc/passwd")) or b"", Secret("hunter2"))


def test_what_a_guest_calls_things_travels_whatever_its_bytes() -> None:
    disk = a_guest()
    disk.link("/root/.ssh", "/da\udcffta")

    answer = inject(disk, key())

    assert answer.files[0].real == "/da\ufffdta/authorized_keys"
    assert wire.from_clear(wire.to_clear(answer), Injected) == answer
    disk.file("/etc/passwd", PASSWD.replace(b"/home/ada", b"/home/\xff"))
    assert "a name that is no text" in refused(MemoryDisk(disk.nodes, disk.names), key(), admin_user="ada")


def test_a_resolv_conf_of_the_requests_own_is_kept() -> None:
    disk = a_guest()

    inject(disk, network(), file("/etc/resolv.conf", b"nameserver 192.0.2.1\n"))

    assert disk.read("/etc/resolv.conf") == b"nameserver 192.0.2.1\n"


def test_an_item_sees_what_those_before_it_did() -> None:
    disk = a_guest()
    passwd = PASSWD + b"eve:x:1001:1001::/home/eve:/bin/sh\n"

    inject(disk, file("/etc/passwd", passwd), file("/x", owner="eve"), file("/opt/y"), file("/opt/z"))

    assert modes(disk, "/x") == [(0o644, 1001, 1001)]


@pytest.mark.parametrize(
    ("free", "inodes", "why"),
    [(4096, 10, "no room for it: 16384 bytes, 4096 free"), (10**9, 2, "no inodes for it: 3, 2 free")],
)
def test_what_does_not_fit_is_said_before_anything_is_written(free: int, inodes: int, why: str) -> None:
    disk = a_guest()
    disk.free, disk.inodes = free, inodes

    assert why in refused(disk, file("/opt/a/b", b"x"))


def test_a_full_file_system_takes_what_needs_no_more_room() -> None:
    disk = a_guest()
    disk.file("/etc/motd", b"old")
    disk.free = disk.inodes = 0

    inject(disk, file("/etc/motd", b"new"), password(), file("/big", b"x" * 9000, required=False))

    assert disk.read("/etc/motd") == b"new"
    assert "/big" not in disk.names


def test_a_guest_with_a_policy_gets_labels_on_what_is_new() -> None:
    disk = a_guest()
    disk.file("/etc/selinux/config", b"SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    disk.file(
        "/etc/selinux/targeted/contexts/files/file_contexts", b"/root/\\.ssh(/.*)? u:r:ssh:s0\n/root -d u:r:no:s0\n"
    )
    disk.directory("/srv", label="u:r:srv:s0")
    disk.file("/srv/old", label="u:r:old:s0")

    answer = inject(disk, key(), file("/srv/a/b"), file("/srv/old"))

    labels = {path: disk.node(path).label for path in ("/root", "/root/.ssh", KEYS, "/srv/a", "/srv/a/b", "/srv/old")}
    assert list(labels.values()) == [None, "u:r:ssh:s0", "u:r:ssh:s0", "u:r:srv:s0", "u:r:srv:s0", "u:r:old:s0"]
    assert [one.label for one in answer.files] == ["u:r:ssh:s0", "u:r:srv:s0", "u:r:old:s0"]


class Forgetful(MemoryDisk):
    """A back end that loses a byte of every file called /x, or its mode."""

    lost = Attributes(mode=0o777)
    cut = 1

    def open(self, root, *, writable, stamp):  # type: ignore[no-untyped-def]
        if not writable and "/x" in self.names:
            self.node("/x").content = self.node("/x").content[self.cut :]
            self.node("/x").mode = self.lost.mode or self.node("/x").mode
        return super().open(root, writable=writable, stamp=stamp)


@pytest.mark.parametrize(("cut", "lost"), [(1, Attributes()), (0, Attributes(mode=0o777))])
def test_what_is_read_back_must_be_what_was_written(cut: int, lost: Attributes) -> None:
    disk = Forgetful()
    disk.cut, disk.lost = cut, lost

    with pytest.raises(GuestUnreadable, match="not as written: '/x'"):
        inject(disk, file("/x"))


class Overwritten(MemoryDisk):
    """A damaged guest in which a file was given blocks that something else has: it is not to be opened again."""

    gone: type[GuestError] = GuestError

    def open(self, root, *, writable, stamp):  # type: ignore[no-untyped-def]
        if not writable:
            raise self.gone("there is no ext2, ext3 or ext4 file system")
        return super().open(root, writable=writable, stamp=stamp)


@pytest.mark.parametrize("error", [CannotServe, ItemRefused, GuestUnreadable])
def test_once_it_is_written_no_item_is_to_blame_and_no_other_back_end_may_try(error: type[GuestError]) -> None:
    disk = Overwritten()
    disk.gone = error

    with pytest.raises(GuestUnreadable, match="there is no ext2"):
        inject(disk, file("/x"))


def test_a_look_tells_what_is_there_and_what_is_too_long() -> None:
    disk = a_guest()
    disk.link("/link", "/etc/passwd")
    disk.link("/loop", "/loop")
    disk.file("/long", b"x" * 2000)

    looked = carry_out(Look(ROOT, ("/link", "/link", "/loop", "/etc", "/gone", "/long"), 1024), disk)

    assert isinstance(looked, Looked)
    assert [(one.path, one.real, one.content.reveal()) for one in looked.files] == [("/link", "/etc/passwd", PASSWD)]
    assert looked.too_long == ("/long",)
    assert disk.events == ["open to read"]
