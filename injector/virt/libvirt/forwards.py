"""Doors from the host's 127.0.0.1 into QEMU's user networks: made through its monitor, gone when it ends."""

from __future__ import annotations

import ipaddress
import logging
import re
from dataclasses import dataclass

from injector.errors import HypervisorRefused
from injector.model.instance import Instance
from injector.model.network import Forward, NetworkKind, Nic
from injector.virt.driver import Reforward
from injector.virt.libvirt.host import Domain

LOG = logging.getLogger(__name__)

HOST = "127.0.0.1"
_HUB = re.compile(r"Hub -?\d+ \((?P<netdev>[^)]+)\):")
_RULE = re.compile(r"\s*TCP\[HOST_FORWARD\]\s+\d+\s+(?P<address>\S+)\s+(?P<port>\d+)\s+\S+\s+(?P<guest_port>\d+)\s")
_TRIES = 10


@dataclass(frozen=True, slots=True)
class _Rule:
    netdev: str
    host_port: int
    guest_port: int


def make(domain: Domain, instance: Instance, reforward: Reforward) -> None:
    """Make those forwards of the record that the running guest lacks; a port held by a stranger is replaced."""
    wanted = [forward for forward in instance.forwards if _plugged(instance, forward)]
    if not wanted:
        return
    there = _rules(domain)
    for forward in wanted:
        netdev = _netdev(domain, forward.mac)
        if _Rule(netdev, forward.host_port, forward.guest_port) not in there:
            _add(domain, instance, forward, netdev, reforward)


def _plugged(instance: Instance, forward: Forward) -> Nic | None:
    """The card behind a forward, if it is on a user network."""
    cards = (nic for nic in instance.nics if nic.mac == forward.mac)
    return next((nic for nic in cards if nic.network.kind is NetworkKind.USER), None)


def _add(domain: Domain, instance: Instance, forward: Forward, netdev: str, reforward: Reforward) -> None:
    guest = _guest_address(instance, forward)
    for _ in range(_TRIES):
        rule = f"tcp:{HOST}:{forward.host_port}-{guest}:{forward.guest_port}"
        complaint = domain.human_monitor(f"hostfwd_add {netdev} {rule}").strip()
        if not complaint:
            return
        if "set up host forwarding rule" not in complaint:
            raise HypervisorRefused("QEMU could not make a forward into the guest", detail=complaint)
        LOG.warning("port %d of %s is taken by somebody else", forward.host_port, HOST)
        forward = reforward(instance.id, instance.attempt, forward)
    raise HypervisorRefused(f"no free port for a forward to port {forward.guest_port} was found in {_TRIES} tries")


def _guest_address(instance: Instance, forward: Forward) -> str:
    """Empty where the guest asks by DHCP: there QEMU knows which address it gave."""
    nic = _plugged(instance, forward)
    found = (address.ip for address in (nic.addresses if nic else ()) if address.ip)
    return next((ip for ip in found if ipaddress.ip_address(ip).version == 4), "")


def _rules(domain: Domain) -> set[_Rule]:
    rules, netdev = set(), ""
    for line in domain.human_monitor("info usernet").splitlines():
        if hub := _HUB.match(line):
            netdev = hub["netdev"]
        elif (rule := _RULE.match(line)) and rule["address"] == HOST:
            rules.add(_Rule(netdev, int(rule["port"]), int(rule["guest_port"])))
    return rules


def _netdev(domain: Domain, mac: str) -> str:
    """QEMU's name of the network behind the card with this MAC, by libvirt's alias of the card."""
    for interface in domain.xml().iterfind("devices/interface"):
        address, alias = interface.find("mac"), interface.find("alias")
        if address is not None and alias is not None and address.get("address") == mac.lower():
            return str(domain.monitor("qom-get", path=f"/machine/peripheral/{alias.get('name')}", property="netdev"))
    raise HypervisorRefused("the guest has no card with the MAC of its forward")
