"""What an edge benchmark polls: the load, the simulator that serves it, the configuration for it.

Used by ``edge.py`` and ``soak.py``; measures nothing.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from bench.edge_watch import NODE, ROOT, STATUS_INTERVAL_S, environment, wait_for
from deploy.local.broker import MqttBroker
from deploy.local.plant.generic import place_of
from deploy.local.plant.opcua_server import NAMESPACE_URI
from deploy.local.process import Process
from proto.control.node import NodeDocument

Protocol = Literal["modbus", "opcua", "s7"]


@dataclass(frozen=True, slots=True)
class Load:
    """What is polled.

    Attributes:
        shared: whether the devices of one port are units behind one gateway, on one connection.
        dead: how many of the devices never answer.
        subscribe: whether the server tells changes, where the protocol has that.
    """

    protocol: Protocol
    devices: int
    tags: int
    interval_s: float
    in_flight: int = 1
    uns: bool = True
    shared: bool = False
    dead: int = 0
    subscribe: bool = False

    @property
    def change_s(self) -> float:
        """How often values change: so that each poll, or each message, finds all of them new."""
        return self.interval_s if self.subscribe else self.interval_s / 2


def _modbus(load: Load, index: int, ports: Sequence[int], _folder: Path) -> dict[str, Any]:
    port, unit_id = place_of(index)
    return {
        "connection": {
            "host": "127.0.0.1",
            "port": ports[port],
            "unit_id": unit_id,
            "max_in_flight": load.in_flight,
            "shared": load.shared,
        },
        "poll_groups": [{"name": "all", "interval_s": load.interval_s}],
        "tags": [
            {"name": f"t{i}", "address": f"holding:{i}", "datatype": "int16"}
            for i in range(load.tags)
        ],
    }


def _s7(load: Load, index: int, ports: Sequence[int], _folder: Path) -> dict[str, Any]:
    return {
        "connection": {"host": "127.0.0.1", "port": ports[index]},
        "poll_groups": [{"name": "all", "interval_s": load.interval_s}],
        "tags": [
            {"name": f"t{i}", "address": f"DB1.DBW{2 * i}", "datatype": "int"}
            for i in range(load.tags)
        ],
    }


def _opcua(load: Load, index: int, ports: Sequence[int], folder: Path) -> dict[str, Any]:
    mode = "subscribe" if load.subscribe else "poll"
    return {
        "connection": {
            "url": f"opc.tcp://127.0.0.1:{ports[0]}/",
            "pki_dir": str(folder / "pki"),
            "timeout_s": 60,
        },
        "poll_groups": [{"name": "all", "interval_s": load.interval_s, "mode": mode}],
        "tags": [
            {
                "name": f"t{i}",
                "address": f"nsu={NAMESPACE_URI};s=Device{index + 1}.Tag{i + 1}",
                "datatype": "double",
            }
            for i in range(load.tags)
        ],
    }


_DEVICE: Final[Mapping[Protocol, Callable[[Load, int, Sequence[int], Path], dict[str, Any]]]] = {
    "modbus": _modbus,
    "opcua": _opcua,
    "s7": _s7,
}


def describe(load: Load, ports: Sequence[int], broker: MqttBroker, folder: Path) -> NodeDocument:
    """Return the edge node's configuration."""
    devices = [
        {"name": f"D{index}", "driver": load.protocol}
        | _DEVICE[load.protocol](load, index, ports, folder)
        for index in range(load.devices)
    ]
    return NodeDocument.model_validate(
        {
            "node": {
                "group": NODE.group,
                "edge": NODE.edge,
                "state_dir": str(folder / "state"),
                "status_interval_s": STATUS_INTERVAL_S,
                "topic_prefix": broker.topic_prefix,
            },
            "mqtt": {"url": broker.url},
            "uns": {"enabled": load.uns},
            "devices": devices,
        }
    )


def without_dead(load: Load, document: NodeDocument) -> NodeDocument:
    """Return the configuration without the devices that never answer."""
    dead = {_dead(load, number) for number in range(load.dead)}
    living = [device for index, device in enumerate(document.devices) if index not in dead]
    return document.model_copy(update={"devices": tuple(living)})


def start_simulator(load: Load, folder: Path, stack: ExitStack) -> tuple[Process, list[int]]:
    """Start the simulator and return it with its ports."""
    argv = nexus("simulate", load.protocol, "--port", "0", "--json")
    argv += ["--devices", str(load.devices), "--tags", str(load.tags)]
    argv += ["--change", str(load.change_s)]
    for number in range(load.dead):
        argv += ["--fault", f"{1 + _dead(load, number)}:drop"]
    log = folder / "simulator.log"
    simulator = stack.enter_context(Process("simulator", argv, log=log, env=environment()))

    def ports() -> list[int]:
        told = [line for line in log.read_text().splitlines() if line.startswith("{")]
        return list(json.loads(told[0])["ports"]) if told else []

    wait_for(lambda: bool(ports()), simulator, "tell its ports")
    return simulator, ports()


def _dead(load: Load, number: int) -> int:
    """Spread the dead over the devices, so that every gateway has some; from 0."""
    return number * load.devices // load.dead


def nexus(*arguments: str) -> list[str]:
    """Return the command line of a role."""
    return [sys.executable, "-m", "deploy.local.cli", "--log-level", "warning", *arguments]


def baseline(kind: str, config: Path, seconds: float) -> list[str]:
    """Return the command line of a loop without an edge node."""
    return [
        sys.executable,
        str(ROOT / "bench" / "edge_baseline.py"),
        kind,
        str(config),
        str(seconds),
    ]
