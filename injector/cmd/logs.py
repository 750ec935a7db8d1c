"""Logging as the operator configured it: oslo.log, with the request id in every line that belongs to a request."""

from __future__ import annotations

from oslo_config import cfg
from oslo_log import log

# Libraries whose INFO is noise in the log of a working day.
_QUIET = ("amqp=WARN", "oslo.messaging=INFO", "oslo_messaging=INFO", "sqlalchemy=WARN", "alembic=WARN", "httpx=WARN")


def register(conf: cfg.ConfigOpts) -> None:
    log.register_options(conf)
    log.set_defaults(default_log_levels=list(_QUIET))


def setup(conf: cfg.ConfigOpts) -> None:
    log.setup(conf, "injector")
