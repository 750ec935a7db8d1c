"""Defaults of options that belong to libraries; also an entry point, so that the sample configuration tells them."""

from __future__ import annotations

from oslo_config import cfg

from injector.rpc.native import transport_options


def set_defaults() -> None:
    """Stations are in one process unless the operator says where the bus is."""
    cfg.set_defaults(transport_options, transport_url="local://")
