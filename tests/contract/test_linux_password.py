"""The password that a Linux guest gets: on the drive, on its receipt, and as cloud-init's own module would set it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from injector.errors import ChannelBroken
from injector.inject import linux_password
from injector.inject.channel import Delivery
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.configdrive.contents import contents_of
from injector.inject.configdrive.tree import Tree, tree_of
from injector.inject.plan import ROOT_PASSWORD, items_of
from injector.model.image import Image
from injector.model.ingredients import Ingredients
from injector.model.payload import ItemKind
from injector.model.plan import LeftOut
from injector.model.receipt import Outcome, Receipt
from injector.model.secret import Secret
from injector.settings import DriveSettings, VendorDataSettings
from tests import builders as a
from tests import judges
from tests.web_services import a_service, says

if TYPE_CHECKING:
    from tests.cloudinit_reader import CloudInit

pytest_plugins = ("tests.cloudinit_reader",)

VAULT = a.a_vault()
PASSWORD = Secret("correct: horse")
WINDOWS = a.an_image(properties={"os_type": "windows"})


def channel(**settings: Any) -> ConfigDriveChannel:
    return ConfigDriveChannel(DriveSettings(**settings), VAULT)


def a_delivery(
    directory: Path, *, given: bool = True, image: Image | None = None, user_data: bytes | None = None
) -> Delivery:
    payload = a.a_payload(admin_password=PASSWORD, user_data=None if user_data is None else Secret(user_data))
    items = items_of(payload, password_given=given)
    instance = a.an_instance(items=items, nics=(), image=image or a.an_image())
    workspace = a.a_workspace(directory)
    workspace.path.mkdir(parents=True, exist_ok=True)
    return a.a_delivery(instance=instance, payload=payload, plan=a.a_plan(items=items), workspace=workspace)


def delivered(delivery: Delivery, **settings: Any) -> tuple[Receipt, Tree, Ingredients]:
    chosen = channel(**settings)
    ready = replace(delivery, ingredients=chosen.gather(delivery))
    assert ready.ingredients is not None
    return chosen.deliver(ready), tree_of(contents_of(ready)), ready.ingredients


def document(tree: Tree, name: str) -> Any:
    return json.loads(tree[f"openstack/latest/{name}.json"])


def lines(receipt: Receipt) -> dict[str, str | None]:
    return {item.name: item.where for item in receipt.items if item.kind is ItemKind.PASSWORD}


ADMIN_PASS = "openstack/latest/meta_data.json#/admin_pass"
FOR_ROOT = "openstack/latest/vendor_data.json#/cloud-init"


@pytest.mark.parametrize(
    ("settings", "given", "image", "expected"),
    [
        ({}, True, None, {"password": ADMIN_PASS, ROOT_PASSWORD: FOR_ROOT}),
        ({}, False, None, {"password": ADMIN_PASS}),
        ({"linux_password": "always"}, False, None, {"password": ADMIN_PASS, ROOT_PASSWORD: FOR_ROOT}),
        ({"linux_password": "never"}, False, None, {"password": ADMIN_PASS}),
        ({"admin_pass": False}, True, None, {ROOT_PASSWORD: FOR_ROOT}),
        ({"admin_pass": False}, False, None, {}),
        ({"admin_pass": False, "linux_password": "always"}, False, None, {ROOT_PASSWORD: FOR_ROOT}),
        ({}, True, WINDOWS, {"password": ADMIN_PASS}),
        ({"linux_password": "always"}, True, WINDOWS, {"password": ADMIN_PASS}),
    ],
)
def test_what_is_told_and_to_whom(
    settings: dict[str, Any], given: bool, image: Image | None, expected: dict[str, str], tmp_path: Path
) -> None:
    receipt, tree, ingredients = delivered(a_delivery(tmp_path, given=given, image=image), **settings)
    assert lines(receipt) == expected
    assert ("admin_pass" in document(tree, "meta_data")) == ("password" in expected)
    assert (document(tree, "vendor_data") != {}) == (ROOT_PASSWORD in expected)
    assert {item.outcome for item in receipt.items} == {Outcome.READ_BACK}
    if ingredients.root_hash is not None:
        assert linux_password.is_hash_of(ingredients.root_hash, PASSWORD)
    assert channel(**settings).verify(a.a_workspace(tmp_path), receipt) == ()


def test_the_receipt_confirms_no_guess(tmp_path: Path) -> None:
    receipt, _, ingredients = delivered(a_delivery(tmp_path))
    assert ingredients.root_hash is not None
    (line,) = (item for item in receipt.items if item.name == ROOT_PASSWORD)
    assert line.digest == VAULT.digest(a.INSTANCE_ID, ingredients.root_hash.reveal())
    assert line.size == 0
    for secret in (PASSWORD, ingredients.root_hash):
        assert secret.text() not in repr(receipt)
        assert secret.text() not in repr(ingredients)


def test_the_same_ingredients_make_the_same_drive_and_others_another(tmp_path: Path) -> None:
    first, _, ingredients = delivered(a_delivery(tmp_path / "a"))
    again = channel().deliver(replace(a_delivery(tmp_path / "b"), ingredients=ingredients))
    other, _, _ = delivered(a_delivery(tmp_path / "c"))
    assert first == again
    assert other.drive_digest != first.drive_digest


def test_the_next_drive_has_the_same_salt_while_the_password_is_the_same(tmp_path: Path) -> None:
    _, _, ingredients = delivered(a_delivery(tmp_path / "a"))
    second = replace(a_delivery(tmp_path / "b"), ingredients=ingredients)
    assert channel().gather(second) == ingredients
    other = replace(second, payload=replace(second.payload, admin_password=Secret("another")))
    changed = channel().gather(other).root_hash
    assert changed is not None
    assert linux_password.is_hash_of(changed, Secret("another"))


def test_a_hash_of_another_password_is_no_delivery(tmp_path: Path) -> None:
    _, _, ingredients = delivered(a_delivery(tmp_path / "a"))
    wrong = a_delivery(tmp_path / "b")
    payload = replace(wrong.payload, admin_password=Secret("another"))
    with pytest.raises(ChannelBroken, match="hash for root"):
        channel().deliver(replace(wrong, payload=payload, ingredients=ingredients))


def test_one_that_was_left_out_is_nowhere(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    (item,) = delivery.plan.items
    plan = replace(delivery.plan, items=(), left_out=(LeftOut(item, "no"),))
    for mode in ("given", "always"):
        workspace = a.a_workspace(tmp_path / mode)
        workspace.path.mkdir(parents=True)
        receipt, tree, _ = delivered(replace(delivery, plan=plan, workspace=workspace), linux_password=mode)
        assert "admin_pass" not in document(tree, "meta_data")
        assert document(tree, "vendor_data") == {}
        assert [line.outcome for line in receipt.items if line.kind is ItemKind.PASSWORD] == [Outcome.LEFT_OUT]


def in_guest(delivery: Delivery, cloud_init: CloudInit, **settings: Any) -> tuple[dict[str, Any], str | None]:
    """What cloud-init's module does with the drive, and the hash that the drive tells."""
    _, _, ingredients = delivered(delivery, **settings)
    directory = delivery.workspace.path / "mnt"
    tree = judges.isoinfo_tree(delivery.workspace.config_drive, "-R")
    found = cloud_init.passwords(judges.lay_out(tree, directory))
    assert "error" not in found
    return found, None if ingredients.root_hash is None else ingredients.root_hash.text()


