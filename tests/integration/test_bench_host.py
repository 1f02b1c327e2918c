"""``nexus bench host`` runs as it is documented and tells what it promises."""

import json
import subprocess
import sys

import pytest


@pytest.mark.usefixtures("mqtt_broker")  # left out where there is no mosquitto
def test_the_host_benchmark_tells_its_figures_beside_its_baseline() -> None:
    arguments = ["--nodes", "3", "--devices", "2", "--metrics", "5", "--rounds", "3", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "bench", "host", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["bench"] == "host"
    figures = result["figures"]
    assert {"births_tracked_s", "rss_mib", "metrics_per_s"} <= figures.keys()
    assert (figures["rebirths_asked"], figures["rebirths_asked_again"]) == (3, 0)
    assert figures["gaps"] == 0
    assert 0 < figures["births_tracked_s"] < 60
    assert 20 < figures["rss_mib"] < 500
    assert result["baseline"]["births_parsed_cpu_s"] >= 0
    assert result["machine"]["cpus"]
