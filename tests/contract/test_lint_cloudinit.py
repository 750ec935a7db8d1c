"""The lint against cloud-init itself: what it takes user-data for, and its own schema of cloud-configs."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from injector.inject import lint
from injector.inject.lint.unpack import unpack
from injector.inject.lint.userdata import Form
from injector.model.finding import Check
from injector.model.secret import Secret

if TYPE_CHECKING:
    from tests.cloudinit_reader import CloudInit

pytest_plugins = ("tests.cloudinit_reader",)

TYPES = {
    Form.CLOUD_CONFIG: "text/cloud-config",
    Form.JSONP: "text/cloud-config-jsonp",
    Form.SCRIPT: "text/x-shellscript",
    Form.BOOTHOOK: "text/cloud-boothook",
    Form.PART_HANDLER: "text/part-handler",
    Form.JINJA: "text/jinja2",
}
UNHANDLED = "text/x-not-multipart"


def multipart(*parts: tuple[str, str]) -> bytes:
    body = "".join(f"--B\nContent-Type: {kind}\n\n{text}\n" for kind, text in parts)
    return f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n\n{body}--B--\n'.encode()


# Includes are left out: cloud-init would fetch them.
USER_DATA = {
    "cloud-config": b"#cloud-config\na: b\n",
    "upper case": b"#Cloud-Config\na: b\n",
    "trailing space": b"#cloud-config \na: b\n",
    "blank lines first": b"\n \n#cloud-config\na: b\n",
    "CRLF": b"#cloud-config\r\na: b\r\n",
    "no header": b"users: [ada]\n",
    "space in the header": b"# cloud-config\na: b\n",
    "shebang of a cloud-config": b"#!cloud-config\na: b\n",
    "byte order mark": b"\xef\xbb\xbf#cloud-config\na: b\n",
    "UTF-16": "#cloud-config\na: b\n".encode("utf-16"),
    "script": b"#!/bin/sh\n",
    "boothook": b"#cloud-boothook\n",
    "part handler": b"#part-handler\n",
    "jsonp": b"#cloud-config-jsonp\n[]\n",
    "jinja": b"## template: jinja\n#cloud-config\na: {{ b }}\n",
    "jinja without its space": b"##template: jinja\n#cloud-config\n",
    "archive": b'#cloud-config-archive\n- "#!/bin/sh"\n- a b\n- {content: "#cloud-boothook"}\n',
    "gzip": gzip.compress(b"#cloud-config\na: b\n"),
    "gzip twice": gzip.compress(gzip.compress(b"#!/bin/sh\n")),
    "gzip cut short": gzip.compress(b"#!/bin/sh\n" * 9)[:-9],
    "rubbish": bytes(range(256)),
    "ignition": b'{"ignition": {"version": "3.3.0"}}',
    "powershell": b"#ps1_sysnative\n",
    "MIME": multipart(
        ("text/plain", "#!/bin/sh"), ("text/cloud-config", "a: b"), ("text/x-shellscript", "#cloud-config")
    ),
    "MIME of one part": b"MIME-Version: 1.0\nContent-Type: text/cloud-config\n\na: b\n",
    "MIME, compressed": gzip.compress(multipart(("text/cloud-boothook", "#!/bin/sh"))),
    "MIME without its version": multipart(("text/cloud-config", "a: b")).replace(b"MIME-Version: 1.0\n", b""),
    "MIME of multiparts": multipart(
        ("multipart/mixed; boundary=C", "--C\nContent-Type: text/plain\n\n#!/bin/sh\n--C--")
    ),
    "a script that speaks of MIME": b"#!/bin/sh\necho MIME-Version: 1.0\n",
}
NOT_FOR_CLOUD_INIT = frozenset({Form.IGNITION, Form.WINDOWS})


@pytest.mark.parametrize("name", USER_DATA)
def test_user_data_is_taken_for_what_cloud_init_takes_it_for(cloud_init: CloudInit, name: str) -> None:
    user_data = USER_DATA[name]
    theirs = cloud_init.parts(user_data)["parts"]
    ours = [TYPES[part.form] for part in unpack(user_data).parts if part.form not in NOT_FOR_CLOUD_INIT]
    assert ours == [kind for kind in theirs if kind in TYPES.values()]
    if UNHANDLED in theirs and not ours and name not in ("ignition", "powershell"):
        assert lint.request(lint.Subject(Secret(user_data)), lint.CloudConfigSchema()), (
            "cloud-init warns, and we do not"
        )


SCHEMA = {
    "packages: vim": "line 2: packages: it must be of type array",
    "users:\n- {name: ada, ssh_pwauth: true}": "line 3: users[0]: ssh_pwauth is not known here",
    "write_files:\n- content: x": "line 3: write_files[0]: path is missing",
    "runcmd: ls": "line 2: runcmd: it must be of type array",
    "ntp: {pools: [1]}": "line 2: ntp.pools[0]: it must be of type string",
    "power_state: {mode: sleep}": "line 2: power_state.mode: it must be one of halt, poweroff, reboot",
}


@pytest.mark.parametrize(("text", "message"), SCHEMA.items())
def test_cloud_init_s_own_schema_is_applied(cloud_init: CloudInit, text: str, message: str) -> None:
    """The first two are those of harvester/harvester#5529 and #1757."""
    subject = lint.Subject(Secret(f"#cloud-config\n{text}\n".encode()))
    found = lint.request(subject, lint.CloudConfigSchema(cloud_init.schema))
    assert (Check.CLOUD_CONFIG_SCHEMA, message) in [(one.check, one.message) for one in found]


GOOD = """#cloud-config
hostname: web
manage_etc_hosts: true
package_update: true
packages: [nginx, [git, "1.0"]]
users: [default, {name: ada, groups: [sudo], sudo: "ALL=(ALL) NOPASSWD:ALL", lock_passwd: true}]
chpasswd: {expire: false}
write_files:
- {path: /etc/app.conf, content: !!binary aGVsbG8=, permissions: "0600"}
runcmd: [[systemctl, restart, app], echo done]
"""


def test_cloud_init_s_own_schema_has_nothing_against_a_common_cloud_config(cloud_init: CloudInit) -> None:
    assert lint.request(lint.Subject(Secret(GOOD)), lint.CloudConfigSchema(cloud_init.schema)) == ()
