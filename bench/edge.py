"""``nexus bench edge``: what polling many devices costs a real edge node process.

Starts the simulator, mosquitto and the edge node as their users start them, and measures the edge
from outside: its CPU time by the system's account, lateness and skipped beats by its own status.
Baselines read the same values on the same beats without pipeline and publishing: through the
driver, with the client of the protocol's Python library, and for Modbus as bare bytes. Every tag
changes at every poll: the worst case.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

import click

from bench.edge_load import Load, Protocol, baseline, without_dead
from bench.edge_rig import edge_rig
from bench.edge_watch import environment, measure, per_1000
from bench.machine import describe_machine
from deploy.local.process import ProcessError

_KINDS: Final = {
    "modbus": ("bare", "driver", "library"),
    "opcua": ("driver", "library"),
    "s7": ("driver", "library"),
}
"""Protocol → its baselines; the first is the floor that the others stand on."""


def run_baseline(kind: str, config: Path, seconds: float) -> dict[str, float]:
    """Poll without an edge node, in a process of its own."""
    done = subprocess.run(
        baseline(kind, config, seconds),
        env=environment(),
        check=False,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        raise click.ClickException(f"baseline {kind} failed: {done.stderr.strip()[-500:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])  # a driver may log
    return figures


def run(load: Load, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark and return its result."""
    with edge_rig(load) as rig:
        healthy = rig.config
        if load.dead:
            # the baselines have no notion of a dead device
            healthy = rig.write("healthy.toml", without_dead(load, rig.document))
        baseline_s = min(seconds, 15.0)
        say(f"baselines, {baseline_s:g} s each")
        kinds = _KINDS[load.protocol]
        loops = {kind: run_baseline(kind, healthy, baseline_s) for kind in kinds}
        say(f"edge node: {load.devices} devices x {load.tags} tags / {load.interval_s:g} s")
        edge = rig.start_edge()
        others = {"simulator": rig.simulator, "broker": rig.broker.process}
        figures = measure(edge, others, rig.feed, load.tags, seconds)
        if not edge.stop(grace_s=20):
            raise ProcessError(f"edge did not stop within 20 s{edge.last_words()}")
    return report(load, figures, loops)


def report(
    load: Load, figures: dict[str, float], loops: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """Return the result in the shape that all benchmarks have."""
    floor = next(iter(loops.values()))
    asked = (load.devices - load.dead) * load.tags / load.interval_s
    ratio = {
        f"cpu_to_{kind}_loop": round(figures["cpu_percent"] / loop["cpu_percent"], 2)
        for kind, loop in loops.items()
        if kind != "library"
    }
    library = per_1000(loops["library"]["cpu_percent"], loops["library"]["tags_per_s"])
    if library:
        # a library that cannot keep up reads less: only what a tag costs can be compared
        ratio["cpu_per_tag_to_library"] = round(figures["cpu_percent_per_1000_tags"] / library, 2)
    return {
        "bench": "edge",
        "protocol": load.protocol,
        "figures": figures,
        "baseline": {
            "cpu_percent": floor["cpu_percent"],
            "lateness_p99_ms": floor["lateness_p99_ms"],
            **{
                f"{kind}_{name}": loop[name]
                for kind, loop in loops.items()
                for name in ("cpu_percent", "lateness_p99_ms", "tags_per_s")
            },
            "library_cpu_percent_per_1000_tags": library,
        },
        "ratio": ratio | {"tags_to_asked": round(figures["tags_per_s"] / asked, 4)},
        "machine": describe_machine(),
    }


@click.command()
@click.option(
    "--protocol", type=click.Choice(get_args(Protocol)), default="modbus", show_default=True
)
@click.option("--devices", type=click.IntRange(1), default=500, show_default=True)
@click.option("--tags", type=click.IntRange(1, 65_536), default=100, show_default=True)
@click.option("--interval", type=click.FloatRange(0.05), default=1.0, show_default=True)
@click.option("--seconds", type=click.FloatRange(2), default=30.0, show_default=True)
@click.option("--uns/--no-uns", default=True, show_default=True, help="Mirror values as JSON too.")
@click.option(
    "--in-flight", type=click.IntRange(1, 16), default=1, show_default=True, help="Modbus."
)
@click.option("--shared", is_flag=True, help="Modbus: devices are units behind gateways, 247 each.")
@click.option("--dead", type=click.IntRange(0), default=0, help="How many never answer.")
@click.option(
    "--subscribe/--poll",
    default=True,
    show_default=True,
    help="OPC UA: the server tells changes, or is asked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line alone on stdout.")
def main(
    *,
    protocol: Protocol,
    devices: int,
    tags: int,
    interval: float,
    seconds: float,
    in_flight: int,
    uns: bool,
    shared: bool,
    dead: int,
    subscribe: bool,
    as_json: bool,
) -> None:
    """Poll simulated devices with a real edge node and measure what it costs."""
    if dead >= devices:
        raise click.BadParameter(
            f"{dead} of {devices} are dead, expected fewer", param_hint="--dead"
        )
    if protocol == "opcua" and dead:
        raise click.BadParameter(
            "the devices are one OPC UA server, expected none dead", param_hint="--dead"
        )
    if protocol != "modbus" and (shared or in_flight > 1):
        raise click.UsageError("--shared and --in-flight are Modbus's, expected --protocol modbus")
    subscribe = subscribe and protocol == "opcua"
    load = Load(protocol, devices, tags, interval, in_flight, uns, shared, dead, subscribe)
    try:
        result = run(load, seconds, lambda line: click.echo(line, err=True))
    except ProcessError as exc:
        raise click.ClickException(str(exc)) from exc
    if not as_json:
        for part in ("figures", "baseline", "ratio"):
            for name, value in result[part].items():
                click.echo(f"{part:9} {name:34} {value}")
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
