"""Which versions of a drive have to be looked at: each that tells something of its own."""

from __future__ import annotations

from injector.inject.configdrive.evidence import versions_on

OLD, MIDDLE, NEW = "openstack/2012-08-10/", "openstack/2018-08-27/", "openstack/latest/"


def test_of_versions_that_tell_the_same_the_newest_is_looked_at() -> None:
    tree = {f"{where}meta_data.json": b"{}" for where in (OLD, MIDDLE, NEW)}
    assert versions_on(tree) == ("latest",)
    assert versions_on(dict(reversed(tree.items()))) == ("latest",)


def test_a_version_with_another_document_is_looked_at_itself() -> None:
    tree = {f"{where}meta_data.json": b"{}" for where in (OLD, MIDDLE, NEW)}
    assert versions_on(tree | {f"{OLD}meta_data.json": b"{ }"}) == ("latest", "2012-08-10")
    assert versions_on(tree | {f"{MIDDLE}user_data": b"#!/bin/sh"}) == ("latest", "2018-08-27")
    newer = {f"{where}network_data.json": b"{}" for where in (MIDDLE, NEW)}
    assert versions_on(tree | newer) == ("latest", "2012-08-10")


def test_what_is_no_version_of_openstack_is_not_looked_at() -> None:
    assert (
        versions_on({"ec2/latest/meta-data.json": b"{}", "openstack/content/0000": b"", NEW + "user_data": b""}) == ()
    )
