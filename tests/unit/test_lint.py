"""The lint of user-data, keys and files; each kind of finding after a complaint that users made elsewhere."""

from __future__ import annotations

import base64
import gzip
import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.inject import lint
from injector.inject.lint import unpack, yamltext
from injector.model.finding import RULES, Check, Finding, Severity, severities
from injector.model.payload import InjectedFile
from injector.model.secret import Secret
from tests import builders

NO_SCHEMA = lint.CloudConfigSchema()
SECRET = "hunter2-correct-horse"

A_SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "properties": {
        "packages": {"type": "array"},
        "package_update": {"type": "boolean"},
        "size": {"enum": ["small", "large"]},
        "users": {
            "type": "array",
            "items": {
                "oneOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "passwd": {"type": "string"}},
                        "patternProperties": {"^x-": {}},
                        "required": ["name"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "blob": {"type": "string"},
    },
}


def look(
    user_data: bytes | str | None = None,
    *files: InjectedFile,
    key: str | None = None,
    password: bool = False,
    schema: lint.CloudConfigSchema = NO_SCHEMA,
) -> list[Finding]:
    raw = user_data.encode() if isinstance(user_data, str) else user_data
    subject = lint.Subject(
        user_data=None if raw is None else Secret(raw),
        files=files,
        keys={} if key is None else {"key_name": builders.a_key(public_key=key)},
        password_given=password,
    )
    found = lint.request(subject, schema)
    assert not any(SECRET in finding.message for finding in found), "a finding quotes what may be secret"
    return [finding for finding in found if finding.check is not Check.CLOUD_CONFIG_UNCHECKED]


def checks(found: list[Finding]) -> list[Check]:
    return [finding.check for finding in found]


def b64(raw: bytes) -> bytes:
    return base64.encodebytes(raw)


def gzipped(content: bytes) -> bytes:
    """Without the time: the names of tests have the bytes, and two processes must agree on them."""
    return gzip.compress(content, mtime=0)


def mime(*parts: tuple[str, str], boundary: str = "--B", header: str = "MIME-Version: 1.0\n") -> str:
    body = "".join(f"{boundary}\nContent-Type: {kind}\n\n{text}\n" for kind, text in parts)
    return f'Content-Type: multipart/mixed; boundary="B"\n{header}\n{body}--B--\n'


@pytest.fixture
def schema(tmp_path: Path) -> lint.CloudConfigSchema:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(A_SCHEMA))
    return lint.CloudConfigSchema(path)


# user-data: what is right

RIGHT = {
    "cloud-config": "#cloud-config\nhostname: web\n",
    "cloud-config with CRLF": "#cloud-config\r\nhostname: web\r\n",
    "script": "#!/bin/sh\necho hello\n",
    "python script": "#!/usr/bin/env python3\nprint()\n",
    "boothook": "#cloud-boothook\n#!/bin/sh\n",
    "part handler": "#part-handler\ndef list_types(): return []\n",
    "include": "#include\nhttps://example.org/one\n\n# a comment\nhttp://example.org/two\n",
    "include on one line": "#include https://example.org/one\n",
    "include once": "#include-once\nhttps://example.org/one\n",
    "jinja": "## template: jinja\n#cloud-config\nhostname: {{ v1.local_hostname }}\n",
    "jinja that begins with a statement": "## template: jinja\n{% if x %}#cloud-config{% endif %}\n",
    "jinja that has nothing to render": "## template: jinja\n#!/bin/sh\n",
    "archive": '#cloud-config-archive\n- "#!/bin/sh"\n- content: "hostname: web"\n- type: text/cloud-config\n'
    '  content: "hostname: web"\n',
    "jsonp": '#cloud-config-jsonp\n[{"op": "add", "path": "/hostname", "value": "web"}]\n',
    "ignition": '{"ignition": {"version": "3.3.0"}}',
    "powershell": "#ps1_sysnative\nWrite-Host hello\r\n",
    "powershell on 32 bits": "#ps1_x86\nWrite-Host\n",
    "batch": "rem cmd\r\necho hello\r\n",
    "EC2's tags": "<powershell>\nWrite-Host\n</powershell>\n",
    "gzip": gzipped(b"#cloud-config\nhostname: web\n"),
    "MIME": mime(("text/cloud-config", "hostname: web"), ("text/x-shellscript", "#!/bin/sh\n")),
    "MIME, compressed": gzipped(mime(("text/plain", "#!/bin/sh\n")).encode()),
    "MIME with an empty part": mime(("text/cloud-config", ""), ("text/x-shellscript", "#!/bin/sh\n")),
    "MIME with a handler for what follows": mime(("text/part-handler", "#part-handler\n"), ("text/own", "x")),
    "MIME of one part": "MIME-Version: 1.0\nContent-Type: text/cloud-config\n\nhostname: web\n",
    "aliases in reason": "#cloud-config\na: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}\n",
}


@pytest.mark.parametrize("user_data", RIGHT.values(), ids=RIGHT.keys())
def test_nothing_is_said_of_what_is_right(user_data: bytes | str) -> None:
    assert look(user_data) == []


def test_nothing_is_said_of_nothing() -> None:
    assert look(None) == []


# user-data: what is wrong, each after somebody's complaint

WRONG = {
    # openstack-k8s-operators/ci-framework#2328: '' as content made cloud-init crash
    "empty": (Check.USER_DATA_EMPTY, ""),
    "blank": (Check.USER_DATA_EMPTY, " \n\n"),
    # kubevirt/kubevirt#4033: an empty echo, to satisfy a validator
    "a cloud-config of its header": (Check.USER_DATA_EMPTY, "#cloud-config\n# nothing\n"),
    # canonical/cloud-init#6114 and kubevirt/kubevirt#13376: the header was missing
    "no header": (Check.USER_DATA_HEADER, "users:\n  - name: ada\n"),
    # canonical/cloud-init#3089
    "shebang of a cloud-config": (Check.USER_DATA_HEADER, "#!cloud-config\nusers: []\n"),
    "a space in the header": (Check.USER_DATA_HEADER, "# cloud-config\nusers: []\n"),
    "an underscore": (Check.USER_DATA_HEADER, "#cloud_config\nhostname: web\n"),
    "no hash": (Check.USER_DATA_HEADER, "cloud-config\nhostname: web\n"),
    "a byte order mark": (Check.USER_DATA_HEADER, b"\xef\xbb\xbf#cloud-config\nhostname: web\n"),
    "UTF-16": (Check.USER_DATA_HEADER, "\ufeff#cloud-config\nhostname: web\n".encode("utf-16-le")),
    "no interpreter": (Check.USER_DATA_HEADER, "#!\necho\n"),
    "jinja above nothing": (Check.USER_DATA_HEADER, "## template: jinja\nhostname: web\n"),
    # theforeman/community-templates#165 and grycap/im#779: empty lines before the script
    "blank line before a script": (Check.USER_DATA_HEADER, "\n#!/bin/sh\necho\n"),
    "blank line before a cloud-config": (Check.USER_DATA_HEADER_STYLE, "\n#cloud-config\nhostname: web\n"),
    "a word behind the header": (Check.USER_DATA_HEADER_STYLE, "#cloud-config web\nhostname: web\n"),
    "a space behind the header": (Check.USER_DATA_HEADER_STYLE, "#cloud-config \nhostname: web\n"),
    # canonical/cloud-init#2183 and hashicorp/terraform#25507: bad interpreter
    "CRLF in a script": (Check.USER_DATA_LINE_ENDINGS, "#!/bin/sh\r\necho\r\n"),
    # hetznercloud/terraform-provider-hcloud#150 and canonical/cloud-init#3712
    "base64 twice": (Check.USER_DATA_ENCODED_TWICE, b64(b"#cloud-config\nhostname: web\n")),
    "gzip and base64 twice": (Check.USER_DATA_ENCODED_TWICE, b64(gzipped(b"#!/bin/sh\n"))),
    # kubevirt/user-guide#578: it must start with #cloud-config or the parsing will fail
    "no format at all": (Check.USER_DATA_FORMAT, "hello"),
    "bytes": (Check.USER_DATA_FORMAT, bytes(range(256))),
    "JSON of nobody": (Check.USER_DATA_FORMAT, '{"hello": 1}'),
    "JSON that is not an object": (Check.USER_DATA_FORMAT, "{1: 2}"),
    # canonical/cloud-init#3712: compressed user-data that nobody could unpack
    "gzip cut short": (Check.USER_DATA_GZIP, gzipped(b"#!/bin/sh\n" * 9)[:-9]),
    "gzip damaged": (Check.USER_DATA_GZIP, b"\x1f\x8b" + b"x" * 20),
    "gzip twice": (Check.USER_DATA_GZIP, gzipped(gzipped(b"#!/bin/sh\n"))),
    # cloudbase/cloudbase-init#203: the boundary without its two dashes
    "MIME whose boundary is nowhere": (Check.USER_DATA_MIME, mime(("text/cloud-config", "a: b"), boundary="B")),
    # canonical/cloud-init#6178: the header was not where cloud-init looks
    "MIME without its version": (Check.USER_DATA_MIME, mime(("text/cloud-config", "a: b"), header="")),
    "MIME below a blank line": (Check.USER_DATA_MIME, "\n" + mime(("text/cloud-config", "a: b"))),
    "MIME not in UTF-8": (Check.USER_DATA_MIME, mime(("text/cloud-config", "a: \xe9")).encode("latin-1")),
    "archive that is no list": (Check.USER_DATA_MIME, "#cloud-config-archive\na: b\n"),
    "archive that is no YAML": (Check.USER_DATA_MIME, "#cloud-config-archive\n- [\n"),
    # canonical/cloud-init#234: types of parts that nobody handles
    "part of no known type": (Check.USER_DATA_PART, mime(("text/own", "x"), ("text/cloud-config", "a: b"))),
    "part that is no script": (Check.USER_DATA_HEADER, mime(("text/x-shellscript", "echo hello"))),
    "part with broken gzip": (Check.USER_DATA_GZIP, mime(("application/gzip", "x"))),
    "include of nothing": (Check.USER_DATA_INCLUDE, "#include\n# nothing\n"),
    "include of what is no URL": (Check.USER_DATA_INCLUDE, "#include\nmy file\n"),
    "ignition without a version": (Check.USER_DATA_JSON, '{"ignition": {}}'),
    "ignition that is no JSON": (Check.USER_DATA_JSON, '{"ignition": {"version": "3.3.0"},}'),
    "patch that is none": (Check.USER_DATA_JSON, "#cloud-config-jsonp\nhostname: web\n"),
    # harvester/harvester#5529 and #10980: arbitrary words are accepted
    "bad YAML": (Check.CLOUD_CONFIG_YAML, "#cloud-config\npackages: [one, two\nhostname: web\n"),
    "a tab": (Check.CLOUD_CONFIG_YAML, "#cloud-config\nusers:\n\t- ada\n"),
    "bad YAML in a part": (Check.CLOUD_CONFIG_YAML, mime(("text/cloud-config", "a: b: c"))),
    "bad YAML in an archive": (Check.CLOUD_CONFIG_YAML, '#cloud-config-archive\n- "a: b: c"\n'),
    "NUL": (Check.CLOUD_CONFIG_YAML, "#cloud-config\na: \0\n"),
    "an int of nothing": (Check.CLOUD_CONFIG_YAML, '#cloud-config\na: !!int ""\n'),
    "a bool that is none": (Check.CLOUD_CONFIG_YAML, "#cloud-config\na: !!bool x\n"),
    "a timestamp that is none": (Check.CLOUD_CONFIG_YAML, "#cloud-config\na: !!timestamp x\n"),
    "a list as a key": (Check.CLOUD_CONFIG_YAML, "#cloud-config\n? [a]\n: b\n"),
    "a date that is none": (Check.CLOUD_CONFIG_YAML, "#cloud-config\na: 2001-99-99\n"),
    # canonical/cloud-init#3011: Failed loading yaml blob, and nothing was done
    "a list": (Check.CLOUD_CONFIG_MAPPING, "#cloud-config\n- hostname\n"),
    "a text": (Check.CLOUD_CONFIG_MAPPING, "#cloud-config\nhostname=web\n"),
}


@pytest.mark.parametrize(("check", "user_data"), WRONG.values(), ids=WRONG.keys())
def test_what_users_got_wrong_is_found(check: Check, user_data: bytes | str) -> None:
    found = look(user_data)
    assert checks(found) == [check]
    assert found[0].field == "user_data"


GZIP_TYPES = [
    "gzip",
    "gzip-compressed",
    "gzipped",
    "x-compress",
    "x-compressed",
    "x-gunzip",
    "x-gzip",
    "x-gzip-compressed",
]


@pytest.mark.parametrize("kind", [f"application/{name}" for name in GZIP_TYPES])
def test_parts_are_unpacked_by_any_name_of_gzip(kind: str) -> None:
    packed = base64.b64encode(gzip.compress(b"#cloud-config\na: b: c\n")).decode()
    (found,) = look(mime((f"{kind}\nContent-Transfer-Encoding: base64", packed)))
    assert found.check is Check.CLOUD_CONFIG_YAML


HANDLED = {
    "text/cloud-config": ("a: b: c", Check.CLOUD_CONFIG_YAML),
    "text/cloud-config-archive": ("a: b", Check.USER_DATA_MIME),
    "text/cloud-config-jsonp": ("[", Check.USER_DATA_JSON),
    "text/x-include-url": ("my file", Check.USER_DATA_INCLUDE),
    "text/x-include-once-url": ("my file", Check.USER_DATA_INCLUDE),
    **dict.fromkeys(
        [f"text/x-shellscript{when}" for when in ("", "-per-boot", "-per-instance", "-per-once")],
        ("echo", Check.USER_DATA_HEADER),
    ),
    "text/cloud-boothook": ("echo", None),
    "text/part-handler": ("import os", None),
    "text/jinja2": ("{{ x }}", None),
    "text/plain": ("echo", Check.USER_DATA_PART),
    "text/x-not-multipart": ("echo", Check.USER_DATA_PART),
    "application/octet-stream": ("echo", Check.USER_DATA_PART),
}


@pytest.mark.parametrize("kind", HANDLED)
def test_a_part_is_what_its_type_says(kind: str) -> None:
    text, check = HANDLED[kind]
    assert checks(look(mime((kind, text)))) == ([] if check is None else [check])


HEADER_WORDS = {
    b"\xef\xbb\xbf#cloud-config\n": "a byte order mark",
    b"\xff\xfe#\0": "UTF-16",
    b"\xfe\xff\0#": "UTF-16",
    b"# cloud-config\n": "the first line is not recognised",
    b"packages: []\n": "reads like a cloud-config without its header",
    b"\n#!/bin/sh\n": "white space stands before '#!'",
    b"\n## template: jinja\n#!/bin/sh\n": "white space stands before '## template: jinja'",
    b"\x1f\x8bxxxxxxxxxxx": "it is damaged",
    gzipped(b"#!/bin/sh\n" * 9)[:-9]: "it ends in the middle",
    b"#cloud-config\na: @b\n": "wants quotes",
    b"#cloud-config\na: [b, c\nd: e\n": "did not find expected ',' or ']'",
    b"#cloud-config\na: {b, c\nd: e\n": "did not find expected ',' or '}'",
    b"#cloud-config\n" + b"[" * 51: "line 2, column 51: ",
    b"MIME-Version: 1.0\n\n" + b"boundary " * 101: "more than 100 parts",
}


@pytest.mark.parametrize(("user_data", "words"), HEADER_WORDS.items())
def test_the_reason_is_told(user_data: bytes, words: str) -> None:
    (found,) = look(user_data)
    assert words in found.message


def test_a_script_may_speak_of_mime() -> None:
    assert look("#!/bin/sh\necho MIME-Version: 1.0\n") == []


def test_a_part_is_named_by_its_number() -> None:
    (found,) = look(mime(("text/x-shellscript", "#!/bin/sh\n"), ("text/cloud-config", "a: b: c")))
    assert found.message.startswith("part 2: line 1, column 5: ")


def test_archives_within_archives_come_to_an_end() -> None:
    text = "#!/bin/sh"
    for depth in range(6):
        text = "#cloud-config-archive\n" + json.dumps([text])
        assert checks(look(text)) == ([Check.USER_DATA_MIME] if depth >= unpack.MAX_DEPTH else [])


_PIECES = """
#cloud-config #! /bin/sh #include ## template: jinja #cloud-config-archive MIME-Version: 1.0 boundary=B --B --B--
Content-Type: multipart/mixed text/cloud-config Content-Transfer-Encoding: base64 {"ignition": users: - : [ ] { } & *
!!binary !!int 0x << | > ' " %YAML --- ... password: chpasswd: list ssh_authorized_keys: ssh-rsa AAAA \ufeff
"""
_WORDS = st.sampled_from(_PIECES.split())
_TEXTS = st.lists(st.one_of(_WORDS, st.sampled_from(["\n", "\n\n", "\t", "  "]), st.text(max_size=5)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(st.one_of(_TEXTS.map(lambda words: " ".join(words).encode("utf-8", "replace")), st.binary(max_size=200)))
def test_no_user_data_is_too_strange_to_be_looked_at(user_data: bytes) -> None:
    for raw in (user_data, b"#cloud-config\n" + user_data, b"#cloud-config-archive\n" + user_data, b64(user_data)):
        look(raw, password=True)


# cloud-config

YAML_PLACES = {
    "#cloud-config\npackages: [one\nhostname: web\n": "line 3, column 9",
    "#cloud-config\nhostname: a: b\n": "line 2, column 12",
    "#cloud-config\nusers:\n\t- ada\n": "line 3, column 1",
}


@pytest.mark.parametrize(("text", "place"), YAML_PLACES.items())
def test_bad_yaml_is_shown_by_line_and_column(text: str, place: str) -> None:
    (found,) = look(text)
    assert found.message.startswith(f"{place}: ")


@pytest.mark.parametrize(
    "value", [f"*{SECRET}", f"!{SECRET}", f"'{SECRET}", f'"{SECRET}', f"%{SECRET}", f"a: {SECRET}"]
)
def test_bad_yaml_is_told_without_its_values(value: str) -> None:
    (found,) = look(f"#cloud-config\npassword: {value}\n")
    assert found.check is Check.CLOUD_CONFIG_YAML


def bombs() -> dict[str, bytes]:
    def laughs(first: str, more: str) -> bytes:
        lines = [f"a0: &a0 {first}"] + [f"a{n}: &a{n} " + more.replace("*", f"*a{n - 1}") for n in range(1, 60)]
        return "\n".join(["#cloud-config", *lines]).encode()

    head = b"#cloud-config\n"
    return {
        "billion laughs": laughs("[x, x]", "[*, *, *]"),
        "billion laughs by merging": laughs("{x: 1}", "{<<: [*, *, *]}"),
        "a long chain": b"\n".join(
            [head + b"a0: &a0 []", *(b"a%d: &a%d [*a%d]" % (n, n, n - 1) for n in range(1, 2000))]
        ),
        "an alias of itself": head + b"a: &a [*a]\n",
        "a mapping within itself": head + b"&a\nx: *a\n",
        "brackets": head + b"[" * 40_000,
        "dashes": head + b"- " * 20_000,
        "braces": head + b"{a: " * 10_000,
        "many values": gzip.compress(head + b"- a\n" * 250_000),
        "digits": head + b"a: " + b"9" * 40_000,
    }


@pytest.mark.parametrize("name", bombs())
def test_a_yaml_bomb_hurts_nobody(name: str) -> None:
    began = time.process_time()
    assert checks(look(bombs()[name])) == [Check.CLOUD_CONFIG_YAML]
    assert time.process_time() - began < 5, "it took seconds where milliseconds do"


def test_a_gzip_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    (found,) = look(bomb)
    assert (found.check, "1048576" in found.message) == (Check.USER_DATA_GZIP, True)
    with pytest.raises(unpack.GzipError, match="more than 10 bytes"):
        unpack.gunzip(gzip.compress(b"12345") + gzip.compress(b"123456"), limit=10)
    assert unpack.gunzip(gzip.compress(b"12345") + gzip.compress(b"12345"), limit=10) == b"1234512345"


@pytest.mark.parametrize(
    "message",
    [
        mime(*[("text/cloud-config", "a: b")] * 101),
        "MIME-Version: 1.0\n" + "Content-Type: message/rfc822\n\n" * 5000,
        "MIME-Version: 1.0\n"
        + "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(2000)),
        "#cloud-config-archive\n" + json.dumps(["#!/bin/sh"] * 200),
    ],
    ids=["parts", "messages within messages", "multiparts within multiparts", "entries"],
)
def test_a_message_of_too_many_parts_is_not_taken_apart(message: str) -> None:
    assert checks(look(message)) == [Check.USER_DATA_MIME]


def test_yaml_has_a_greatest_length() -> None:
    with pytest.raises(yamltext.YamlError, match="longer than"):
        yamltext.read("a" * (yamltext.MAX_BYTES + 1))


# harvester/harvester#5529 asks for cloud-init's own schema; #1757 there is what becomes of rules of one's own.
SCHEMA_FAILURES = {
    f"packages: {SECRET}": "line 2: packages: it must be of type array",
    f"package_update: {SECRET}": "line 2: package_update: it must be of type boolean",
    f"size: {SECRET}": "line 2: size: it must be one of large, small",
    f"users:\n- ada\n- name: eve\n  ssh_pwauth: {SECRET}": "line 4: users[1]: ssh_pwauth is not known here",
    f"users:\n- passwd: {SECRET}\n  x-own: {SECRET}": "line 3: users[0]: name is missing",
}


@pytest.mark.parametrize(("text", "message"), SCHEMA_FAILURES.items())
def test_what_the_schema_does_not_allow_is_named(schema: lint.CloudConfigSchema, text: str, message: str) -> None:
    (found,) = look(f"#cloud-config\n{text}\n", schema=schema)
    assert (found.check, found.message) == (Check.CLOUD_CONFIG_SCHEMA, message)


def test_the_schema_has_nothing_to_say_of_what_it_allows(schema: lint.CloudConfigSchema) -> None:
    assert look("#cloud-config\npackages: []\nusers: [ada]\nblob: !!binary aGVsbG8=\nown: 1\n", schema=schema) == []
    assert look(mime(("text/x-shellscript", "#!/bin/sh")), schema=schema) == []


def test_no_more_than_a_few_failures_are_told(schema: lint.CloudConfigSchema) -> None:
    users = "".join(f"- {{nome: u{number}}}\n" for number in range(50))
    assert len(look(f"#cloud-config\nusers:\n{users}", schema=schema)) == 5


@pytest.mark.parametrize("content", [None, "{", '{"type": 7}', "[]"])
def test_without_a_schema_one_is_told_that_nothing_was_checked(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)
    subject = lint.Subject(Secret(b"#cloud-config\nhostname: web\n"))
    (found,) = lint.request(subject, lint.CloudConfigSchema(path))
    assert found.check is Check.CLOUD_CONFIG_UNCHECKED


def test_the_schema_is_read_when_it_is_needed_and_once(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    schema = lint.CloudConfigSchema(path)
    assert look("#!/bin/sh\n", schema=schema) == []
    path.write_text(json.dumps(A_SCHEMA))
    assert len(look("#cloud-config\npackages: 1\n", schema=schema)) == 1
    path.unlink()
    assert len(look("#cloud-config\npackages: 1\n", schema=schema)) == 1


# passwords: apache/cloudstack#9404 and #10061, where user-data and vendor data met

SETS = {
    "a list": "#cloud-config\nchpasswd:\n  list: |\n    root:x\n",
    "users": "#cloud-config\nchpasswd: {users: [{name: root, password: x}]}\n",
    "the default user's": "#cloud-config\npassword: x\n",
    "in a part": mime(("text/x-shellscript", "#!/bin/sh\n"), ("text/cloud-config", "password: x")),
    "in an archive": '#cloud-config-archive\n- "password: x"\n',
    "compressed": gzip.compress(b"#cloud-config\npassword: x\n"),
    "in a template": "## template: jinja\n#cloud-config\npassword: {{ ds.meta_data.secret }}\n",
    "the default user's in a patch": '#cloud-config-jsonp\n[{"op": "add", "path": "/password", "value": "x"}]\n',
    "in a patch": '#cloud-config-jsonp\n[{"op": "add", "path": "/chpasswd/list", "value": []}]\n',
}
DOES_NOT = {
    "only expiry": "#cloud-config\nchpasswd: {expire: false}\n",
    "of one user": "#cloud-config\nusers: [{name: ada, passwd: x}]\n",
    "no cloud-config": "#!/bin/sh\nchpasswd:\n",
    "unreadable": "#cloud-config\npassword: [\n",
    "a list": "#cloud-config\n- password: x\n",
    "a template": "## template: jinja\n#cloud-config\nruncmd: [{{ x }} password: ]\n",
    "another patch": '#cloud-config-jsonp\n[{"op": "add", "path": "/hostname", "value": "/password"}]\n',
    "a test in a patch": '#cloud-config-jsonp\n[{"op": "test", "path": "/password", "value": ""}]\n',
    "empty": "",
}


@pytest.mark.parametrize("user_data", SETS.values(), ids=SETS.keys())
def test_user_data_that_sets_passwords_wins(user_data: bytes | str) -> None:
    assert lint.sets_passwords(user_data if isinstance(user_data, bytes) else user_data.encode())
    assert look(user_data) == []
    (found,) = look(user_data, password=True)
    assert (found.check, found.field) == (Check.PASSWORD_OVERRIDDEN, "adminPass")


@pytest.mark.parametrize("user_data", DOES_NOT.values(), ids=DOES_NOT.keys())
def test_other_user_data_leaves_the_password_alone(user_data: str) -> None:
    assert not lint.sets_passwords(user_data.encode())
    assert Check.PASSWORD_OVERRIDDEN not in checks(look(user_data, password=True))


# keys

# A key by its form: nothing here loads DSA.
_DSA_BLOB = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-dss", b"\1" * 129, b"\1" * 21, b"\1" * 128))


def an_rsa_key(bits: int) -> str:
    """By its numbers: new releases of the library make no short ones."""
    modulus = (1 << (bits - 1)) + 1
    raw = modulus.to_bytes(bits // 8 + 1, "big")
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-rsa", b"\1\0\1", raw))
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


KEYS: dict[str, tuple[Check, str]] = {
    # oxidecomputer/helios-engvm#39: an empty authorized_keys left a guest nobody could enter
    "empty": (Check.KEY_UNUSABLE, " \n"),
    # rancher/os#623, its first answer: make sure that it is the public key
    "private": (
        Check.KEY_UNUSABLE,
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
    ),
    # jetkvm/kvm#643: it should start with something like ssh-rsa AAAA
    "another form": (Check.KEY_UNUSABLE, '---- BEGIN SSH2 PUBLIC KEY ----\nComment: "x"\nAAAA\n'),
    "PuTTY's": (Check.KEY_UNUSABLE, "PuTTY-User-Key-File-2: ssh-rsa\n"),
    # cockpit-project/cockpit-machines#1150: "non-valid ssh key"
    "no key": (Check.KEY_UNUSABLE, "non-valid ssh key"),
    "two keys": (Check.KEY_UNUSABLE, f"{builders.PUBLIC_KEY}\n{builders.PUBLIC_KEY}"),
    "cut short": (Check.KEY_UNUSABLE, builders.PUBLIC_KEY[:40]),
    "another type than it says": (Check.KEY_UNUSABLE, builders.PUBLIC_KEY.replace("ssh-ed25519", "ssh-rsa", 1)),
    "a certificate": (Check.KEY_UNUSABLE, "ssh-ed25519-cert-v01@openssh.com AAAA"),
    "options": (Check.KEY_UNUSABLE, f'command="/bin/true",no-pty {builders.PUBLIC_KEY}'),
    # rancher/os#623 asks for exactly this warning
    "DSA": (Check.KEY_WEAK, f"ssh-dss {base64.b64encode(_DSA_BLOB).decode()}"),
    "RSA of 1024 bits": (Check.KEY_WEAK, an_rsa_key(1024)),
}


@pytest.mark.parametrize(("check", "key"), KEYS.values(), ids=KEYS.keys())
def test_a_key_that_lets_nobody_in_is_found(check: Check, key: str) -> None:
    (found,) = look(key=key)
    assert (found.check, found.field) == (check, "key_name")


def a_curve_key(bits: int) -> str:
    curve = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}[bits]
    key = ec.derive_private_key(7, curve).public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def a_token_key(kind: str) -> str:
    return f"{kind} {base64.b64encode(len(kind).to_bytes(4, 'big') + kind.encode()).decode()}"


GOOD_KEYS = [a_curve_key(256), a_curve_key(384), a_curve_key(521)]
GOOD_KEYS += [a_token_key("sk-ssh-ed25519@openssh.com"), a_token_key("sk-ecdsa-sha2-nistp256@openssh.com")]


@pytest.mark.parametrize("key", [*GOOD_KEYS, builders.PUBLIC_KEY, an_rsa_key(2048), f"  {builders.PUBLIC_KEY}\n"])
def test_nothing_is_said_of_a_good_key(key: str) -> None:
    assert look(key=key) == []


def test_keys_in_a_cloud_config_are_looked_at_too() -> None:
    """rancher/os#623 again: the DSA key stood in ssh_authorized_keys."""
    good, weak = json.dumps(f'command="date" {builders.PUBLIC_KEY}'), json.dumps(KEYS["DSA"][1])
    text = f"#cloud-config\nssh_authorized_keys: [{good}, {weak}]\n"
    text += f"users:\n- default\n- name: ada\n  ssh-authorized-keys: [{SECRET}]\n"
    weakness, nonsense = look(text)
    assert (weakness.check, weakness.field) == (Check.KEY_WEAK, "user_data")
    assert weakness.message.startswith("ssh_authorized_keys[1]: ")
    assert (nonsense.check, nonsense.message[:31]) == (Check.KEY_UNUSABLE, "users[1].ssh-authorized-keys[0]")


# files

PATHS: dict[str, tuple[Check, str]] = {
    "/var/lock/app": (Check.FILE_VOLATILE, "in /run too"),
    "/etc/apt/sources.list": (Check.FILE_OVERWRITTEN, "by apt_configure"),
    # linuxkit/linuxkit#3686: the files are in the image and do not appear in the booted system
    "/run/app/state": (Check.FILE_VOLATILE, "/run is emptied"),
    "/var/run/app.pid": (Check.FILE_VOLATILE, "the same by its old name"),
    "/dev/app": (Check.FILE_VOLATILE, "hidden"),
    # canonical/cloud-init#2967 and #3044: /tmp is cleaned while cloud-init runs
    "/tmp/setup.sh": (Check.FILE_VOLATILE, "cleaned"),
    "/proc/sys/net/ipv4/ip_forward": (Check.FILE_PSEUDO, "no file"),
    "/sys/block": (Check.FILE_PSEUDO, "no file"),
    "//proc/1/oom_adj": (Check.FILE_PSEUDO, "the same with two slashes"),
    # pains 1 and 2 of the deprecation of file injection: accepted, and not there in the end
    "/etc/hostname": (Check.FILE_OVERWRITTEN, "by set_hostname"),
    "/etc/ssh/ssh_host_ed25519_key": (Check.FILE_OVERWRITTEN, "by ssh"),
    "/etc/netplan/50-cloud-init.yaml": (Check.FILE_OVERWRITTEN, "by the network's renderer"),
    "/var/lib/cloud/instance/user-data.txt": (Check.FILE_OVERWRITTEN, "its own"),
    "etc/motd": (Check.FILE_RELATIVE, "cloud-init puts the slash"),
    "/etc/": (Check.FILE_PATH, "a directory"),
    "/": (Check.FILE_PATH, "the root"),
    # CVE-2012-3360: a path that climbs
    "/etc/../../root/.ssh/authorized_keys": (Check.FILE_PATH, "climbs"),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.items())
def test_a_file_that_would_be_lost_is_found(path: str, expected: tuple[Check, str]) -> None:
    (found,) = look(None, builders.a_file(path))
    assert (found.check, found.field) == (expected[0], "personality[0].path")


@pytest.mark.parametrize(
    "path", ["/etc/motd", "/processes/x", "/runner", "/tmpfiles", "/etc/hostname.d/x", "/root/.ssh/x"]
)
def test_nothing_is_said_of_a_good_path(path: str) -> None:
    assert look(None, builders.a_file(path)) == []


def test_two_files_with_one_path_and_an_empty_one_are_found() -> None:
    """The copy of an empty file went unnoticed in oxidecomputer/helios-engvm#39."""
    twice, empty = look(None, builders.a_file("/etc/a"), builders.a_file("/etc//./a"), builders.a_file("/b", b""))
    assert (twice.check, twice.field) == (Check.FILE_DUPLICATE, "personality[1].path")
    assert (empty.check, empty.field) == (Check.FILE_EMPTY, "personality[2].contents")


def test_a_hostile_path_is_harmless_in_a_message() -> None:
    (found,) = look(None, builders.a_file("/tmp/\x1b[31mred\u202e"))
    assert found.message.startswith("/tmp/red is ")


# policy


def test_every_check_has_a_rule_and_a_severity() -> None:
    assert set(RULES) == set(Check) == set(severities())
    assert severities({Check.FILE_EMPTY: Severity.OFF})[Check.FILE_EMPTY] is Severity.OFF


def test_findings_are_judged_by_the_policy() -> None:
    found = [
        Finding(check, "f", "m") for check in (Check.FILE_EMPTY, Check.FILE_PATH, Check.KEY_WEAK, Check.FILE_EMPTY)
    ]
    usual = lint.judge(found, severities())
    assert (checks(list(usual.denied)), checks(list(usual.warned))) == (
        [Check.FILE_PATH],
        [Check.FILE_EMPTY, Check.KEY_WEAK],
    )
    other = {Check.FILE_EMPTY: Severity.DENY, Check.FILE_PATH: Severity.WARN, Check.KEY_WEAK: Severity.OFF}
    judged = lint.judge(found, severities(other))
    assert (checks(list(judged.denied)), checks(list(judged.warned))) == ([Check.FILE_EMPTY], [Check.FILE_PATH])
