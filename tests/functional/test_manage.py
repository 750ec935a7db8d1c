"""``injector-manage`` on each kind of database: what an operator types, and what comes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from injector import __version__
from injector.cmd import manage
from injector.db import Store, open_store
from injector.errors import HostError
from injector.model.ingredients import Ingredients
from injector.model.instance import State
from injector.model.secret import Secret
from injector.rpc import BootOptions
from injector.system.vault import Vault
from tests import servers
from tests.api_house import HOST, ApiHouse, eventually
from tests.worlds import local_world

OLD, NEW = b"k" * 32, b"n" * 32
"""The first is that of ``builders.a_vault``."""
OLD_ID, NEW_ID = Vault(OLD).key_id, Vault(NEW).key_id

Capture = pytest.CaptureFixture[str]


@dataclass
class Operator:
    """Somebody at a terminal, with a configuration for one database; the words of the last command are kept."""

    directory: Path
    database: str
    capture: Capture
    out: str = ""
    err: str = ""

    @property
    def config(self) -> Path:
        return self.directory / "injector.conf"

    def key(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path

    def configure(self, *keys: Path) -> None:
        files = f"[secrets]\nkey_files = {','.join(map(str, keys))}\n" if keys else ""
        database = f"[database]\nconnection = {self.database}\n"
        self.config.write_text(f"[DEFAULT]\nstate_path = {self.directory}\n{database}{files}")

    def run(self, *words: str) -> int:
        status = manage.main([f"--config-file={self.config}", *words])
        self.out, self.err = self.capture.readouterr()
        return status


on_one = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""What is the same on each of them."""


@pytest.fixture(params=[servers.KINDS[0], *(pytest.param(one, marks=pytest.mark.servers) for one in servers.KINDS[1:])])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.a_database(request.param) as url:
        yield url


@pytest.fixture
def operator(tmp_path: Path, database: str, capsys: Capture) -> Operator:
    found = Operator(tmp_path, database, capsys)
    found.configure(found.key("old.key", OLD))
    return found


@pytest.fixture
def house(operator: Operator) -> Iterator[ApiHouse]:
    open_store(operator.database).close()
    world = replace(local_world(operator.directory), database=operator.database)
    with ApiHouse(operator.directory, world=world) as house:
        yield house


@pytest.fixture
def boot(house: ApiHouse) -> Callable[[], str]:
    """One more server, with a drive; its id."""
    image, flavor = house.an_image().id, house.a_flavor().id

    def one() -> str:
        given = BootOptions(networks="none", user_data=b"#!/bin/sh", admin_password="correct horse")
        (server,) = house.client.boot("web", image, flavor, given).servers
        eventually(lambda: bool(house.client.show(server["id"])["status"] == "ACTIVE"))
        return str(server["id"])

    return one


def opens(store: Store, vault: Vault, server_id: str) -> bool:
    """Whether all that is sealed for a server is what it was, for whoever has these keys."""
    try:
        payload = vault.unseal(server_id, store.payload(server_id))
        (generation,) = store.generations(server_id)
        ingredients = vault.open(server_id, generation.ingredients, Ingredients)
    except HostError:
        return False
    return payload.user_data == Secret(b"#!/bin/sh") and ingredients.uuid == server_id


# the database


def test_the_tables_are_made_and_their_version_is_told(operator: Operator) -> None:
    assert operator.run("db", "version") == 0
    assert "tables: none" in operator.out
    assert operator.run("db", "sync") == 0
    synced = operator.out
    first, second = (line.split(": ")[1] for line in synced.splitlines())
    assert first == second
    for again in ("sync", "version"):
        assert operator.run("db", again) == 0
        assert operator.out == synced


@on_one
def test_a_command_on_a_database_without_tables_says_what_to_do(operator: Operator) -> None:
    for words in (("secrets", "status"), ("secrets", "rotate"), ("db", "purge", "--older-than", "1")):
        assert operator.run(*words) == 1
        assert "run injector-manage db sync" in operator.err


