"""On and off: starting a guest and seeing it run, and asking one to end before its plug is pulled."""

from __future__ import annotations

import logging
import time

from injector.errors import HypervisorRefused
from injector.virt.libvirt.host import Domain, Power, PowerState

LOG = logging.getLogger(__name__)

_LOOK_AGAIN = 0.05
# A guest's kernel that is still booting does not hear the power button.
_ASK_AGAIN = 5.0
_PROCESS_ENDS = 10.0


def switch_on(domain: Domain, timeout: float) -> None:
    """Start it, or have it go on where it was saved, and see it run.

    HypervisorRefused when it does not within ``timeout`` seconds.
    """
    if domain.power().power is Power.ENDING:
        wait_until_off(domain, _PROCESS_ENDS)
    domain.start()
    if domain.power().power is Power.PAUSED:
        domain.unpause()  # Somebody had paused it before it was saved.
    deadline = time.monotonic() + timeout
    while domain.power().power is not Power.ON:
        if time.monotonic() > deadline:
            raise HypervisorRefused(f"the guest was started, and was not running within {timeout:g} seconds")
        time.sleep(_LOOK_AGAIN)


def ask_to_end(domain: Domain, timeout: float) -> bool:
    """Have the guest power itself off; whether it had within ``timeout`` seconds. A paused one hears nothing."""
    deadline, ask_at = time.monotonic() + timeout, time.monotonic()
    while (seen := domain.power().power) is not Power.OFF:
        now = time.monotonic()
        if now >= deadline or seen is Power.PAUSED:
            return False
        if now >= ask_at:
            _ask(domain)
            ask_at = now + _ASK_AGAIN
        time.sleep(_LOOK_AGAIN)
    return True


def _ask(domain: Domain) -> None:
    """No more than a wish: the guest may be off by now, or its agent may refuse."""
    try:
        domain.shutdown()
    except HypervisorRefused:
        if domain.power().power is Power.ON:
            LOG.debug("guest %s cannot be asked to power off", domain.id, exc_info=True)


def wait_until_off(domain: Domain, timeout: float) -> PowerState:
    """What is seen when it is off, or after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while (now := domain.power()).power is not Power.OFF and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN)
    return now
