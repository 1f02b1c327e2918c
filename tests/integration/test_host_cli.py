"""The command ``host``: what it says when something is wrong, and its users."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from deploy.local.broker import MqttBroker
from deploy.local.ports import find_free_port
from tests.integration.host_rig import PASSWORD, ROOT, HostProcess, running_host

PROGRAM = [sys.executable, "-m", "deploy.local.cli", "host"]


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**base, "PYTHONPATH": str(ROOT), **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mqtt-url", "http://x"), "'http://x' is not a broker address"),
        (("--host-id", "a/b"), "host id 'a/b' has one of / + # NUL"),
        (("--public-url", "plant"), "expected https://name[:port]"),
        (("--tls-cert", __file__), "--tls-cert and --tls-key go together"),
        (("--role", "viewer"), "--role goes with --add-user"),
        (("--ha",), "--ha needs the database that all hosts share, set NEXUS_DATABASE_URL"),
        (("--bind", "no.such.host.invalid"), "--bind 'no.such.host.invalid'"),
    ],
)
def test_wrong_setting_is_named_and_exits_with_2(arguments: tuple[str, ...], message: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_port_that_is_taken_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert ended.returncode == 2
    assert f"port {port} on 127.0.0.1: Address already in use; choose another" in ended.stderr


def test_user_is_added_from_stdin_and_signs_in(
    module_mqtt_broker: MqttBroker, postgres_url: str, tmp_path: Path
) -> None:
    database = {"NEXUS_DATABASE_URL": postgres_url}
    added = run(
        "--add-user", "ada", "--role", "operator", environment=database, stdin="longenough\n"
    )
    assert added.returncode == 0, added.stderr
    with running_host(tmp_path, module_mqtt_broker, postgres_url) as host:
        host.sign_in("ada", "longenough")
        changed = run("--add-user", "ada", environment=database, stdin="another one\n")
        assert changed.returncode == 0, changed.stderr
        host.sign_in("ada", "another one")
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT name, role FROM host.users ORDER BY name").fetchall()
    assert rows == [("ada", "operator"), ("admin", "admin")]


def test_user_with_a_short_password_or_without_database_is_refused(postgres_url: str) -> None:
    database = {"NEXUS_DATABASE_URL": postgres_url}
    short = run("--add-user", "ada", environment=database, stdin="short\n")
    assert (short.returncode, "expected 8 to 1024" in short.stderr) == (2, True)
    nowhere = run("--add-user", "ada", stdin="longenough\n")
    assert (nowhere.returncode, "NEXUS_DATABASE_URL" in nowhere.stderr) == (2, True)
    away = {"NEXUS_DATABASE_URL": f"postgresql://u:secret@127.0.0.1:{find_free_port()}/x"}
    unreachable = run("--add-user", "ada", environment=away, stdin="longenough\n")
    assert unreachable.returncode == 1
    assert "database:" in unreachable.stderr
    assert "secret" not in unreachable.stderr


def test_host_without_its_database_goes_on_and_says_so(
    module_mqtt_broker: MqttBroker, tmp_path: Path
) -> None:
    environment = {
        "NEXUS_MQTT_URL": module_mqtt_broker.url,
        "NEXUS_DATABASE_URL": f"postgresql://u:secret@127.0.0.1:{find_free_port()}/x",
    }
    host = HostProcess(tmp_path, environment)
    try:
        host.wait_ready()
        host.wait_event("database_away")
        status, answer, _ = host.post(
            "/api/v1/session", {"username": "admin", "password": PASSWORD}
        )
        assert (status, "nobody can sign in now" in answer["error"]) == (503, True)
        assert "secret" not in str(answer) + str(host.events())
        assert host.terminate() == 0
    finally:
        host.close()


def test_broker_that_is_away_is_told_and_the_console_answers(tmp_path: Path) -> None:
    host = HostProcess(tmp_path, {"NEXUS_MQTT_URL": f"mqtt://127.0.0.1:{find_free_port()}"})
    try:
        event = host.wait_event("broker_unreachable")
        assert "nothing listens there" in event["reason"]
        assert host.get("/readyz")[0] == 503
        assert host.get("/healthz")[0] == 200
        assert host.terminate() == 0
    finally:
        host.close()
