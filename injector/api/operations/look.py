"""The lint at the door: what it denies is refused at once, what it warns of goes with the server."""

from __future__ import annotations

import logging

from injector.api.operations.create import Resolved
from injector.api.order import ServerOrder
from injector.errors import InvalidRequest
from injector.inject import lint
from injector.model.finding import Check, Finding
from injector.model.keypair import KeyPair
from injector.settings import LintSettings

LOG = logging.getLogger(__name__)


class Look:
    """Looks at what is asked for while it is in clear, by the operator's policy."""

    def __init__(self, settings: LintSettings) -> None:
        self._severities = settings.severities
        self._schema = lint.CloudConfigSchema(settings.cloud_config_schema)

    def at(self, subject: lint.Subject) -> lint.Judged:
        """Everything found; a preview shows all of it."""
        return lint.judge(lint.request(subject, self._schema), self._severities)

    def accept(self, subject: lint.Subject) -> tuple[Finding, ...]:
        """The warnings to keep; InvalidRequest with all that is denied in one message."""
        judged = self.at(subject)
        if judged.denied:
            raise InvalidRequest(_refusal(judged.denied), field=judged.denied[0].field)
        # That something was not looked at helps who is still deciding, and is noise on a server.
        kept = tuple(finding for finding in judged.warned if finding.check is not Check.CLOUD_CONFIG_UNCHECKED)
        for finding in kept:
            LOG.info("lint: %s: %s [%s]", finding.field, finding.message, finding.check.value)
        return kept


def of_order(order: ServerOrder, resolved: Resolved) -> lint.Subject:
    keys = named_keys(resolved.key, resolved.more_keys)
    return lint.Subject(order.user_data, order.files, keys, order.admin_password is not None)


def named_keys(key: KeyPair | None, more: tuple[KeyPair, ...]) -> dict[str, KeyPair]:
    """By the fields that name them."""
    first = {} if key is None else {"key_name": key}
    return first | {f"injector:keys[{index}]": one for index, one in enumerate(more)}


def _refusal(denied: tuple[Finding, ...]) -> str:
    return "; ".join(f"{finding.field}: {finding.message} [{finding.check.value}]" for finding in denied)
