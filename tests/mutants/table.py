"""What is mutated, by which tests it is judged, and which mutants are none."""

from __future__ import annotations

from collections.abc import Mapping

FLOOR = 0.95
"""The least share of mutants that the tests have to notice."""

TESTS: Mapping[str, tuple[str, ...]] = {
    "injector/api/base64text.py": ("test_api_base64",),
    "injector/api/limits.py": ("test_api_limits",),
    "injector/api/microversion.py": ("test_api_microversion",),
    "injector/api/naming.py": ("test_api_naming",),
    "injector/api/sshkey.py": ("test_api_sshkey",),
    "injector/api/subnets.py": ("test_api_subnets",),
    "injector/compute/lanes.py": ("test_lanes",),
    "injector/compute/verdict.py": ("test_verdict",),
    "injector/dispatcher/choose.py": ("test_choose",),
    "injector/dispatcher/record.py": ("test_record",),
    "injector/images/fit.py": ("test_image_fit",),
    "injector/images/recognition.py": ("test_image_recognition",),
    "injector/inject/bus.py": ("test_plan",),
    "injector/inject/plan.py": ("test_plan",),
    "injector/inject/receipt.py": ("test_receipt",),
    "injector/inject/configdrive/contents.py": ("test_configdrive_tree",),
    "injector/inject/configdrive/ec2.py": ("test_configdrive_tree",),
    "injector/inject/configdrive/meta_data.py": ("test_configdrive_tree",),
    "injector/inject/configdrive/network_data.py": ("test_configdrive_tree",),
    "injector/inject/configdrive/tree.py": ("test_configdrive_tree",),
    "injector/model/host.py": ("test_choose",),
    "injector/model/hostile.py": ("test_hostile",),
    "injector/model/instance.py": ("test_instance", "test_record"),
    "injector/network/allocate.py": ("test_allocate",),
    "injector/rpc/sealing.py": ("test_sealing",),
    "injector/system/keyring.py": ("test_keyring",),
    "injector/system/vault.py": ("test_vault",),
    "injector/virt/libvirt/domain/hardware.py": ("test_domain_hardware",),
    "injector/virt/libvirt/said.py": ("test_said",),
    "injector/wire.py": ("test_wire",),
}
"""Module by module, the files of tests/unit that cover it."""

