"""Options become settings: what an operator writes is what the house works with."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from injector import conf
from injector.errors import InvalidRequest
from injector.settings import DriveSettings, Settings, VendorDataSettings


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "injector.conf"
    file.write_text(text)
    return conf.load(cfg.ConfigOpts(), [f"--config-file={file}"], "1")


def test_what_is_not_said_is_the_default_of_the_settings(tmp_path: Path) -> None:
    assert read(tmp_path, "").drive == DriveSettings()


def test_everything_about_drives(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [DEFAULT]
        linux_password = always
        config_drive_inject_password = False
        flat_injected = True
        injected_network_template = /etc/injector/interfaces
        [libvirt]
        virt_type = qemu
        [api]
        dhcp_domain = example.org
        config_drive_skip_versions = 1.0
        vendordata_providers = DynamicJSON,StaticJSON
        vendordata_jsonfile_path = /etc/injector/vendor.json
        vendordata_dynamic_targets = a@http://x/,b@https://ada:s@y/z?q=1
        vendordata_dynamic_connect_timeout = 3
        vendordata_dynamic_read_timeout = 7
        vendordata_dynamic_failure_fatal = yes
        vendordata_dynamic_ssl_certfile = /etc/ca.pem
        """.replace("        ", ""),
    )
    assert found.drive == DriveSettings(
        dhcp_domain="example.org",
        skip_versions=("1.0",),
        linux_password="always",
        admin_pass=False,
        flat_injected=True,
        network_template=Path("/etc/injector/interfaces"),
        virt_type="qemu",
        vendor_data=VendorDataSettings(
            providers=("DynamicJSON", "StaticJSON"),
            jsonfile=Path("/etc/injector/vendor.json"),
            targets=("a@http://x/", "b@https://ada:s@y/z?q=1"),
            connect_timeout=3,
            read_timeout=7,
            failure_fatal=True,
            ssl_certfile=Path("/etc/ca.pem"),
        ),
    )
    assert (found.policy.linux_password, found.policy.drive_password) == ("always", False)
    assert "ada:s" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "[api]\nvendordata_providers = StaticXML\n",
        "[api]\nvendordata_dynamic_connect_timeout = 2\n",
        "[DEFAULT]\nflat_injected = perhaps\n",
        "[DEFAULT]\nlinux_password = sometimes\n",
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequest, match="configuration cannot be used"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[database]\n connection = swordfish\n", "line 2: Unexpected continuation line"),
        ("\n transport_url = rabbit://u:swordfish@h/\n", "line 2: Unexpected continuation line"),
        ("swordfish\n", "line 1: No ':' or '=' found in assignment"),
        ("[database]\n= swordfish\n", "line 2: Key cannot be empty"),
    ],
)
def test_a_line_that_is_none_is_named_and_not_repeated(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(tmp_path, text)
    assert caught.value.message == f"the configuration cannot be read: {tmp_path / 'injector.conf'}, {place}"
    assert "swordfish" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"


@pytest.mark.parametrize("name", ["swordfish", "sword.fish"])
def test_a_dollar_in_a_password_is_told_and_the_password_is_not(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"written as \$\$") as caught:
        read(tmp_path, f"[database]\nconnection = postgresql+psycopg://u:x${name}@db/injector\n")
    assert "sword" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"
