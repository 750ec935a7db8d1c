"""Every command from the words typed to the requests sent, and from the answers to stdout, stderr and the exit code."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from injector.client.exits import Exit
from tests.canned_api import REQUEST_ID, Answer, CannedApi, fault
from tests.commands import BOOT, DETAIL, EVERY_BYTE, ID, IMAGE, NETWORK, OTHER, SERVERS, Run, a_server

# boot: the request


def body_of(api: CannedApi) -> dict[str, Any]:
    body = next(asked for asked in api.said("POST") if asked.path == SERVERS).json
    assert list(body) == ["server"]
    server: dict[str, Any] = body["server"]
    return server


def test_a_plain_boot_asks_for_no_more_than_was_said(run: Run, api: CannedApi) -> None:
    assert run(*BOOT).code == Exit.OK
    plain = {"name": "vm", "imageRef": IMAGE, "flavorRef": "1", "networks": "auto", "min_count": 1, "max_count": 1}
    assert body_of(api) == plain
    assert {asked.headers["openstack-api-version"] for asked in api.asked} == {"compute 2.56"}


def test_every_flag_of_boot_reaches_the_request(run: Run, api: CannedApi, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(EVERY_BYTE)
    api.answer("GET", f"/v2/images/{IMAGE}", {"id": IMAGE, "name": "debian"})
    result = run(
        *("boot", "--image", IMAGE, "--flavor", "m1.small", "--hostname", "web1"),
        *("--key-name", "laptop", "--key-name", "desk"),
        *("--user-data", str(tmp_path / "blob"), "--file", f"/opt/blob={tmp_path / 'blob'}"),
        *("--file", f"/opt/b2={tmp_path / 'blob'},mode=0600,owner=www,best-effort"),
        *("--meta", "role=web", "--meta", "note=a=b", "--config-drive", "true", "--admin-pass", "pw"),
        *(
            "--availability-zone",
            "nova",
            "--nic",
            "net-name=lan,v4-fixed-ip=10.0.0.5",
            "--nic",
            "net-name=lan,tag=front",
        ),
        *("--disk-tag", "os"),
        *("--best-effort", "metadata", "vm"),
    )
    assert result.code == Exit.OK
    body = body_of(api)
    assert b64decode(body.pop("user_data")) == EVERY_BYTE
    first, second = body.pop("personality")
    assert (first["path"], b64decode(first["contents"]), len(first)) == ("/opt/blob", EVERY_BYTE, 2)
    marks = {key: value for key, value in second.items() if key.startswith("injector:")}
    assert marks == {"injector:mode": "0600", "injector:owner": "www", "injector:best_effort": True}
    assert body == {
        "name": "vm",
        "imageRef": IMAGE,
        "flavorRef": "1",
        "key_name": "laptop",
        "injector:keys": ["desk"],
        "hostname": "web1",
        "metadata": {"role": "web", "note": "a=b"},
        "config_drive": True,
        "adminPass": "pw",
        "availability_zone": "nova",
        "min_count": 1,
        "max_count": 1,
        "injector:best_effort": ["metadata"],
        "networks": [{"uuid": NETWORK, "fixed_ip": "10.0.0.5"}, {"uuid": NETWORK, "tag": "front"}],
        "block_device_mapping_v2": [
            {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local", "tag": "os"}
        ],
    }
    assert [asked.path for asked in api.asked].count("/v2.0/networks") == 1


def test_user_data_comes_from_stdin_byte_for_byte(run: Run, api: CannedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(EVERY_BYTE)))
    assert run(*BOOT, "--user-data", "-").code == Exit.OK
    assert b64decode(body_of(api)["user_data"]) == EVERY_BYTE


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_password_comes_from_stdin_without_its_line_end(
    run: Run, api: CannedApi, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f" gehe im\u00df {ending}".encode())))
    assert run(*BOOT, "--admin-pass", "-").code == Exit.OK
    assert body_of(api)["adminPass"] == " gehe im\u00df "


@pytest.mark.parametrize("given", [b"", b"\n", b"one\ntwo\n", b"\xff\n"])
def test_a_password_that_is_no_line_is_refused(
    run: Run, api: CannedApi, monkeypatch: pytest.MonkeyPatch, given: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    result = run(*BOOT, "--admin-pass", "-")
    assert "want one line of text on standard input" in result.err
    assert api.said("POST") == []


@pytest.mark.parametrize(("nic", "expected"), [("none", "none"), ("auto", "auto")])
def test_the_words_for_all_cards(run: Run, api: CannedApi, nic: str, expected: str) -> None:
    assert run(*BOOT, "--nic", nic).code == Exit.OK
    assert body_of(api)["networks"] == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--nic", "none", "--nic", "net-name=lan"), "stands alone"),
        (("--min-count", "3", "--max-count", "2"), "--min-count 3 is more than --max-count 2"),
        (("--user-data", "-", "--file", "/x=-"), "standard input can be read once only"),
        (("--user-data", "-", "--admin-pass", "-"), "standard input can be read once only"),
    ],
)
def test_nonsense_is_told_before_anything_is_sent(run: Run, api: CannedApi, words: tuple[str, ...], says: str) -> None:
    result = run(*BOOT, *words)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert says in result.err
    assert api.said("POST") == []


# boot: the answer


def test_boot_prints_the_server_and_the_password_once_known(run: Run) -> None:
    result = run(*BOOT, "-f", "json")
    assert result.json["id"] == ID
    assert result.json["admin_pass"] == "s3cret"
    assert result.err == ""


def test_the_password_is_not_lost_when_the_server_cannot_be_looked_at(run: Run, api: CannedApi) -> None:
    api.answer("GET", f"{SERVERS}/{ID}", fault(503, "busy", "serviceUnavailable"))
    result = run(*BOOT, "-f", "json")
    assert result.code == Exit.UNREACHABLE
    assert (result.json["id"], result.json["admin_pass"]) == (ID, "s3cret")


def marks(*steps: str) -> list[dict[str, str]]:
    return [{"step": step, "at": f"2026-03-01T12:00:0{second}+00:00"} for second, step in enumerate(steps)]


def guest(state: str, detail: str = "") -> dict[str, Any]:
    return {"state": state, "detail": detail, "witness": "agent", "at": "2026-03-01T12:00:41+00:00"}


def test_what_the_lint_found_is_told_on_stderr_and_shown(run: Run, api: CannedApi) -> None:
    finding = {"check": "key_weak", "field": "key_name", "message": "a DSA key"}
    api.answer("GET", f"{SERVERS}/{ID}", {"server": a_server(**{"injector:findings": [finding]})})
    result = run(*BOOT, "-f", "json")
    assert result.err.splitlines() == ["warning: key_name: a DSA key [key_weak]"]
    assert result.json["findings"] == [finding]
    assert run("--quiet", *BOOT).err == ""
    assert "key_name: a DSA key [key_weak]" in run("show", ID).out


def test_boot_wait_tells_the_phases_on_stderr_and_the_result_on_stdout(run: Run, api: CannedApi) -> None:
    building = a_server(status="BUILD", **{"injector:marks": marks("schedule", "image")})
    running = a_server(**{"injector:marks": marks("schedule", "image", "running")})
    api.answer("GET", f"{SERVERS}/{ID}", {"server": building}, {"server": building}, {"server": running})
    result = run(*BOOT[:-1], "--wait", "vm", "-f", "value", "-c", "status")
    assert (result.code, result.out) == (Exit.OK, "ACTIVE\n")
    assert [line.split() for line in result.err.splitlines()] == [
        ["schedule", "1.00", "s"],
        ["image", "1.00", "s"],
        ["running", "2.00", "s", "in", "all"],
    ]


@pytest.mark.parametrize(
    ("view", "code", "says"),
    [
        (a_server(**{"injector:guest": guest("done")}), Exit.OK, None),
        (a_server(**{"injector:guest": guest("degraded", "a key is deprecated")}), Exit.GUEST_DEGRADED, "deprecated"),
        (a_server(**{"injector:guest": guest("error", "runcmd failed")}), Exit.GUEST_ERROR, "runcmd failed"),
        (a_server(status="ERROR", fault={"message": "no room"}), Exit.BOOT_FAILED, "no room (request req-boot)"),
        (a_server(), Exit.TIMED_OUT, "did not get there within 0.1 s"),
    ],
)
def test_boot_wait_guest_ends_with_the_guests_own_verdict(
    run: Run, api: CannedApi, view: dict[str, Any], code: Exit, says: str | None
) -> None:
    api.answer("GET", f"{SERVERS}/{ID}", {"server": view})
    result = run(*BOOT, "--wait", "guest", "--timeout", "0.1", "-f", "json")
    assert result.code == code
    assert result.json["id"] == ID
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == (says is not None)
    assert (says or "") in "".join(errors)


def test_quiet_silences_the_progress_and_not_the_error(run: Run, api: CannedApi) -> None:
    failed = a_server(status="ERROR", fault={"message": "no room"}, **{"injector:marks": marks("schedule", "image")})
    api.answer("GET", f"{SERVERS}/{ID}", {"server": failed})
    result = run("-q", *BOOT, "--wait")
    assert result.err == f"error: server vm ({ID}) ended in ERROR: no room (request req-boot)\n"


def test_several_servers_are_found_by_their_reservation_and_listed(run: Run, api: CannedApi) -> None:
    second = a_server(id=OTHER, name="vm-2\x1b[2J", **{"OS-EXT-SRV-ATTR:launch_index": 1})
    stranger = a_server(id="x", name="x", **{"OS-EXT-SRV-ATTR:reservation_id": "r-2"})
    api.answer("GET", DETAIL, {"servers": [stranger, second, a_server()]})
    api.answer("GET", f"{SERVERS}/{OTHER}", {"server": second})
    result = run(*BOOT, "--max-count", "2", "--wait", "-f", "json")
    assert [(row["id"], row["admin_pass"]) for row in result.json] == [(ID, "s3cret"), (OTHER, "s3cret")]
    assert result.code == Exit.OK
    assert run(*BOOT, "--max-count", "2", "-f", "value", "-c", "name", "-c", "host").out == "vm \nvm-2 \n"
    assert "there is no column 'x'" in run(*BOOT, "--max-count", "2", "-c", "x").err
    assert run(*BOOT, "--max-count", "2", "-f", "shell").out.count("id=") >= 1


# names


@pytest.mark.parametrize(
    ("words", "path", "answer", "says"),
    [
        (BOOT, "/v2/images", {"images": []}, "there is no image with the name or id 'debian'"),
        (
            BOOT,
            "/v2/images",
            {"images": [{"id": "i1", "name": "debian"}, {"id": "i2", "name": "debian"}]},
            "2 images are named 'debian'; say which by its id: i1, i2",
        ),
        (("show", "v"), DETAIL, {"servers": [a_server()]}, "there is no server with the name or id 'v'"),
        ((*BOOT, "--nic", "net-name=wan"), "/v2.0/networks", {"networks": []}, "there is no network"),
    ],
)
def test_a_name_must_mean_one_thing(
    run: Run, api: CannedApi, words: tuple[str, ...], path: str, answer: dict[str, Any], says: str
) -> None:
    api.answer("GET", path, answer)
    result = run(*words)
    assert (result.code, result.out) == (Exit.REFUSED, "")
    assert result.err.startswith(f"error: {says}")
    assert result.err.count("\n") == 1


def test_an_id_is_looked_up_as_one_and_then_as_a_name(run: Run, api: CannedApi) -> None:
    named = a_server(id=OTHER, name=ID)
    api.answer("GET", f"{SERVERS}/{ID}", fault(404, "no such server", "itemNotFound"))
    api.answer("GET", DETAIL, {"servers": [named]})
    assert run("show", ID, "-f", "json").json["id"] == OTHER


def test_lists_are_read_to_their_end(run: Run, api: CannedApi) -> None:
    more = {"servers_links": [{"rel": "next", "href": f"http://elsewhere/v2.1/servers/detail?limit=1&marker={ID}"}]}
    api.answer("GET", DETAIL, {"servers": [a_server()], **more}, {"servers": [a_server(id=OTHER)]})
    assert [row["ID"] for row in run("list", "-f", "json").json] == [ID, OTHER]
    assert [asked.query for asked in api.asked if asked.path == DETAIL] == [{}, {"marker": ID}]


# the other commands on servers


@pytest.mark.parametrize("reader", ["json", "yaml", "csv", "value", "table"])
def test_list_in_every_format(run: Run, reader: str) -> None:
    result = run("list", "--long", "-f", reader)
    assert result.code == Exit.OK
    match reader:
        case "json" | "yaml":
            row = yaml.safe_load(result.out)[0]
            assert row["Networks"] == {"lan": [{"addr": "10.0.0.5"}], "dhcp": []}
            assert row["Host"] is None
        case "csv":
            row = next(csv.DictReader(io.StringIO(result.out)))
            assert (row["ID"], row["Host"]) == (ID, "")
        case _:
            assert ID in result.out
            assert "127.0.0.1" in result.out


def test_list_asks_the_server_to_choose(run: Run, api: CannedApi) -> None:
    assert run("list", "--name", "vm", "--status", "ACTIVE", "--limit", "5").code == Exit.OK
    assert api.asked[0].query == {"name": "vm", "status": "ACTIVE", "limit": "5"}


def test_images_are_called_by_their_names_while_there_are_any(run: Run, api: CannedApi) -> None:
    api.answer("GET", f"/v2/images/{IMAGE}", {"id": IMAGE, "name": "debian"})
    shown = run("show", "vm", "-f", "json").json
    assert (shown["image"], shown["image_id"]) == ("debian", IMAGE)
    api.answer("GET", DETAIL, {"servers": [a_server(), a_server(id=OTHER, image={"id": "gone"})]})
    assert [row["Image"] for row in run("list", "-f", "json").json] == ["debian", "gone"]
    api.answer("GET", "/v2/images", fault(503, "no", "serviceUnavailable"))
    result = run("list", "-f", "json")
    assert ([row["Image"] for row in result.json], result.code) == ([IMAGE, "gone"], Exit.OK)


def test_show_says_what_the_server_says(run: Run, api: CannedApi) -> None:
    shown = run("show", "vm", "-f", "json").json
    assert shown["plan"]["reason"] == "the operator wants one"
    assert (shown["guest"], shown["guest_witness"], shown["fault"]) == ("unknown", None, None)
    api.answer("GET", DETAIL, {"servers": [a_server(**{"injector:marks": marks("schedule", "running")})]})
    table = run("show", "vm").out
    assert "1.00 s running" in table
    assert "config_drive (a scsi drive): the operator wants one" in table
    assert "127.0.0.1:20022 -> 22" in table


def test_one_column_for_a_script(run: Run) -> None:
    assert run("show", "vm", "-f", "value", "-c", "status").out == "ACTIVE\n"
    result = run("show", "vm", "-c", "no-such")
    assert result.code == Exit.USAGE
    assert "no-such" in result.err


def test_what_a_guest_wrote_cannot_steer_the_terminal(run: Run, api: CannedApi) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2Jrm -rf\u202e\r\n+---+\nerror: forged"
    said = guest("error", hostile) | {"witness": hostile}
    view = a_server(name=f"vm{hostile}", **{"injector:guest": said, "metadata": {"k": hostile}})
    api.answer("GET", DETAIL, {"servers": [view]})
    api.answer("GET", f"{SERVERS}/{ID}", {"server": view})
    for words in (("list",), ("show", ID), (*BOOT, "--wait", "guest"), ("show", ID, "-f", "value")):
        result = run(*words)
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(result.out + result.err)
        assert "\n+---+\n" not in result.out
        assert "\nerror: forged" not in result.out + result.err


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("stop", "vm"), {"os-stop": None}),
        (("start", "vm"), {"os-start": None}),
        (("reboot", "vm"), {"reboot": {"type": "SOFT"}}),
        (("reboot", "--hard", "vm"), {"reboot": {"type": "HARD"}}),
    ],
)
def test_power(run: Run, api: CannedApi, words: tuple[str, ...], body: dict[str, Any]) -> None:
    api.answer("POST", f"{SERVERS}/{ID}/action", None, status=202)
    result = run(*words)
    assert (result.code, result.out, result.err) == (Exit.OK, "", "")
    assert api.said("POST")[0].json == body


def test_stop_waits_when_asked_to(run: Run, api: CannedApi) -> None:
    api.answer("POST", f"{SERVERS}/{ID}/action", None, status=202)
    stopping = a_server(**{"OS-EXT-STS:task_state": "powering-off"})
    api.answer("GET", f"{SERVERS}/{ID}", {"server": stopping}, {"server": a_server(status="SHUTOFF")})
    assert run("stop", "--wait", "vm").code == Exit.OK
    assert len([asked for asked in api.asked if str(asked) == f"GET {SERVERS}/{ID}"]) == 2


def test_each_of_several_is_deleted_and_each_failure_told(run: Run, api: CannedApi) -> None:
    api.answer("GET", DETAIL, {"servers": [a_server(), a_server(id=OTHER, name="vm2")]})
    api.answer("DELETE", f"{SERVERS}/{ID}", None, status=204)
    api.answer("DELETE", f"{SERVERS}/{OTHER}", fault(409, "it is locked", "conflictingRequest"))
    result = run("delete", "vm", "nobody", "vm2")
    assert result.code == Exit.REFUSED
    assert result.err.splitlines() == [
        "error: there is no server with the name or id 'nobody'",
        f"error: it is locked (request {REQUEST_ID})",
    ]
    assert len(api.said("DELETE")) == 2


def test_a_preview_asks_with_the_body_of_a_boot_and_shows_every_file(run: Run, api: CannedApi) -> None:
    file = {"path": "openstack/latest/meta_data.json", "size": 2048, "digest": "hmac-sha256:ab"}
    preview: dict[str, Any] = {"name": "vm", "host": "h", "files": [file], "domain_xml": "<domain>\n</domain>"}
    preview |= {
        "plan": {"channel": "config_drive", "reason": "r"},
        "addresses": [{"network": "n", "mac": "m", "ips": []}],
    }
    api.answer("POST", f"{SERVERS}/injector-preview", {"preview": preview})
    words = ("preview", *BOOT[1:], "--meta", "a=b")
    assert run(*words, "-f", "json").json["files"] == [file]
    table = run(*words).out
    assert "openstack/latest/meta_data.json: 2.0 KiB, hmac-sha256:ab" in table
    assert "n m by DHCP" in table
    assert run(*words, "-f", "value", "-c", "domain_xml").out == "<domain>\n</domain>\n"
    assert api.asked[-1].json["server"]["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        ({"back_ends": ["ext", "guestfs"]}, "into a root that is yet to be found, by ext, then guestfs"),
        ({"filesystem": "ext4", "partition": 1, "back_ends": ["ext"]}, "into ext4 on partition 1, by ext"),
        ({"filesystem": "xfs", "partition": 0, "back_ends": ["guestfs"]}, "into xfs on the whole disk, by guestfs"),
        ({"filesystem": "ext4", "partition": None, "back_ends": ["guestfs"]}, "into ext4, by guestfs"),
    ],
)
def test_a_plan_for_a_partition_says_which_file_system_and_who_edits_it(
    run: Run, api: CannedApi, plan: dict[str, Any], line: str
) -> None:
    shown = {"channel": "partition", "reason": "no drive is wanted", **plan}
    api.answer("POST", f"{SERVERS}/injector-preview", {"preview": {"name": "vm", "plan": shown}})
    api.answer("GET", DETAIL, {"servers": [a_server(**{"injector:plan": shown})]})
    for words in (("preview", *BOOT[1:]), ("show", "vm")):
        assert f"| {line} " in run(*words).out
        assert run(*words, "-f", "json").json["plan"] == shown


def test_a_preview_of_what_would_be_refused_says_so_and_fails(run: Run, api: CannedApi) -> None:
    finding = {"check": "file_empty", "field": "personality[0]", "message": "it is empty", "severity": "deny"}
    api.answer("POST", f"{SERVERS}/injector-preview", {"preview": {"accepted": False, "findings": [finding]}})
    result = run("preview", *BOOT[1:])
    assert "deny: personality[0]: it is empty [file_empty]" in result.out
    assert result.code == Exit.REFUSED
    assert "would be refused" in result.err


def test_the_receipt(run: Run, api: CannedApi) -> None:
    item = {"kind": "file", "name": "/etc/motd", "size": 12, "outcome": "read back", "digest": "hmac-sha256:ab"}
    item |= {"where": "openstack/content/0000", "mode": "0660", "reason": None}
    receipt = {"channel": "config_drive", "reason": "r", "drive_digest": "d", "drive_size": 2048, "items": [item]}
    api.answer("GET", f"{SERVERS}/{ID}/injector-receipt", {"receipt": receipt})
    assert run("receipt", "vm", "-f", "json").json["items"] == [item]
    table = run("receipt", "vm").out
    assert "file /etc/motd: read back, 12 B, mode 0660, openstack/content/0000, hmac-sha256:ab" in table
    assert "2.0 KiB" in table


def test_the_receipt_of_a_partition_says_who_wrote_and_who_was_passed_over(run: Run, api: CannedApi) -> None:
    passed = [{"back_end": "ext", "reason": "it uses encrypt,\x1b[2J which it does not edit"}]
    receipt = {"channel": "partition", "filesystem": "ext4", "back_end": "guestfs", "passed_over": passed, "items": []}
    api.answer("GET", f"{SERVERS}/{ID}/injector-receipt", {"receipt": receipt})
    shown = run("receipt", "vm", "-f", "json").json
    assert (shown["filesystem"], shown["back_end"], len(shown["passed_over"])) == ("ext4", "guestfs", 1)
    assert "ext: it uses encrypt, which it does not edit" in run("receipt", "vm").out


# consoles


def test_the_console(run: Run, api: CannedApi) -> None:
    api.answer("POST", f"{SERVERS}/{ID}/action", {"output": "one\n\x1b[31mtwo"})
    assert run("console-log", "vm", "--length", "2").out == "one\ntwo\n"
    assert api.said("POST")[0].json == {"os-getConsoleOutput": {"length": 2}}


def test_a_console_is_followed_until_the_server_is_gone(run: Run, api: CannedApi) -> None:
    looks: list[Any] = [{"output": text} for text in ("a\nb\n", "a\nb\nc\n", "b\nc\nd\n", "new\n")]
    not_yet = fault(409, "it is not ready", "conflictingRequest")
    away = fault(503, "the daemon is ending", "serviceUnavailable")
    looks = [not_yet, *looks[:2], away, *looks[2:], fault(404, "it is gone", "itemNotFound")]
    api.answer("POST", f"{SERVERS}/{ID}/action", *looks)
    result = run("console-log", "--follow", "--length", "1", "vm")
    assert result.out == "b\nc\nd\nnew\n"
    assert result.err.count("begun anew") == 1
    assert (result.code, result.err.splitlines()[-1]) == (Exit.REFUSED, f"error: it is gone (request {REQUEST_ID})")


# key pairs, flavors, images, networks, hosts


def test_key_pairs(run: Run, api: CannedApi, tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_text("ssh-ed25519 AAAA ada\n")
    made = {"name": "lap top/1", "type": "ssh", "fingerprint": "aa:bb", "public_key": "ssh-ed25519 AAAA ada\n"}
    api.answer("POST", "/v2.1/os-keypairs", {"keypair": made}, status=201)
    api.answer("GET", "/v2.1/os-keypairs", {"keypairs": [{"keypair": made}]})
    api.answer("DELETE", "/v2.1/os-keypairs/lap%20top%2F1", None, status=204)
    assert run("keypair", "add", "lap top/1", "--public-key", str(tmp_path / "k.pub")).code == Exit.OK
    assert api.said("POST")[0].json["keypair"] == {
        "name": "lap top/1",
        "type": "ssh",
        "public_key": "ssh-ed25519 AAAA ada\n",
    }
    assert run("keypair", "list", "-f", "json").json == [{"Name": "lap top/1", "Type": "ssh", "Fingerprint": "aa:bb"}]
    assert run("keypair", "delete", "lap top/1").code == Exit.OK


@pytest.mark.parametrize("content", [b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"\xff\xfe"])
def test_a_private_key_is_never_sent(run: Run, api: CannedApi, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)
    assert run("keypair", "add", "k", "--public-key", str(tmp_path / "k")).code == Exit.REFUSED
    assert api.asked == []


def test_flavors(run: Run, api: CannedApi) -> None:
    made = {"id": "a b", "name": "tiny", "vcpus": 2, "ram": 512, "disk": 0}
    api.answer("POST", "/v2.1/flavors", {"flavor": made})
    api.answer("GET", "/v2.1/flavors/detail", {"flavors": [made]})
    api.answer("DELETE", "/v2.1/flavors/a%20b", None, status=202)
    assert run("flavor", "create", "tiny", "--vcpus", "2", "--ram", "512").code == Exit.OK
    assert api.said("POST")[0].json == {"flavor": {"id": None, "name": "tiny", "vcpus": 2, "ram": 512, "disk": 0}}
    assert run("flavor", "list", "-f", "json").json[0]["RAM"] == 512
    assert run("flavor", "delete", "tiny").code == Exit.OK


def test_an_image_is_registered_and_its_bytes_are_sent(run: Run, api: CannedApi, tmp_path: Path) -> None:
    content = EVERY_BYTE * 4096
    (tmp_path / "disk").write_bytes(content)
    active = {"id": IMAGE, "name": "d", "status": "active", "disk_format": "raw", "size": len(content), "os_type": "l"}
    api.answer("POST", "/v2/images", {"id": IMAGE}, status=201)
    api.answer("PUT", f"/v2/images/{IMAGE}/file", None, status=204)
    api.answer("GET", f"/v2/images/{IMAGE}", active)
    words = ("--disk-format", "raw", "--property", "os_type=l", "--min-disk", "2")
    result = run("image", "create", "d", "--file", str(tmp_path / "disk"), *words, "-f", "json")
    assert result.json["properties"] == {"os_type": "l"}
    assert api.said("POST")[0].json == {
        "name": "d",
        "disk_format": "raw",
        "container_format": "bare",
        "min_disk": 2,
        "os_type": "l",
    }
    assert api.said("PUT")[0].content == content
    assert "sent 1.0 MiB in" in result.err


def test_an_image_that_is_refused_leaves_no_record(run: Run, api: CannedApi, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"no image")
    busy = fault(409, "it is being uploaded", "conflictingRequest")
    api.answer("POST", "/v2/images", {"id": IMAGE}, status=201)
    api.answer("PUT", f"/v2/images/{IMAGE}/file", fault(409, "it is not qcow2", "conflictingRequest"))
    api.answer("DELETE", f"/v2/images/{IMAGE}", busy, Answer(204, b""))
    result = run("image", "create", "d", "--file", str(tmp_path / "disk"))
    assert (result.code, result.err.splitlines()[-1]) == (
        Exit.REFUSED,
        f"error: it is not qcow2 (request {REQUEST_ID})",
    )
    assert len(api.said("DELETE")) == 2


def test_a_file_that_is_not_there_is_told_before_a_record_is_made(run: Run, api: CannedApi) -> None:
    result = run("image", "create", "d", "--file", "/no/such")
    assert (result.code, result.err) == (Exit.REFUSED, "error: /no/such: No such file or directory\n")
    assert api.asked == []


FACTS: dict[str, Any] = {
    "table": "gpt",
    "partitions": [
        {"number": 14, "start": 1024**2, "size": 3 * 1024**2, "type": "21686148-6449", "filesystem": None},
        {"number": 1, "start": 128 * 1024**2, "size": 1024**3, "type": "b921b045", "filesystem": "ext4", "label": "r"},
    ],
    "root": {"partition": 1, "filesystem": "ext4", "found_by": "partition 1, by the type of its partition"},
    "os": "debian",
    "os_version": "12",
    "init": "systemd",
    "network": ["netplan", "ifupdown"],
    "agent": "yes",
    "agent_seen": "/usr/bin/cloud-init",
    "selinux": None,
    "back_end": "ext",
    "doubt": None,
}


def test_what_was_found_in_an_image(run: Run, api: CannedApi) -> None:
    record = {"id": IMAGE, "name": "d", "status": "active", "injector_agent": "yes"}
    api.answer("GET", f"/v2/images/{IMAGE}", record | {"injector_facts": FACTS})
    shown = run("image", "show", IMAGE, "-f", "json").json
    assert (shown["looked_into"], shown["partition_table"], shown["root"]) == (True, "gpt", FACTS["root"])
    assert shown["properties"] == {"injector_agent": "yes"}
    for key in ("partitions", "os", "os_version", "init", "agent", "agent_seen", "selinux", "back_end", "doubt"):
        assert shown[key] == FACTS[key]
    table = run("image", "show", IMAGE).out
    assert "| 14: nothing recognised, 3.0 MiB at 1.0 MiB, type 21686148-6449 " in table
    assert "| 1: ext4, 1.0 GiB at 128.0 MiB, label r, type b921b045 " in table
    assert "| ext4, partition 1, by the type of its partition " in table
    assert "| netplan, ifupdown " in table


def test_an_image_that_nobody_has_looked_into(run: Run, api: CannedApi) -> None:
    api.answer("GET", f"/v2/images/{IMAGE}", {"id": IMAGE, "name": "d", "injector_facts": None})
    shown = run("image", "show", IMAGE, "-f", "json").json
    assert (shown["looked_into"], shown["agent"], shown["partitions"]) == (False, None, [])
    assert run("image", "show", IMAGE).code == Exit.OK


def test_what_was_found_in_an_image_cannot_steer_the_terminal(run: Run, api: CannedApi) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2Jroot\u202e\r\n+---+"
    entry = {"number": 1, "start": 0, "size": 1, "type": hostile, "label": hostile, "filesystem": hostile}
    said = FACTS | {"partitions": [entry], "os": hostile, "doubt": hostile, "network": [hostile]}
    api.answer("GET", f"/v2/images/{IMAGE}", {"id": IMAGE, "name": "d", "injector_facts": said})
    out = run("image", "show", IMAGE).out
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(out)
    assert "\n+---+\n" not in out


def test_networks(run: Run, api: CannedApi) -> None:
    subnet = {"cidr": "10.0.0.0/24", "pool_first": "10.0.0.10", "pool_last": "10.0.0.20", "dns": ["9.9.9.9"]}
    made = {
        "id": NETWORK,
        "name": "lan",
        "injector:kind": "user",
        "injector:subnets": [subnet],
        "injector:forwards": [22],
    }
    api.answer("POST", "/v2.0/networks", {"network": made}, status=201)
    api.answer("GET", "/v2.0/networks", {"networks": [made]})
    api.answer("DELETE", f"/v2.0/networks/{NETWORK}", None, status=204)
    words = ("--subnet", "10.0.0.0/24", "--pool", "10.0.0.10-10.0.0.20", "--dns", "9.9.9.9", "--forward", "22")
    assert run("network", "create", "lan", *words).code == Exit.OK
    assert (
        run("network", "create", "lan", "--subnet", "10.0.0.0/24,dns=9.9.9.9,pool=10.0.0.10-10.0.0.20").code == Exit.OK
    )
    first, second = (asked.json["network"] for asked in api.said("POST"))
    plain = {"name": "lan", "injector:kind": "user", "injector:subnets": [subnet]}
    assert (first, second) == (plain | {"injector:forwards": [22]}, plain)
    assert run("network", "list", "-f", "json").json[0]["Forwards"] == [22]
    assert run("network", "delete", "lan").code == Exit.OK


def test_a_bridge_and_its_subnets(run: Run, api: CannedApi) -> None:
    api.answer("POST", "/v2.0/networks", {"network": {"id": NETWORK}}, status=201)
    words = (
        "--kind",
        "bridge",
        "--source",
        "br0",
        "--mtu",
        "9000",
        "--subnet",
        "10.0.0.0/24,dhcp",
        "--subnet",
        "fd00::/64,slaac",
    )
    assert run("network", "create", "lan", *words).code == Exit.OK
    assert api.said("POST")[0].json["network"] == {
        "name": "lan",
        "injector:kind": "bridge",
        "injector:source": "br0",
        "mtu": 9000,
        "injector:subnets": [{"cidr": "10.0.0.0/24", "dhcp": True}, {"cidr": "fd00::/64", "ipv6_mode": "slaac"}],
    }
    result = run("network", "create", "lan", *words, "--gateway", "10.0.0.1")
    assert result.code == Exit.USAGE
    assert "after each CIDR" in result.err


# failures


@pytest.mark.parametrize(
    ("answer", "code", "line"),
    [
        (
            fault(400, "Invalid input for field name"),
            Exit.REFUSED,
            f"Invalid input for field name (request {REQUEST_ID})",
        ),
        (fault(413, "too large", "overLimit"), Exit.REFUSED, f"too large (request {REQUEST_ID})"),
        (Answer(404, b"plain text"), Exit.REFUSED, f"404 Not Found (request {REQUEST_ID})"),
        (Answer(404, b"[1]"), Exit.REFUSED, f"404 Not Found (request {REQUEST_ID})"),
        (fault(500, "a bug"), Exit.UNREACHABLE, f"the server failed with 500: a bug (request {REQUEST_ID})"),
        (Answer(302, b""), Exit.UNREACHABLE, f"the server failed with 302: 302 Found (request {REQUEST_ID})"),
        (
            Answer(200, b"<html>"),
            Exit.UNREACHABLE,
            f"the answer is not JSON: is this the injector API? (request {REQUEST_ID})",
        ),
        (fault(400, "a\x1b[2J\nb"), Exit.REFUSED, f"a b (request {REQUEST_ID})"),
    ],
)
def test_what_the_server_refuses_is_one_line_with_its_request(
    run: Run, api: CannedApi, answer: Answer, code: Exit, line: str
) -> None:
    api.answer("GET", DETAIL, answer)
    result = run("list")
    assert (result.code, result.out, result.err) == (code, "", f"error: {line}\n")


def test_debug_shows_where_a_failure_came_from(run: Run, api: CannedApi) -> None:
    api.answer("GET", DETAIL, fault(400, "no"))
    assert "Traceback" in run("--debug", "list").err


def test_a_server_that_is_not_there(run: Run, tmp_path: Path) -> None:
    for endpoint in (f"unix:{tmp_path / 'none'}", "http://127.0.0.1:1"):
        result = run("list", endpoint=endpoint)
        assert result.code == Exit.UNREACHABLE
        assert "is the daemon running" in result.err
        assert result.err.count("\n") == 1


# config drives

REFRESHED = {"injector:generation": 2, "injector:drive_in_guest": "now", "injector:fault": None}
BEGUN = {"generation": 2, "policy": "keep-id", "meaning": "the id stays", "when": "at once"}


def a_generation(number: int, **changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"number": number, "current": number == 2, "inserted": number == 2, "policy": None}
    return known | {"uuid": ID, "made_at": "2026-03-01T12:00:00+00:00", "drive_digest": str(number) * 64} | changes


def kept(api: CannedApi, *numbers: int) -> None:
    found = {"generations": [a_generation(number) for number in numbers]}
    api.answer("GET", f"{SERVERS}/{ID}/injector-generations", found)


@pytest.mark.parametrize(
    ("words", "asked", "meaning"),
    [
        ((), {"policy": "keep-id"}, "does not read the drive"),
        (("--policy", "new-id"), {"policy": "new-id"}, "runs again"),
        (("--to", "2"), {"to": 2}, "the id stays"),
    ],
)
def test_refresh_says_what_it_means_and_waits(
    run: Run, api: CannedApi, words: tuple[str, ...], asked: dict[str, Any], meaning: str
) -> None:
    api.answer("POST", f"{SERVERS}/{ID}/action", {"refresh": BEGUN}, status=202)
    working = a_server(**{"OS-EXT-STS:task_state": "refreshing"})
    api.answer("GET", f"{SERVERS}/{ID}", {"server": working}, {"server": a_server(**REFRESHED)})
    kept(api, 1, 2)
    result = run("refresh", "vm", *words, "-f", "json")
    assert result.code == Exit.OK, result.err
    assert api.said("POST")[0].json == {"injector:refresh": asked}
    assert meaning in result.err
    assert "at once" in result.err
    shown = result.json
    assert (shown["generation"], shown["drive_in_guest"], shown["drive_sha256"]) == (2, "now", "2" * 64)


def test_the_meaning_of_a_policy_is_told_before_anything_is_asked(run: Run, api: CannedApi) -> None:
    api.answer("POST", f"{SERVERS}/{ID}/action", fault(409, "the instance has no config drive: why"))
    result = run("refresh", "vm")
    assert result.code == Exit.REFUSED
    said, error = result.err.splitlines()
    assert said.startswith("keep-id: ")
    assert "no config drive: why" in error


def test_a_refresh_that_fails_says_why(run: Run, api: CannedApi) -> None:
    api.answer("POST", f"{SERVERS}/{ID}/action", {"refresh": BEGUN}, status=202)
    failed = a_server(**{"injector:generation": 1, "injector:fault": "the disk is full"})
    api.answer("GET", f"{SERVERS}/{ID}", {"server": failed})
    result = run("refresh", "vm")
    assert (result.code, result.out) == (Exit.REFUSED, "")
    assert "keeps config drive 1: the disk is full" in result.err


def test_policy_and_going_back_do_not_go_together(run: Run, api: CannedApi) -> None:
    with pytest.raises(SystemExit) as ended:
        run("refresh", "vm", "--to", "1", "--policy", "new-id")
    assert ended.value.code == Exit.USAGE
    assert api.asked == []


def test_generations_are_listed_and_compared(run: Run, api: CannedApi) -> None:
    kept(api, 1, 2)
    listed = run("generations", "vm", "-f", "json").json
    assert [(one["Generation"], one["Current"], one["In guest"]) for one in listed] == [
        (1, False, False),
        (2, True, True),
    ]
    changes = {"differences": [{"what": "metadata", "change": "changed"}]}
    api.answer("GET", f"{SERVERS}/{ID}/injector-generations", changes)
    assert run("generations", "vm", "--compare", "1", "2", "-f", "value").out == "metadata changed\n"
    assert api.asked[-1].query == {"compare": "1,2"}
    api.answer("GET", f"{SERVERS}/{ID}/injector-generations", {"differences": []})
    assert "same to the byte" in run("generations", "vm", "--compare", "2", "2").err


@pytest.mark.parametrize(
    ("differences", "code", "verdict"),
    [([], Exit.OK, "intact"), (["user-data: another content"], Exit.NOT_INTACT, "not intact")],
)
def test_verify_ends_with_a_code_of_its_own(
    run: Run, api: CannedApi, differences: list[str], code: Exit, verdict: str
) -> None:
    found = {"generation": 1, "intact": not differences, "differences": differences, "made_again": None}
    api.answer("GET", f"{SERVERS}/{ID}/injector-verify", {"verify": found})
    result = run("verify", "vm", "-f", "json")
    assert result.code == code
    assert (result.json["verdict"], result.json["differences"]) == (verdict, differences)
    assert ("not what was delivered" in result.err) is bool(differences)