@on_one
def test_a_command_that_only_looks_makes_no_database(operator: Operator, database: str) -> None:
    assert operator.run("db", "version") == 0
    assert "tables: none" in operator.out
    for words in (("secrets", "status"), ("secrets", "rotate"), ("db", "purge", "--older-than", "1")):
        assert operator.run(*words) == 1
    assert not Path(str(make_url(database).database)).exists()


def test_records_of_deleted_servers_are_removed_when_they_are_old(
    operator: Operator, house: ApiHouse, boot: Callable[[], str]
) -> None:
    kept, gone = boot(), boot()
    house.client.delete(gone)
    eventually(lambda: len(house.client.servers()) == 1)
    assert operator.run("db", "purge", "--older-than", "1") == 0
    assert operator.out == "removed: 0\n"
    assert {one["id"] for one in house.client.servers(deleted=True)} == {kept, gone}
    eventually(lambda: operator.run("db", "purge", "--older-than", "0") == 0 and operator.out == "removed: 1\n")
    assert [one["id"] for one in house.client.servers(deleted=True)] == [kept]


# the keys


def test_a_rotation_seals_everything_anew(operator: Operator, house: ApiHouse, boot: Callable[[], str]) -> None:
    ids = [boot() for _ in range(3)]
    old, new = operator.directory / "old.key", operator.key("new.key", NEW)
    operator.configure(new, old)
    assert operator.run("secrets", "status") == 0
    assert operator.out.split("\n")[:2] == [f"{NEW_ID}  seals           0", f"{OLD_ID}  opens           6"]
    assert operator.run("secrets", "rotate") == 0
    assert operator.out.splitlines()[0] == f"sealed anew under key {NEW_ID}: 3 servers"
    assert operator.out.splitlines()[1:] == [f"{NEW_ID}  seals           6", f"{OLD_ID}  opens           0"]
    assert all(opens(house.store, Vault(NEW), one) for one in ids)
    operator.configure(new)
    assert operator.run("secrets", "status") == 0
    assert operator.out == f"{NEW_ID}  seals           6\nservers being worked on: 0\nothers on silent hosts: 0\n"
    assert operator.run("secrets", "rotate") == 0
    assert operator.out.startswith(f"sealed anew under key {NEW_ID}: 0 servers")


def test_what_may_still_want_the_old_key_is_counted(
    operator: Operator, house: ApiHouse, boot: Callable[[], str]
) -> None:
    ids = [boot() for _ in range(3)]
    house.store.change(ids[0], lambda one: one.advance(State.REFRESHING))
    assert operator.run("secrets", "status") == 0
    assert operator.out.splitlines()[-2:] == ["servers being worked on: 1", "others on silent hosts: 0"]
    house.silence(HOST)
    assert operator.run("secrets", "status") == 0
    assert operator.out.splitlines()[-2:] == ["servers being worked on: 1", "others on silent hosts: 2"]


