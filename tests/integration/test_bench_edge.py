"""``nexus bench edge`` runs as it is documented and tells what it promises."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bench.edge import main
from bench.soak import settled, slope_per_h


@pytest.mark.parametrize("protocol", ["modbus", "opcua", "s7"])
@pytest.mark.usefixtures("mqtt_broker")  # left out where there is no mosquitto
def test_the_edge_benchmark_tells_its_figures_beside_its_baseline(protocol: str) -> None:
    arguments = ["--devices", "4", "--tags", "130", "--interval", "0.2", "--seconds", "2", "--json"]
    arguments += ["--protocol", protocol]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "bench", "edge", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["bench"] == "edge"
    figures = result["figures"]
    assert {"cpu_percent", "lateness_p99_ms", "skipped_polls", "tags_per_s"} <= figures.keys()
    # 4 devices x 130 tags, five times a second; nothing is promised on a busy machine
    assert 500 < figures["tags_per_s"] < 3000
    assert figures["points_per_s"] > 0
    assert result["protocol"] == protocol
    assert result["baseline"]["cpu_percent"] > 0
    assert result["baseline"]["library_tags_per_s"] > 500
    assert result["ratio"]["cpu_to_driver_loop"] > 0
    assert result["ratio"]["cpu_per_tag_to_library"] > 0
    assert result["machine"]["cpus"]


@pytest.mark.usefixtures("mqtt_broker")  # left out where there is no mosquitto
def test_the_soak_benchmark_tells_how_memory_goes() -> None:
    arguments = ["--protocol", "modbus", "--tags", "100", "--minutes", "0.1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "bench", "soak", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["figures"]["items"] == 100
    assert 10 < result["figures"]["rss_end_mib"] <= result["figures"]["rss_max_mib"] < 500
    assert result["figures"]["tags_per_s"] > 10
    assert result["baseline"]["library_rss_end_mib"] > 10


def test_memory_that_grows_has_a_slope_and_its_warm_up_does_not_count() -> None:
    grows = [(float(s), 100 + s / 60) for s in range(0, 3600, 60)]
    assert slope_per_h(settled(grows)) == pytest.approx(60)
    jumped = [(float(s), 50.0 if s < 700 else 100.0) for s in range(0, 3600, 60)]
    assert slope_per_h(settled(jumped)) == pytest.approx(0)
    assert slope_per_h([(0.0, 1.0)]) == 0


def test_no_benchmark_is_run_without_devices() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "bench", "edge", "--devices", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--protocol", "opcua", "--devices", "2", "--dead", "1"], "one OPC UA server"),
        (["--protocol", "s7", "--shared"], "Modbus's"),
        (["--devices", "1", "--dead", "1"], "expected fewer"),
    ],
)
def test_what_a_protocol_does_not_have_is_refused(arguments: list[str], reason: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert reason in done.output
