"""The ways to run in which the road is tested: a bus and a database of their kinds, fresh for whoever asks.

INJECTOR_TEST_WORLDS names those that are wanted, "local" alone when it is not set. Tests take one with the fixture
``world``, or ``module_world``; those that are about the store only take ``fresh_database``, those about the bus only
``transport_url`` (tests/conftest.py).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.running import Options
from tests.servers import Kind, Lender, a_vhost, new_sqlite

Name = Literal["local", "postgresql", "mariadb"]

DATABASES: Mapping[Name, Kind] = {"local": "sqlite", "postgresql": "postgresql", "mariadb": "mariadb"}

# What touches neither bus nor database, or what only the local ones have: it runs in the world called local, and not
# again in the others. So do the files that ask for no world at all: lint (test_lint.py), images (test_images.py),
# services that cannot start, and how a server of HTTP comes and goes.
ONCE: Mapping[str, frozenset[str]] = {
    "test_api.py": frozenset(
        {
            # who may speak, and in which form
            "test_over_tcp_everything_but_version_documents_wants_the_token",
            "test_the_token_opens",
            "test_the_unix_socket_asks_for_nothing_and_is_not_for_everybody",
            "test_a_stranger_cannot_make_the_server_read_what_he_says_he_sends",
            "test_version_documents",
            "test_the_microversion_served_is_told",
            "test_other_microversions_are_refused",
            "test_bodies_that_are_no_request",
            "test_bodies_of_another_kind_or_too_large",
            "test_requests_are_logged_without_what_a_terminal_obeys",
            "test_a_socket_that_is_served_is_not_taken",
            # SQLite's file, changed behind the api's back; and the bus that ends with the process
            "test_a_bug_is_told_cleanly_and_logged_in_full",
            "test_outside_of_the_process_local_is_refused_clearly",
        }
    ),
    # requests that are judged by their words alone
    "test_operations.py": frozenset(
        {
            "test_what_makes_no_sense_is_refused_by_name",
            "test_a_refusal_shows_no_secret",
        }
    ),
    "test_operations_registry.py": frozenset(
        {"test_networks_that_make_no_sense", "test_a_key_that_is_none_is_refused"}
    ),
    "test_operations_hosts.py": frozenset({"test_a_reason_is_one_line"}),
    "test_operations_token.py": frozenset({"test_what_no_token_is"}),
}


@dataclass(frozen=True, slots=True)
class World:
    """``database``: SQLAlchemy's URL of one without a row, at the newest migration."""

    name: Name
    transport_url: str
    database: str

    def with_options(self, options: Options) -> Options:
        """For a daemon: these, and where its bus and its database are; what is its own by default is left to it."""
        if self.name == "local":
            return options
        default = {"transport_url": self.transport_url} | dict(options.get("DEFAULT", {}))
        return {**options, "DEFAULT": default, "database": {"connection": self.database}}


def local_world(directory: Path) -> World:
    """One whose database is directory/injector.sqlite, made if it is not there."""
    file = directory / "injector.sqlite"
    if not file.exists():
        new_sqlite(file)
    return World("local", _local_url(), f"sqlite:///{file}")


@contextmanager
def a_world(name: Name, lender: Lender, directory: Path) -> Iterator[World]:
    if name == "local":
        yield local_world(directory)
        return
    with a_vhost() as transport_url, lender.database(DATABASES[name]) as database:
        yield World(name, transport_url, database)


@contextmanager
def a_transport(name: Name) -> Iterator[str]:
    """The URL of a bus on which nobody is yet."""
    if name == "local":
        yield _local_url()
        return
    with a_vhost() as url:
        yield url


def chosen() -> tuple[Name, ...]:
    """ValueError for one that there is not."""
    names = os.environ.get("INJECTOR_TEST_WORLDS", "local").split()
    found: tuple[Name, ...] = tuple(name for name in DATABASES if name in names)
    if len(found) != len(names):
        raise ValueError(f"INJECTOR_TEST_WORLDS: want some of {', '.join(DATABASES)}, not {' '.join(names)!r}")
    return found


def _local_url() -> str:
    return f"local:///{uuid.uuid4()}"
