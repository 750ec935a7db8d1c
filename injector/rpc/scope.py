"""The request a thread works for: what its log lines carry, and what its own calls pass on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oslo_context import context as oslo_context

from injector.model.context import Context


def current_context() -> Context | None:
    """The request this thread works for, or None."""
    current = oslo_context.get_current()
    if current is None:
        return None
    return Context(current.request_id, current.user_id, current.project_id)


@contextmanager
def request_scope(context: Context) -> Iterator[None]:
    """Every line logged by this thread inside the block carries the request's id; afterwards as before.

    The store is thread-local: a thread started inside the block begins without a request and opens its own scope.
    """
    before = oslo_context.get_current()
    oslo_context.RequestContext(
        request_id=context.request_id, user_id=context.user_id, project_id=context.project_id, overwrite=True
    )
    try:
        yield
    finally:
        _restore(before)


def _restore(before: oslo_context.RequestContext | None) -> None:
    if before is not None:
        before.update_store()
    else:
        # oslo.context has no public way to forget; its own test fixture does the same.
        del oslo_context._request_store.context