def test_cloud_init_sets_it_for_root_and_it_does_not_expire(tmp_path: Path, cloud_init: CloudInit) -> None:
    found, root = in_guest(a_delivery(tmp_path), cloud_init)
    assert found["set"] == [["root", root, True]]
    assert found["expired"] == []
    directory = tmp_path / a.INSTANCE_ID / "mnt" / "openstack" / "latest" / "vendor_data.json"
    kinds = [cloud_init.parts(text.encode())["parts"] for text in json.loads(directory.read_text())["cloud-init"]]
    assert kinds == [["text/cloud-config"], ["text/x-shellscript"]]


def vendor(directory: Path, said: Any) -> VendorDataSettings:
    file = directory / "vendor.json"
    file.write_text(json.dumps(said))
    return VendorDataSettings(jsonfile=file)


@pytest.mark.parametrize(
    "said",
    [
        "#cloud-config\nruncmd: [[true]]\nchpasswd: {users: [{name: ops, password: '$6$x$y'}], expire: false}\n",
        ["#!/bin/sh\n", "#cloud-config\nruncmd: [[true]]\nchpasswd: {list: ['ops:$6$x$y']}\n"],
    ],
)
def test_the_operators_vendor_data_are_obeyed_too(said: Any, tmp_path: Path, cloud_init: CloudInit) -> None:
    settings = vendor(tmp_path, {"cloud-init": said, "ours": 1})
    found, root = in_guest(a_delivery(tmp_path), cloud_init, vendor_data=settings)
    assert ["root", root, True] in found["set"]
    assert ["ops", "$6$x$y", True] in found["set"]
    assert found["vendor"]["runcmd"] == [["true"]] or found["vendor"]["runcmd"] == [[True]]
    assert found["expired"] == []


def test_a_root_of_the_operators_gives_way(tmp_path: Path, cloud_init: CloudInit) -> None:
    own = "#cloud-config\nchpasswd: {users: [{name: root, password: '$6$x$y'}]}\n"
    settings = vendor(tmp_path, {"cloud-init": own})
    found, root = in_guest(a_delivery(tmp_path), cloud_init, vendor_data=settings)
    assert [password for user, password, _ in found["set"] if user == "root"][-1] == root


def test_a_service_cannot_take_it_away(tmp_path: Path, cloud_init: CloudInit) -> None:
    """What is dynamic comes after what is static: there the password has to be, too."""
    said = "#cloud-config\nchpasswd: {users: [{name: root, password: '$6$x$y'}]}\n"
    with a_service(says(said)) as service:
        dynamic = VendorDataSettings(providers=("StaticJSON", "DynamicJSON"), targets=(f"cloud-init@{service.url}",))
        found, root = in_guest(a_delivery(tmp_path), cloud_init, vendor_data=dynamic)
    assert [password for user, password, _ in found["set"] if user == "root"][-1] == root


@pytest.mark.parametrize(
    "user_data",
    [b"#cloud-config\npassword: own\nchpasswd: {expire: false}\n", b"#cloud-config\nchpasswd: {list: ['a:b']}\n"],
)
def test_a_generated_one_leaves_the_users_own_alone(user_data: bytes, tmp_path: Path, cloud_init: CloudInit) -> None:
    delivery = a_delivery(tmp_path, given=False, user_data=user_data)
    found, root = in_guest(delivery, cloud_init, linux_password="always")
    assert root is None
    assert [user for user, _, _ in found["set"]] in (["debian"], ["a"])


def test_beside_other_user_data_it_is_set(tmp_path: Path, cloud_init: CloudInit) -> None:
    found, root = in_guest(a_delivery(tmp_path, user_data=b"#cloud-config\nruncmd: [[ls]]\n"), cloud_init)
    assert ["root", root, True] in found["set"]