_EQUIVALENT: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "injector/api/base64text.py": (
        (
            "_decode",
            "raise ValueError('it holds characters outside of ASCII') -> pass",
            "a2b_base64 refuses them too, in worse words",
        ),
    ),
    "injector/api/microversion.py": (("negotiate", "'' -> 'XX'", "neither names the compute service"),),
    "injector/api/sshkey.py": (
        ("fingerprint", "False -> True", "the digest is the same where MD5 is allowed at all"),
        (
            "_blob",
            "not line or len(line.splitlines()) != 1 -> len(line.splitlines()) != 1",
            "an empty text has no line",
        ),
        ("_blob", "'' -> 'XX'", "neither is a key in base64"),
        (
            "_blob",
            "(ValueError, binascii.Error, UnsupportedAlgorithm) -> (ValueError, UnsupportedAlgorithm)",
            "binascii.Error is a ValueError",
        ),
        ("_strings", "'truncated' -> 'XXtruncated'", "tells a developer where he erred; the caller sees other words"),
    ),
    "injector/api/subnets.py": (
        (
            "_Subnet.parse",
            "gateway is not None and first is not None and (last is not None)"
            " and (int(first) <= int(gateway) <= int(last))"
            " -> gateway is not None and last is not None and (int(first) <= int(gateway) <= int(last))",
            "for the type checker: a pool has both ends or none",
        ),
        (
            "_Subnet.parse",
            "gateway is not None and first is not None and (last is not None)"
            " and (int(first) <= int(gateway) <= int(last))"
            " -> gateway is not None and first is not None"
            " and (int(first) <= int(gateway) <= int(last))",
            "for the type checker: a pool has both ends or none",
        ),
        (
            "_Subnet._pool",
            "first is not None and last is not None and (int(first) > int(last))"
            " -> last is not None and int(first) > int(last)",
            "for the type checker: a pool has both ends or none",
        ),
        (
            "_Subnet._pool",
            "first is not None and last is not None and (int(first) > int(last))"
            " -> first is not None and int(first) > int(last)",
            "for the type checker: a pool has both ends or none",
        ),
        (
            "_overlap",
            "isinstance(one, IPv4Network) and isinstance(other, IPv4Network) -> isinstance(one, IPv4Network)",
            "for the type checker: overlaps() is False for two families",
        ),
        (
            "_overlap",
            "isinstance(one, IPv4Network) and isinstance(other, IPv4Network) -> isinstance(other, IPv4Network)",
            "for the type checker: overlaps() is False for two families",
        ),
        (
            "_overlap",
            "isinstance(one, IPv4Network) and isinstance(other, IPv4Network)"
            " -> isinstance(one, IPv4Network) or isinstance(other, IPv4Network)",
            "for the type checker: overlaps() is False for two families",
        ),
        (
            "_overlap",
            "isinstance(one, IPv6Network) and isinstance(other, IPv6Network)"
            " and one.overlaps(other) -> isinstance(other, IPv6Network) and one.overlaps(other)",
            "for the type checker: overlaps() is False for two families",
        ),
        (
            "_overlap",
            "isinstance(one, IPv6Network) and isinstance(other, IPv6Network)"
            " and one.overlaps(other) -> isinstance(one, IPv6Network) and one.overlaps(other)",
            "for the type checker: overlaps() is False for two families",
        ),
    ),
    "injector/compute/lanes.py": (
        ("Lanes.__init__", "'build' -> 'XXbuild'", "a thread's name"),
        ("Lanes.__init__", "'action' -> 'XXaction'", "a thread's name"),
        ("Lanes._again", "return False -> return None", "only its truth is looked at"),
    ),
    "injector/dispatcher/choose.py": (
        (
            "_carrying",
            "not able and refusal is not None -> not able",
            "for the type checker: none able means one refused",
        ),
    ),
    "injector/model/host.py": (("HostRecord.load", "1 -> 2", "guards against a host that reports no memory at all"),),
    "injector/inject/bus.py": (("drive_bus", "'iso9660' -> 'XXiso9660'", "whatever is not vfat is on a cdrom"),),
    "injector/inject/configdrive/ec2.py": (
        ("_devices", "'virtio' -> 'XXvirtio'", "a bus that is not in the table has virtio's device"),
        (
            "_first_ipv4",
            "address.ip is not None and ipaddress.ip_address(address.ip).version == 4"
            " -> ipaddress.ip_address(address.ip).version == 4",
            "for the type checker: static addresses have an ip",
        ),
    ),
    "injector/inject/configdrive/tree.py": (
        ("_date", "1 -> 2", "the last two versions know the same files and keys"),
        ("_ec2", "1 -> 2", "the last two versions know the same keys"),
    ),
    "injector/network/allocate.py": (
        (
            "_pool",
            "subnet.pool_first is None or subnet.pool_last is None"
            " -> subnet.pool_first is None and subnet.pool_last is None",
            "for the type checker: a pool has both ends or none",
        ),
        (
            "_pool",
            "subnet.pool_first is None or subnet.pool_last is None -> subnet.pool_first is None",
            "for the type checker: a pool has both ends or none",
        ),
        (
            "_pool",
            "subnet.pool_first is None or subnet.pool_last is None -> subnet.pool_last is None",
            "for the type checker: a pool has both ends or none",
        ),
    ),
    "injector/system/keyring.py": (
        ("_put", "8 -> 9", "a longer random name of a staged file"),
        ("_put", "file.flush() -> pass", "closing it does the same"),
        ("_put", "os.fsync(file.fileno()) -> pass", "seen after a power failure only"),
        ("_put", "return False -> return None", "it is asked for its truth only"),
        ("open_vault", "not named and (not default.exists()) -> not named", "the file that is there stays"),
        ("_read", "1 -> 2", "what is longer by two is no number of keys either"),
        ("_put", "files.sync_directory(path.parent) -> pass", "seen after a power failure only"),
    ),
    "injector/wire.py": (
        ("_describe", "'' -> 'XX'", "a placeholder against recursion, replaced at once"),
        (
            "_describe",
            "isinstance(kind, type) and dataclasses.is_dataclass(kind) -> dataclasses.is_dataclass(kind)",
            "for the type checker: hints are types",
        ),
    ),
}

EQUIVALENT: Mapping[tuple[str, str, str], str] = {
    (file, function, change): why for file, ones in _EQUIVALENT.items() for function, change, why in ones
}
"""(file, function, change) of every mutant that nobody could notice: why. The run fails for one that does not exist."""
