"""The edge node as its own process: signals, sudden death, exit codes."""

import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.edge.bench import Listener, Plc, check_transcript, press, toml_of
from tests.integration.edge.edge_broker import Broker, Watcher

pytestmark = pytest.mark.trio

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def run(
        broker: Broker,
        *devices: dict[str, Any],
        sparkplug: dict[str, Any] | None = None,
        **mqtt: Any,
    ) -> "subprocess.Popen[str]":
        document = {
            "node": {
                "group": "plant",
                "edge": "line-1",
                "state_dir": str(tmp_path / "state"),
                "status_interval_s": 0.2,
            },
            "mqtt": {"keep_alive_s": 5, **mqtt},
            "sparkplug": sparkplug or {},
            "devices": list(devices),
        }
        text = toml_of(document)
        assert tomllib.loads(text) == document
        file = tmp_path / "plant.toml"
        file.write_text(text, encoding="utf-8")
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "deploy.local.cli", "edge", "--config", str(file)],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "NEXUS_MQTT_URL": broker.url},
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


async def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, said = await trio.to_thread.run_sync(process.communicate)
    return process.returncode, said


@pytest.fixture
async def plc(nursery: trio.Nursery) -> Plc:
    made = Plc()
    await made.start(nursery)
    return made


@pytest.fixture
def heard(edge_broker: Broker, watch: Callable[..., Watcher]) -> Listener:
    return Listener(watch(edge_broker, "spBv1.0/#", "$nexus/#"))


@pytest.mark.tck(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_cleanly(
    edge_broker: Broker, heard: Listener, plc: Plc, start: Start, number: signal.Signals
) -> None:
    process = start(edge_broker, press(plc))
    await heard.wait("DBIRTH")
    process.send_signal(number)
    code, said = await finish(process)
    assert code == 0, said
    assert "Traceback" not in said
    await heard.wait("NDEATH")
    status = await heard.wait_json(
        "$nexus/status/plant/line-1", lambda d: d["devices"]["press"]["state"] == "offline"
    )
    assert status["counters"]["births"] == 2
    check_transcript(heard.said)


async def test_sighup_has_the_file_read_again_by_the_process_that_runs(
    edge_broker: Broker, heard: Listener, plc: Plc, start: Start, tmp_path: Path
) -> None:
    plc.unit.registers[1] = 7
    process = start(edge_broker, press(plc))
    await heard.wait("DBIRTH")
    file = tmp_path / "plant.toml"
    sound = file.read_text(encoding="utf-8")
    file.write_text(sound.replace("holding:1'", "holding:99999'"), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
    status = await heard.wait_json(
        "$nexus/status/plant/line-1", lambda d: bool(d["configuration"]["mistakes"])
    )
    assert status["configuration"]["mistakes"][0].startswith(f"{file}: devices[press]")
    file.write_text(sound.replace("name = 'count'", "name = 'pieces'"), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
    await heard.wait("DDEATH")
    again = await heard.wait("DBIRTH", 2)
    assert again.values()["pieces"] == 7
    process.terminate()
    code, said = await finish(process)
    assert code == 0, said
    assert "configuration_refused" in said
    check_transcript(heard.said)


@pytest.mark.rule("edge-1")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.tck(
    "topics-nbirth-bdseq-increment",
    "payloads-ndeath-will-message",
    "payloads-ndeath-bdseq",
)
@pytest.mark.complaint("bdseq-restart")
async def test_a_killed_process_dies_by_its_will_and_comes_back_with_the_next_bd_seq(
    edge_broker: Broker, heard: Listener, plc: Plc, start: Start, protocol: str
) -> None:
    for number in range(3):
        process = start(edge_broker, press(plc), protocol=protocol)
        nbirth = await heard.wait("NBIRTH", number + 1)
        await heard.wait("DBIRTH", number + 1)
        assert nbirth.metric("bdSeq").value == number
        process.kill()
        await finish(process)
        ndeath = await heard.wait("NDEATH", number + 1)
        assert ndeath.payload.metrics[0].value == number
    check_transcript(heard.said)


async def test_a_host_may_restart_the_process_where_that_is_allowed(
    edge_broker: Broker, heard: Listener, plc: Plc, start: Start
) -> None:
    process = start(edge_broker, press(plc), sparkplug={"allow_reboot": True})
    nbirth = await heard.wait("NBIRTH")
    await heard.wait("DBIRTH")
    assert nbirth.metric("Node Control/Reboot").value is False
    heard.control("Node Control/Reboot")
    await heard.wait("NDEATH")
    again = await heard.wait("NBIRTH", 2, timeout_s=20)
    await heard.wait("DBIRTH", 2)
    assert again.metric("bdSeq").value == 1
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    code, said = await finish(process)
    assert code == 0, said
    check_transcript(heard.said)


async def test_a_stop_while_the_broker_is_away_is_clean_too(plc: Plc, start: Start) -> None:
    class Nowhere:
        url = f"mqtt://127.0.0.1:{free_port()}"

    process = start(Nowhere(), press(plc))
    assert process.stderr is not None
    while "broker_away" not in (line := await trio.to_thread.run_sync(process.stderr.readline)):
        assert line
    assert "connection refused" in line
    process.send_signal(signal.SIGTERM)
    code, said = await finish(process)
    assert (code, "Traceback" in said) == (0, False), said


async def test_a_second_process_with_the_same_state_is_refused(
    edge_broker: Broker, heard: Listener, plc: Plc, start: Start
) -> None:
    start(edge_broker, press(plc))
    await heard.wait("NBIRTH")
    code, said = await finish(start(edge_broker, press(plc)))
    assert code == 1
    assert "another process runs edge node plant/line-1" in said


async def test_a_wrong_configuration_ends_with_status_2_and_every_mistake(
    edge_broker: Broker, plc: Plc, start: Start
) -> None:
    wrong = press(plc)
    wrong["tags"][0]["addres"] = "x"
    wrong["connection"]["unit_id"] = 999
    code, said = await finish(start(edge_broker, wrong))
    assert code == 2
    assert "devices[press].tags[setpoint].addres: is no known key, did you mean 'address'?" in said
    assert "devices[press].connection.unit_id: found 999, expected at most 255" in said


async def test_a_missing_secret_ends_with_status_2(
    edge_broker: Broker, plc: Plc, start: Start
) -> None:
    code, said = await finish(
        start(edge_broker, press(plc), username="x", password_file="/nonexistent/secret")
    )
    assert code == 2
    assert "mqtt.password_file: /nonexistent/secret cannot be read" in said


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
