"""``nexus bench soak``: whether an edge node's memory stays flat while data flow for hours.

A simulator serves items that all change at every interval; a real edge node subscribes to (or
polls) them and publishes to a real broker. Its resident memory is looked at from outside and a line
is laid through what was seen after the warm-up. Beside it, in the same run and for as long, a loop
on the protocol library's own client holds the same items.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import click
import psutil

from bench.edge_load import Load, Protocol, baseline
from bench.edge_rig import edge_rig
from bench.edge_watch import cpu_s, next_status, total
from bench.machine import describe_machine
from deploy.local.process import ProcessError

_LOOK_S = 5.0
_MIB = 2**20
_WARM_UP = 0.2
"""Share of the run after which buffers, caches and allocator are taken to be full."""


class Memory:
    """The resident memory of one process, as it goes."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.seen: list[tuple[float, float]] = []

    def look(self, at_s: float) -> None:
        """Note the memory at a moment of the run."""
        self.seen.append((at_s, self._process.memory_info().rss / _MIB))

    def figures(self) -> dict[str, float]:
        """Return begin, end, highest and slope of what was seen after the warm-up."""
        warm = settled(self.seen)
        return {
            "rss_start_mib": round(warm[0][1], 1),
            "rss_end_mib": round(warm[-1][1], 1),
            "rss_max_mib": round(max(mib for _, mib in warm), 1),
            "rss_slope_mib_per_h": round(slope_per_h(warm), 2),
        }


def settled(seen: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return what was seen after the warm-up."""
    last, _ = seen[-1]
    return [(at_s, mib) for at_s, mib in seen if at_s >= _WARM_UP * last]


def slope_per_h(seen: Sequence[tuple[float, float]]) -> float:
    """Return the growth by least squares, 0 from a single look."""
    if len(seen) < 2:
        return 0.0
    times, values = zip(*seen, strict=True)
    return 3600 * statistics.linear_regression(times, values).slope


def run(load: Load, minutes: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark and return its result."""
    seconds = 60 * minutes
    with edge_rig(load) as rig:
        feed, edge = rig.feed, rig.start_edge()
        library = rig.start("library", baseline("library", rig.config, seconds + 60))
        first, cpu = next_status(feed, edge), cpu_s(psutil.Process(edge.pid))
        memories = {"edge": Memory(edge.pid), "library": Memory(library.pid)}
        began = time.monotonic()
        while (at_s := time.monotonic() - began) < seconds:
            edge.check()
            library.check()
            for memory in memories.values():
                memory.look(at_s)
            say(f"{at_s / 60:6.1f} min  edge {memories['edge'].seen[-1][1]:.1f} MiB")
            time.sleep(min(_LOOK_S, max(0.1, seconds / 20)))
        last = next_status(feed, edge)
        took = (last.timestamp_ms - first.timestamp_ms) / 1000
        cpu = cpu_s(psutil.Process(edge.pid)) - cpu
    values = (total(last, "polls") - total(first, "polls")) * load.tags
    values += total(last, "changes") - total(first, "changes")
    figures = memories["edge"].figures() | {
        "minutes": round(took / 60, 2),
        "items": load.devices * load.tags,
        "tags_per_s": round(values / took, 1),
        "dropped_samples": total(last, "dropped_samples") - total(first, "dropped_samples"),
        "cpu_percent": round(100 * cpu / took, 2),
    }
    return report(load, figures, memories["library"].figures())


def report(load: Load, figures: dict[str, float], library: dict[str, float]) -> dict[str, Any]:
    """Return the result in the shape that all benchmarks have."""
    return {
        "bench": "soak",
        "protocol": load.protocol,
        "figures": figures,
        "baseline": {f"library_{name}": value for name, value in library.items()},
        "ratio": {
            "rss_end_to_start": round(figures["rss_end_mib"] / figures["rss_start_mib"], 3),
            "rss_to_library": round(figures["rss_end_mib"] / library["rss_end_mib"], 2),
            "tags_to_asked": round(figures["tags_per_s"] * load.interval_s / figures["items"], 4),
        },
        "machine": describe_machine(),
    }


@click.command()
@click.option(
    "--protocol", type=click.Choice(get_args(Protocol)), default="opcua", show_default=True
)
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True)
@click.option("--tags", type=click.IntRange(1), default=5000, show_default=True, help="Of each.")
@click.option("--interval", type=click.FloatRange(0.05), default=1.0, show_default=True)
@click.option("--minutes", type=click.FloatRange(0.05), default=60.0, show_default=True)
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
    minutes: float,
    subscribe: bool,
    as_json: bool,
) -> None:
    """Let data flow for a long time and measure whether memory grows."""
    load = Load(protocol, devices, tags, interval)
    load = replace(load, subscribe=subscribe and protocol == "opcua")
    try:
        result = run(load, minutes, lambda line: click.echo(line, err=True))
    except ProcessError as exc:
        raise click.ClickException(str(exc)) from exc
    if not as_json:
        for part in ("figures", "baseline", "ratio"):
            for name, value in result[part].items():
                click.echo(f"{part:9} {name:28} {value}")
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