@on_one
def test_a_rotation_that_was_interrupted_goes_on(
    operator: Operator, house: ApiHouse, boot: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [boot() for _ in range(3)]
    operator.configure(operator.key("new.key", NEW), operator.directory / "old.key")
    reseal, done = Store.reseal, list[str]()

    def interrupted(store: Store, instance_id: str, again: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(instance_id)
        reseal(store, instance_id, again)

    monkeypatch.setattr(Store, "reseal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        operator.run("secrets", "rotate")
    monkeypatch.undo()
    both = Vault(NEW, OLD)
    assert sorted(done) == sorted(one for one in ids if opens(house.store, Vault(NEW), one))
    assert all(opens(house.store, both, one) for one in ids)
    assert operator.run("secrets", "rotate") == 0
    assert operator.out.startswith(f"sealed anew under key {NEW_ID}: 1 servers")
    assert all(opens(house.store, Vault(NEW), one) for one in ids)


def test_what_cannot_be_opened_is_left_named_and_counted(
    operator: Operator, house: ApiHouse, boot: Callable[[], str], database: str
) -> None:
    good, strange, altered, *more = (boot() for _ in range(5))
    house.store.reseal(strange, lambda sealed: replace(sealed, key_id="57a4e57a4e57a4e0"))
    engine = create_engine(database)
    with engine.begin() as connection:
        spoil = text("UPDATE payloads SET nonce = :nonce WHERE instance_id = :id")
        connection.execute(spoil, {"nonce": b"x" * 12, "id": altered})
    engine.dispose()
    operator.configure(operator.key("new.key", NEW), operator.directory / "old.key")
    assert operator.run("secrets", "rotate") == 1
    assert operator.out.startswith(f"sealed anew under key {NEW_ID}: 3 servers")
    complaints = sorted(line for line in operator.err.splitlines())
    assert len(complaints) == 2
    assert any(strange in line and "57a4e57a4e57a4e0" in line for line in complaints)
    assert any(altered in line and "altered" in line for line in complaints)
    assert f"{OLD_ID}  opens           2" in operator.out
    assert "57a4e57a4e57a4e0  not configured  2" in operator.out
    assert all(opens(house.store, Vault(NEW), one) for one in (good, *more))
    assert operator.run("secrets", "status") == 1


@on_one
def test_more_failures_than_are_taken_at_once_hold_up_nobody(
    operator: Operator, house: ApiHouse, boot: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("injector.cmd.keys._AT_ONCE", 1)
    ids = sorted(boot() for _ in range(5))
    for lost in ids[:3]:
        house.store.reseal(lost, lambda sealed: replace(sealed, key_id="57a4e57a4e57a4e0"))
    operator.configure(operator.key("new.key", NEW), operator.directory / "old.key")
    assert operator.run("secrets", "rotate") == 1
    assert operator.out.startswith(f"sealed anew under key {NEW_ID}: 2 servers")
    assert len(operator.err.splitlines()) == 3
    assert all(opens(house.store, Vault(NEW), one) for one in ids[3:])


@on_one
def test_a_new_key_inherits_from_those_that_are_configured_and_there(operator: Operator) -> None:
    made = operator.directory / "made.key"
    old, other = operator.directory / "old.key", operator.key("other.key", NEW)
    operator.configure(old, made, other)
    assert operator.run("secrets", "new-key", str(made)) == 0
    vault = Vault(made.read_bytes())
    assert f"made: key {vault.key_id} in {made}" in operator.out
    assert f"knows the receipts of: {OLD_ID}, {NEW_ID}" in operator.out
    for forebear in (OLD, NEW):
        assert vault.matches("a", b"x", Vault(forebear).digest("a", b"x"))
    assert operator.run("secrets", "new-key", str(made)) == 1
    assert "not written over" in operator.err


@on_one
def test_a_configured_key_that_is_missing_is_not_passed_over(operator: Operator) -> None:
    made, gone = operator.directory / "made.key", operator.directory / "gone.key"
    operator.configure(operator.directory / "old.key", gone, made)
    assert operator.run("secrets", "new-key", str(made)) == 1
    assert f"is missing [[secrets] key_files] ({gone})" in operator.err
    assert not made.exists()


@on_one
def test_the_first_key_of_all_has_nobody_to_inherit_from(operator: Operator) -> None:
    first = operator.directory / "first.key"
    for keys in ((), (first,)):
        first.unlink(missing_ok=True)
        operator.configure(*keys)
        assert operator.run("secrets", "new-key", str(first)) == 0
        assert "it is the first" in operator.out
    assert not (operator.directory / "secrets.key").exists()


@on_one
def test_no_key_is_made_by_looking(operator: Operator) -> None:
    operator.configure()
    for word in ("status", "rotate"):
        assert operator.run("secrets", word) == 1
        assert "the default key file is missing [[secrets] key_files]" in operator.err
    assert not (operator.directory / "secrets.key").exists()


@on_one
def test_the_command_is_installed(operator: Operator) -> None:
    command = [str(Path(sys.executable).with_name("injector-manage")), f"--config-file={operator.config}"]
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == __version__
    assert subprocess.run([*command, "db"], capture_output=True, check=False).returncode == 2
    assert subprocess.run([*command, "db", "version"], capture_output=True, check=False).returncode == 0


@on_one
@pytest.mark.parametrize("days", ["-1", "inf", "nan", "soon"])
def test_an_age_that_is_none_is_refused(operator: Operator, days: str) -> None:
    with pytest.raises(SystemExit) as ended:
        operator.run("db", "purge", "--older-than", days)
    assert ended.value.code == 2
