"""What is mutated, by which tests it is judged, and which mutants are none."""

from __future__ import annotations

from collections.abc import Mapping

FLOOR = 0.9
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
    "injector/model/hostile.py": ("test_hostile",),
    "injector/model/instance.py": ("test_instance",),
    "injector/network/allocate.py": ("test_allocate",),
    "injector/system/vault.py": ("test_vault",),
    "injector/virt/libvirt/domain/hardware.py": ("test_domain_hardware",),
    "injector/virt/libvirt/said.py": ("test_said",),
    "injector/wire.py": ("test_wire",),
}
"""Module by module, the files of tests/unit that cover it."""

EQUIVALENT: Mapping[tuple[str, str, str], str] = {}
"""(file, function, change) of every mutant that behaves as the original does: why. The run fails for one unmatched."""
