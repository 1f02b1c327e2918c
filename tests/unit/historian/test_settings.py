"""Settings from the environment."""

from pathlib import Path

import pytest

from historian.errors import ConfigError
from historian.schema.migrate import normalize_url
from historian.settings import read_settings

DATABASE = "postgresql://u:p@db:5433/history"


def test_defaults_need_only_the_database() -> None:
    settings = read_settings({"NEXUS_DATABASE_URL": DATABASE}, historian_id="h1")
    assert settings.broker.url == "mqtt://127.0.0.1:1883"
    assert settings.topic_prefix == "$nexus"
    assert settings.historian_id == "h1"
    assert "p@db" not in repr(settings)


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(DATABASE + "\n")
    (tmp_path / "password").write_text("secret\n")
    settings = read_settings(
        {
            "NEXUS_DATABASE_URL_FILE": str(tmp_path / "url"),
            "NEXUS_MQTT_USERNAME": "me",
            "NEXUS_MQTT_PASSWORD_FILE": str(tmp_path / "password"),
        }
    )
    assert settings.database_url == DATABASE
    assert (settings.broker.username, settings.mqtt_password) == ("me", "secret")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "NEXUS_DATABASE_URL is not set, expected postgresql://"),
        ({"NEXUS_DATABASE_URL": "mysql://x"}, "NEXUS_DATABASE_URL: "),
        ({"NEXUS_MQTT_URL": "http://broker"}, "NEXUS_MQTT_URL: 'http://broker' is not"),
        ({"NEXUS_TOPIC_PREFIX": "a/#"}, "NEXUS_TOPIC_PREFIX is 'a/#', expected"),
        ({"NEXUS_HISTORIAN_ID": "a/b"}, "historian id is 'a/b', expected"),
        ({"NEXUS_DATABASE_URL_FILE": "/nowhere"}, "are both set, expected one of them"),
        ({"NEXUS_MQTT_PASSWORD_FILE": "/nowhere"}, "NEXUS_MQTT_PASSWORD_FILE: "),
    ],
)
def test_mistakes_are_told_with_what_was_expected(
    environment: dict[str, str], message: str
) -> None:
    given = environment if not environment else {"NEXUS_DATABASE_URL": DATABASE, **environment}
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        read_settings(given)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("host=h port=5433 dbname=d user=u password='a b'", "postgresql://u:a%20b@h:5433/d"),
        ("postgresql://u@/d?host=/tmp/s", "postgresql://u@/d?host=%2Ftmp%2Fs"),
        ("postgresql://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require"),
        ("postgresql://h/d", "postgresql://h/d"),
    ],
)
def test_every_form_of_address_becomes_one(url: str, normal: str) -> None:
    assert normalize_url(url) == normal


def test_sharing_needs_mqtt_5_and_a_name_for_topics() -> None:
    settings = read_settings({"NEXUS_DATABASE_URL": DATABASE}, share="history")
    assert settings.broker.protocol == "5"
    with pytest.raises(ConfigError, match="share is 'a/b', expected"):
        read_settings({"NEXUS_DATABASE_URL": DATABASE}, share="a/b")
