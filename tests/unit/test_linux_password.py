"""The password for Linux guests: its hash, what stands in its way, and its place beside the operator's word."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from injector.inject import linux_password
from injector.model.secret import Secret
from tests import builders as a

HASH = Secret("$6$salt$hash")


def test_a_hash_is_sha512_with_a_salt_of_its_own() -> None:
    one, two = linux_password.hash_of(Secret("geheim")), linux_password.hash_of(Secret("geheim"))
    assert one.text().startswith("$6$")
    assert one != two
    assert linux_password.is_hash_of(one, Secret("geheim"))
    assert not linux_password.is_hash_of(one, Secret("gehein"))


@pytest.mark.parametrize("password", ["correct horse", "pässwörd", "a:b$c\\'\"", "x" * 255, "-n"])
def test_another_program_makes_the_same_hash(password: str) -> None:
    """OpenSSL's, which was not written here."""
    found = linux_password.hash_of(Secret(password)).text()
    salt = found.split("$")[2]
    again = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, "-stdin"], input=password.encode(), capture_output=True, check=True
    )
    assert again.stdout.decode().strip() == found


def test_the_first_hashes_of_a_process_may_be_made_at_once() -> None:
    program = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from injector.inject import linux_password
from injector.model.secret import Secret
sys.setswitchinterval(1e-6)
together = threading.Barrier(16)
def make(_):
    together.wait()
    return linux_password.hash_of(Secret("geheim")).text()
with ThreadPoolExecutor(16) as threads:
    print(len(set(threads.map(make, range(16)))))
"""
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stdout == "16\n", done.stderr


CONFIG = "#cloud-config\n"


@pytest.mark.parametrize(
    "user_data",
    [
        "chpasswd: {list: ['debian:secret']}",
        "chpasswd:\n  users:\n  - {name: root, password: x}\n",
        "password: secret",
        "vendor_data: {enabled: false}",
        "vendor_data: {enabled: 'no'}",
    ],
)
def test_user_data_that_stand_in_its_way(user_data: str) -> None:
    text = (CONFIG + user_data).encode()
    assert linux_password.obstacle(Secret("geheim"), Secret(text)) is not None
    assert linux_password.obstacle(Secret("geheim"), Secret(gzip.compress(text))) is not None


@pytest.mark.parametrize(
    "user_data",
    [
        None,
        b"",
        b"#!/bin/sh\necho root:x | chpasswd\n",
        b"#cloud-config\nruncmd: [password]\n",
        b"#cloud-config\nvendor_data: {enabled: true, prefix: [nice]}\n",
        b"#cloud-config\nvendor_data: {prefix: [nice]}\n",
        b"\xff\x00",
    ],
)
def test_user_data_that_do_not(user_data: bytes | None) -> None:
    assert linux_password.obstacle(Secret("geheim"), None if user_data is None else Secret(user_data)) is None


def test_a_password_that_linux_cannot_have() -> None:
    assert "NUL" in str(linux_password.obstacle(Secret("a\0b"), None))


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ({}, []),
        ({"cloud-init": None, "other": 1}, []),
        ({"cloud-init": ""}, []),
        ({"cloud-init": "#cloud-config\nfqdn: x"}, ["#cloud-config\nfqdn: x"]),
        ({"cloud-init": ["#!/bin/sh", "#cloud-config\n{}"]}, ["#!/bin/sh", "#cloud-config\n{}"]),
    ],
)
def test_the_operators_word_stays_and_comes_first(before: dict[str, object], kept: list[str]) -> None:
    told = linux_password.told_with(before, HASH)
    assert {key: value for key, value in told.items() if key != "cloud-init"} == {
        key: value for key, value in before.items() if key != "cloud-init"
    }
    *others, ours, _script = told["cloud-init"]
    assert others == kept
    config = json.loads(ours.removeprefix(CONFIG))
    root = {"name": "root", "password": "$6$salt$hash", "type": "hash"}
    assert config["chpasswd"] == {"expire": False, "users": [root]}
    assert ("merge_how" in config) == bool(kept)
    assert linux_password.seen_in(told) == HASH
    assert linux_password.told_with(told, HASH) == told


@pytest.mark.parametrize(
    "value", [None, 7, "x", [1], "#cloud-config\n[]", '#cloud-config\n{"chpasswd": {"users": [7]}}']
)
def test_no_hash_is_seen_where_none_is(value: object) -> None:
    assert linux_password.seen_in({"cloud-init": value}) is None
    assert linux_password.seen_in({}) is None


def test_windows_is_told_otherwise() -> None:
    assert linux_password.is_meant_for(a.an_image())
    assert linux_password.is_meant_for(a.an_image(properties={"os_type": "linux"}))
    assert not linux_password.is_meant_for(a.an_image(properties={"os_type": "windows"}))


def test_user_data_that_hide_it_in_a_message_are_seen() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=X\nMIME-Version: 1.0\n\n--X\nContent-Type: text/cloud-config\n"
        b"Content-Transfer-Encoding: base64\n\n" + base64.b64encode(b"#cloud-config\npassword: x\n") + b"\n--X--\n"
    )
    assert linux_password.obstacle(Secret("geheim"), Secret(message)) is not None


@pytest.mark.parametrize(("shadow", "sets"), [("root:*:1:::::::", True), ("root:$6$salt$hash:1:::::::", False)])
def test_where_cloud_init_is_too_old_a_script_sets_it(shadow: str, sets: bool, tmp_path: Path) -> None:
    """The script itself, with a shadow file and a chpasswd of the test's."""
    script = linux_password.told_with({}, HASH)["cloud-init"][-1]
    (tmp_path / "shadow").write_text(f"daemon:*:1:::::::\n{shadow}\n")
    chpasswd = tmp_path / "chpasswd"
    chpasswd.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/called\ncat >>{tmp_path}/called\n')
    chpasswd.chmod(0o755)
    said = script.replace("/etc/shadow", str(tmp_path / "shadow")).encode()
    subprocess.run(["/bin/sh"], input=said, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    called = tmp_path / "called"
    assert (called.read_text() if called.exists() else "") == ("-e\nroot:$6$salt$hash\n" if sets else "")
