"""``nexus bench edge`` runs as it is documented and tells what it promises."""

import json
import subprocess
import sys

import pytest


@pytest.mark.usefixtures("mqtt_broker")  # left out where there is no mosquitto
def test_the_edge_benchmark_tells_its_figures_beside_its_baseline() -> None:
    arguments = ["--devices", "4", "--tags", "130", "--interval", "0.2", "--seconds", "2", "--json"]
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
    assert result["baseline"]["cpu_percent"] > 0
    assert result["ratio"]["cpu_to_bare_loop"] > 0
    assert result["machine"]["cpus"]


def test_no_benchmark_is_run_without_devices() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "bench", "edge", "--devices", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
