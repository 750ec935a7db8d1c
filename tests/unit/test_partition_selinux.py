"""Labels for new files as libselinux itself gives them: its own look-up, from the same files, is the judge."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest

from injector.errors import ItemRefused
from injector.inject.partition.filesystem import Kind
from injector.inject.partition.selinux import LIMIT, contexts_of, labeller_of
from tests.memory_files import MemoryDisk, MemoryFiles

selinux = import_module("selinux")  # of Debian, without types

_MODES = {Kind.FILE: stat.S_IFREG, Kind.DIRECTORY: stat.S_IFDIR}
_NAMES = ["etc", "root", "usr", "var", "home", ".ssh", "a", "b", "lib", "lib64", "x.y", "authorized_keys"]

TARGETED = rb"""
# of a policy as it is shipped
/.*	system_u:object_r:default_t:s0
/[^/]+	--	system_u:object_r:etc_runtime_t:s0
/root(/.*)?	system_u:object_r:admin_home_t:s0
/root/\.ssh(/.*)?	system_u:object_r:ssh_home_t:s0
/etc/.*	system_u:object_r:etc_t:s0
/etc/shadow.*	--	system_u:object_r:shadow_t:s0
/etc/ssh/keys	-d	system_u:object_r:sshd_key_t:s0
/etc/network(/.*)?	system_u:object_r:net_conf_t:s0
/proc/.*	<<none>>
/dev/[0-9].*	-c	system_u:object_r:usb_device_t:s0
/opt/(a|b)/[^/]*\.so(\.[0-9]+)*	--	system_u:object_r:lib_t:s0
/srv/bad(regex	system_u:object_r:bad_t:s0
"""


class Judge:
    """libselinux, reading the same texts from a directory."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def look_up(self, path: str, kind: Kind) -> str | None:
        try:
            return str(selinux.selabel_lookup_raw(self._handle, path, _MODES[kind])[1])
        except FileNotFoundError:
            return None


@contextmanager
def judge(directory: Path, texts: dict[str, bytes]) -> Iterator[Judge]:
    for name, text in texts.items():
        (directory / name).write_bytes(text)
    option = selinux.selinux_opt()
    option.type, option.value = selinux.SELABEL_OPT_PATH, str(directory / "file_contexts")
    handle = selinux.selabel_open(selinux.SELABEL_CTX_FILE, option, 1)
    yield Judge(handle)
    selinux.selabel_close(handle)


@pytest.mark.parametrize("kind", list(_MODES))
@pytest.mark.parametrize(
    "path",
    [
        *("/meta.js", "/root", "/root/.ssh", "/root/.ssh/authorized_keys", "/rooted", "/etc/shadow", "/etc/shadow-"),
        *("/etc/ssh/keys", "/etc/network/interfaces", "/proc/x", "/dev/1", "/opt/a/b.so", "/opt/a/b.so.6", "/opt/c/d"),
    ],
)
def test_a_label_is_that_of_the_last_line_that_fits(path: str, kind: Kind, tmp_path: Path) -> None:
    texts = {"file_contexts": TARGETED.replace(b"/srv/bad(regex", b"/srv/fine")}
    with judge(tmp_path, texts) as libselinux:
        assert contexts_of(texts).look_up(path, kind) == libselinux.look_up(path, kind)


def a_regex(random: Random) -> str:
    parts = []
    for _ in range(random.randint(1, 4)):
        name = random.choice(_NAMES).replace(".", r"\.")
        parts.append(random.choice([name] * 12 + ["[^/]+", "(a|b)", "lib(64)?", name + "?", ".*"]))
    return "/" + "/".join(parts) + random.choice([""] * 5 + ["(/.*)?"] * 3 + ["/.*", ".*"])


def a_policy(random: Random) -> dict[str, bytes]:
    texts = {}
    for name in ("file_contexts", "file_contexts.homedirs", "file_contexts.local"):
        regexes = dict.fromkeys(a_regex(random) for _ in range(random.randint(0, 25)))
        labels = [f"u:r:t{random.randint(0, 999)}:s0" for _ in range(8)]
        types = ["", "", "--", "-d", "-l"]
        lines = [f"{one}\t{random.choice(types)}\t{random.choice([*labels, '<<none>>'])}\n" for one in regexes]
        texts[name] = "".join(lines).encode()
    for name in ("file_contexts.subs", "file_contexts.subs_dist"):
        pairs = [(random.choice(_NAMES), random.choice([*_NAMES, ""])) for _ in range(random.randint(0, 2))]
        texts[name] = "".join(f"/{source} /{target}\n" for source, target in pairs).encode()
    return texts


@pytest.mark.parametrize("seed", range(20))
def test_any_policy_means_what_libselinux_takes_it_for(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    texts = a_policy(random)
    paths = ["".join(f"/{random.choice(_NAMES)}" for _ in range(random.randint(1, 4))) for _ in range(60)]

    contexts = contexts_of(texts)

    with judge(tmp_path, texts) as libselinux:
        for path in paths:
            for kind in _MODES:
                assert contexts.look_up(path, kind) == libselinux.look_up(path, kind), path


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe\x00", b"/etc\n", b"/etc a b c d\n", b"/(((( u:r:t:s0\n", b"/" + b"(" * 5000 + b" u:r:t:s0", b"# x y\n"],
)
def test_lines_that_mean_nothing_are_passed_over(text: bytes) -> None:
    contexts = contexts_of({"file_contexts": text + b"\n/root(/.*)? u:r:t:s0\n"})

    assert contexts.look_up("/root/x", Kind.FILE) == "u:r:t:s0"
    assert contexts.look_up("/other", Kind.FILE) is None


def a_labelled_disk(policy: bytes) -> MemoryDisk:
    disk = MemoryDisk()
    disk.file("/etc/selinux/targeted/contexts/files/file_contexts", policy)
    return disk


def test_what_the_policy_does_not_know_gets_the_label_of_its_directory() -> None:
    label = labeller_of(MemoryFiles(a_labelled_disk(TARGETED), False, 0), "targeted")

    assert label("/root/.ssh", Kind.DIRECTORY, "u:r:above:s0") == "system_u:object_r:ssh_home_t:s0"
    assert label("/proc/x", Kind.FILE, "u:r:above:s0") == "u:r:above:s0"
    assert label("/proc/x", Kind.FILE, None) is None


def test_a_policy_is_read_only_when_something_new_is_made() -> None:
    disk = a_labelled_disk(b"")
    disk.node("/etc/selinux/targeted/contexts/files/file_contexts").claims = LIMIT + 1
    label = labeller_of(MemoryFiles(disk, False, 0), "targeted")

    with pytest.raises(ItemRefused, match="longer than"):
        label("/x", Kind.FILE, None)


def test_a_policy_that_is_not_there_says_nothing() -> None:
    label = labeller_of(MemoryFiles(MemoryDisk(), False, 0), "targeted")

    assert label("/root/x", Kind.FILE, "u:r:above:s0") == "u:r:above:s0"
