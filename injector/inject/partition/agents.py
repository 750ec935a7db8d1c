"""Whether something in a guest reads a config drive: the programs known to, and what switches them off.

A drive for an image without one is refused, so NO has to be certain: whatever might read a drive makes it UNKNOWN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

from injector.inject.partition.looking import Looking
from injector.model.facts import Agent, Init

_CLOUD_INIT = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/bin/cloud-init")
_CLOUD_INIT_UNITS = ("cloud-init-local.service", "cloud-init.service", "cloud-init-main.service", "cloud-init.target")
_DISABLED = "/etc/cloud/cloud-init.disabled"
_SOURCE = "ConfigDrive"

_READERS = (
    *("/usr/bin/ignition", "/usr/libexec/ignition-apply", "/usr/lib/dracut/modules.d/30ignition"),
    *("/usr/bin/afterburn", "/usr/libexec/afterburn", "/usr/bin/coreos-cloudinit"),
    *("/usr/bin/glean", "/usr/local/bin/glean", "/usr/bin/glean.sh", "/usr/local/bin/glean.sh", "/usr/glean"),
    *("/etc/cirros-init", "/Program Files/Cloudbase Solutions/Cloudbase-Init"),
)
"""Programs and directories of what reads a drive labelled config-2."""

_PERHAPS = (
    *("/usr/lib/tiny-cloud", "/lib/tiny-cloud", "/sbin/tiny-cloud", "/usr/sbin/tiny-cloud", "/etc/tiny-cloud.conf"),
    *("/nix/store", "/gnu/store", "/ostree/deploy"),
)
"""What gives a guest its identity from elsewhere, or keeps a guest's programs where nobody looks for them."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """``seen`` is the program or file by which an agent was recognised; ``doubt`` why it does not count."""

    agent: Agent
    seen: str | None = None
    doubt: str | None = None


def recognised(look: Looking, init: Init, *, complete: bool) -> Recognised:
    """``complete``: whether this is all of an operating system, so that what is not here is nowhere."""
    cloud_init = look.first(*_CLOUD_INIT)
    off = None if cloud_init is None else _switched_off(look, init)
    if cloud_init is not None and off is None:
        return Recognised(Agent.YES, cloud_init)
    reader = look.first(*_READERS)
    if reader is not None:
        return Recognised(Agent.YES, reader)
    if off is not None:
        return Recognised(off.agent if complete else Agent.UNKNOWN, None, f"cloud-init is there, but {off.doubt}")
    perhaps = look.first(*_PERHAPS)
    if perhaps is not None:
        return Recognised(Agent.UNKNOWN, None, f"whether {perhaps} reads a config drive is not known")
    return Recognised(Agent.NO if complete else Agent.UNKNOWN)


def _switched_off(look: Looking, init: Init) -> Recognised | None:
    """Why cloud-init would not read a drive, and how sure that is; None when it would."""
    if look.has(_DISABLED):
        return Recognised(Agent.NO, doubt=f"{_DISABLED} switches it off")
    masked = [unit for unit in _CLOUD_INIT_UNITS if init is Init.SYSTEMD and look.masked(unit)]
    if masked:
        return Recognised(Agent.NO, doubt=f"{masked[0]} is masked")
    if init is Init.OPENRC and not look.in_runlevel("cloud-init-local", "cloud-init"):
        return Recognised(Agent.UNKNOWN, doubt="no runlevel starts it")
    sources = _sources(look)
    if sources is not None and _SOURCE not in sources:
        return Recognised(Agent.NO, doubt=f"its datasource_list has no {_SOURCE}")
    return None


def _sources(look: Looking) -> frozenset[str] | None:
    """The data sources of cloud-init's configuration; None when no list is understood: then it tries all."""
    directory = "/etc/cloud/cloud.cfg.d"
    dropped = [f"{directory}/{name}" for name in look.names(directory) if name.endswith(".cfg")]
    for path in reversed(["/etc/cloud/cloud.cfg", *dropped]):  # the last one that has a list counts
        found = _LIST.search(look.text(path))
        if found is not None:
            return _listed(found[1].strip(), found[2])
    return None


_LIST = re.compile(r"^datasource_list[ \t]*:([^\n]*)(.*)", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9]+")


def _listed(first: str, below: str) -> frozenset[str] | None:
    """As YAML has a list: in brackets, on one line or several, or an item a line."""
    if first.startswith("["):
        return frozenset(_WORD.findall((first + below).partition("]")[0]))
    if first and not first.startswith("#"):
        return None
    lines = (line.strip() for line in below.splitlines() if line.strip() and not line.strip().startswith("#"))
    return frozenset(
        word for line in takewhile(lambda line: line.startswith("-"), lines) for word in _WORD.findall(line)
    )
