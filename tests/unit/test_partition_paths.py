"""Where paths lead inside a guest, and where they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from injector.errors import ItemRefused
from injector.inject.partition.paths import directory_place, file_place, resolve
from tests.memory_files import MemoryDisk, MemoryFiles


def opened(disk: MemoryDisk) -> MemoryFiles:
    return MemoryFiles(disk, writable=False, stamp=0)


def a_tree() -> MemoryFiles:
    disk = MemoryDisk()
    disk.directory("/etc/ssh")
    disk.file("/etc/passwd")
    disk.directory("/data")
    disk.link("/root", "/data")
    disk.link("/data/up", "../etc")
    disk.link("/data/out", "../../../../etc/ssh")
    disk.link("/data/dangling", "/gone/away")
    disk.link("/data/file", "/etc/passwd")
    disk.link("/loop", "/loop")
    disk.link("/to/dots", "./../etc/.")
    disk.other("/dev/null")
    return opened(disk)


@pytest.mark.parametrize(
    ("path", "real", "missing"),
    [
        ("/etc/motd", "/etc/motd", ()),
        ("etc/motd", "/etc/motd", ()),
        ("//etc///./motd", "/etc/motd", ()),
        ("/../../../../etc/motd", "/etc/motd", ()),
        ("/etc/../../../etc/motd", "/etc/motd", ()),
        ("/root/x", "/data/x", ()),
        ("/root/up/motd", "/etc/motd", ()),
        ("/root/out/key", "/etc/ssh/key", ()),
        ("/root/file", "/etc/passwd", ()),
        ("/root/dangling", "/gone/away", ("/gone",)),
        ("/to/dots/motd", "/etc/motd", ()),
        ("/a/b/c", "/a/b/c", ("/a", "/a/b")),
        ("/a/../b/c", "/b/c", ("/b",)),
        ("/etc/two\nlines 'and' \"quotes\" \\", "/etc/two\nlines 'and' \"quotes\" \\", ()),
        ("/etc/ünïcödé", "/etc/ünïcödé", ()),
    ],
)
def test_a_path_leads_to_one_place_inside_the_guest(path: str, real: str, missing: tuple[str, ...]) -> None:
    place = file_place(a_tree(), path)

    assert (place.path, place.missing) == (real, missing)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/etc/\0", "NUL"),
        ("/etc/\ud800", "a character that no file can have"),
        ("/etc/motd/", "names a directory"),
        ("/..", "is a directory"),
        ("../../..", "is a directory"),
        ("/etc/ssh", "'/etc/ssh' is a directory, and no file"),
        ("/root/out", "('/etc/ssh') is a directory"),
        ("/dev/null", "a device, a FIFO or a socket"),
        ("/dev/null/x", "and no directory"),
        ("/etc/passwd/x", "'/etc/passwd' is a file, and no directory"),
        ("/etc/passwd/.", "and no directory"),
        ("/loop", "too many links"),
        ("/loop/x", "too many links"),
        ("/" + "x" * 256, "longer than 255"),
        ("/" + "é" * 128, "longer than 255"),
        ("/x" * 2048, "longer than 4095"),
    ],
)
def test_what_is_no_place_for_a_file_is_refused_by_its_reason(path: str, why: str) -> None:
    with pytest.raises(ItemRefused) as refused:
        file_place(a_tree(), path)

    assert why in refused.value.message


@pytest.mark.parametrize(("links", "fine"), [(40, True), (41, False)])
def test_forty_links_are_followed_as_by_linux(links: int, fine: bool) -> None:
    disk = MemoryDisk()
    disk.file("/target")
    for number in range(links):
        disk.link(f"/{number}", f"/{number + 1}" if number + 1 < links else "/target")

    if fine:
        assert file_place(opened(disk), "/0").path == "/target"
    else:
        with pytest.raises(ItemRefused, match="too many links"):
            file_place(opened(disk), "/0")


def test_a_directory_is_wanted_or_made() -> None:
    assert directory_place(a_tree(), "/root/out").path == "/etc/ssh"
    assert directory_place(a_tree(), "/a/b").missing == ("/a",)
    with pytest.raises(ItemRefused, match="is a file, and no directory"):
        directory_place(a_tree(), "/etc/passwd")


def test_what_is_said_of_a_path_is_harmless_to_print() -> None:
    disk = MemoryDisk()
    disk.directory("/\x1b[31mred")

    with pytest.raises(ItemRefused) as refused:
        file_place(opened(disk), "/\x1b[31mred")

    assert "\x1b" not in refused.value.message


NAMES = some.sampled_from(["a", "b", "c", "..", ".", "", "l"])
TARGETS = some.lists(NAMES, min_size=1, max_size=4).map("/".join).filter(bool)


@given(
    some.lists(some.tuples(some.lists(some.sampled_from("abl"), min_size=1, max_size=3), TARGETS), max_size=6),
    some.lists(NAMES, min_size=1, max_size=6),
)
def test_no_way_ends_on_a_link_or_outside(links: list[tuple[list[str], str]], path: list[str]) -> None:
    """Whatever links there are: what is resolved is a plain path, and resolves to itself."""
    disk = MemoryDisk()
    for names, target in links:
        at = "/" + "/".join(names)
        above = ["/" + "/".join(names[:end]) for end in range(1, len(names))]
        if at not in disk.names and all(disk.names.get(one) is None or disk.node(one).target is None for one in above):
            disk.link(at, target)
    files = opened(disk)
    try:
        place = resolve(files, "/" + "/".join(path))
    except ItemRefused:
        return

    assert not {"", ".", ".."} & set(place.path.split("/")[1:]) or place.path == "/"
    assert place.entry is None or place.entry.target is None
    assert resolve(files, place.path) == place
