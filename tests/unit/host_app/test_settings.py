from pathlib import Path

import pytest

from host_app.errors import ConfigError
from host_app.settings import BrokerFiles, Secrets, make_endpoints, read_secrets


def test_secrets_come_from_variables_or_the_first_line_of_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from file\nignored\n")
    secrets = read_secrets({"NEXUS_MQTT_USERNAME": "host", "NEXUS_MQTT_PASSWORD_FILE": str(file)})
    assert (secrets.mqtt_username, secrets.mqtt_password) == ("host", "from file")
    assert secrets.database_url is None
    assert "from file" not in repr(secrets)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), ("\n", "first line is empty")]
)
def test_secret_file_that_cannot_serve_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_secrets({"NEXUS_DATABASE_URL_FILE": str(file)})


def test_secret_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="both set"):
        read_secrets({"NEXUS_MQTT_PASSWORD": "a", "NEXUS_MQTT_PASSWORD_FILE": "b"})


def test_brokers_become_endpoints_with_one_client_id() -> None:
    secrets = Secrets(mqtt_username="u", mqtt_password="p")
    one, two = make_endpoints(
        ["mqtt://a", "mqtts://b:1234"],
        "nexus",
        secrets,
        protocol="5",
        files=BrokerFiles(),
        keep_alive_s=10,
    )
    assert (one.host, one.port, one.tls, one.username) == ("a", 1883, None, "u")
    assert (two.host, two.port, two.tls is not None) == ("b", 1234, True)
    assert one.client_id == two.client_id
    assert str(two) == "mqtts://b:1234"
    assert "'p'" not in repr(one)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        make_endpoints(
            ["mqtt://u:p@a", "http://b"],
            "no/slash",
            Secrets(),
            protocol="3.1.1",
            files=BrokerFiles(),
            keep_alive_s=10,
        )
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert "no/slash" in lines[0]
    assert "credentials" in lines[1]
    assert "'http://b' is not a broker address" in lines[2]


def test_console_password_that_nobody_may_have_is_refused_at_start() -> None:
    with pytest.raises(ConfigError, match="NEXUS_CONSOLE_PASSWORD: password has 5 characters"):
        read_secrets({"NEXUS_CONSOLE_PASSWORD": "short"})
