"""The peers that other tests stand on are what they claim to be."""

import psycopg

from deploy.local.broker import MqttBroker
from deploy.local.ports import is_listening


def test_mqtt_broker_comes_back_on_the_same_port(mqtt_broker: MqttBroker) -> None:
    port = mqtt_broker.port
    mqtt_broker.stop()
    assert not is_listening(port)
    mqtt_broker.start()
    assert mqtt_broker.port == port
    assert is_listening(port)


def test_plain_postgresql_has_no_timescaledb_to_offer(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchall()
    assert not found


def test_timescaledb_of_debian_is_the_apache_edition(timescale_url: str) -> None:
    with psycopg.connect(timescale_url) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        licence = connection.execute("SHOW timescaledb.license").fetchone()
    assert licence == ("apache",)


def test_each_test_gets_an_empty_database(historian_databases: str) -> None:
    with psycopg.connect(historian_databases) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()
        connection.execute("CREATE TABLE mine (x int)")
    assert tables == (0,)
