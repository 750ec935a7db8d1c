"""The servers that tests talk to: what a test gets of them is fresh, works, and is gone afterwards."""

from __future__ import annotations

import amqp
import kombu
import pytest
import sqlalchemy as sa

from tests.servers import KINDS, Kind, a_database, a_vhost

pytestmark = pytest.mark.servers


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def test_a_database_is_empty_writable_and_gone_afterwards_although_somebody_is_connected(kind: Kind) -> None:
    with a_database(kind) as url:
        engine = sa.create_engine(url)
        assert sa.inspect(engine).get_table_names() == []
        connection = engine.connect()
        connection.exec_driver_sql("CREATE TABLE guests (name VARCHAR(9))")
        connection.exec_driver_sql("INSERT INTO guests VALUES ('g')")
        connection.commit()
        assert connection.exec_driver_sql("SELECT name FROM guests").scalar() == "g"
    connection.invalidate()
    with pytest.raises(sa.exc.OperationalError):
        sa.create_engine(url).connect()


def test_two_databases_do_not_see_each_other(kind: Kind) -> None:
    with a_database(kind) as one, a_database(kind) as other:
        with sa.create_engine(one).begin() as connection:
            connection.exec_driver_sql("CREATE TABLE guests (name VARCHAR(9))")
        assert sa.inspect(sa.create_engine(other)).get_table_names() == []


def test_a_virtual_host_is_gone_with_whoever_is_connected() -> None:
    with a_vhost() as url:
        connection = _broker(url)
        queue = connection.SimpleQueue("words")
        queue.put("heard")
        assert queue.get(timeout=30).payload == "heard"
    with pytest.raises(amqp.NotAllowed, match="not found"):
        _broker(url)


def _broker(url: str) -> kombu.Connection:
    return kombu.Connection(url.replace("rabbit:", "amqp:")).ensure_connection(max_retries=1)
