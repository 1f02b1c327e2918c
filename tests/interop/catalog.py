"""The peers by name: how each is started as a host and as an edge node.

What is fetched is asked for when a peer is started; whether it is there is the fixtures' business.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from paho.mqtt import subscribe

from deploy.local.broker import MqttBroker
from tests.interop import installation
from tests.interop.installation import PEERS
from tests.interop.peer import Peer

_LOGGING = "-Dlogback.configurationFile=peers-logging.xml"


def start_host(name: str, broker: MqttBroker, group: str, log: Path) -> Peer:
    """Start a foreign host that follows a broker, and wait until it listens."""
    argv, environment = _HOSTS[name](broker, group)
    host = Peer(name, argv, log=log, environment={**os.environ, **environment})
    try:
        host.wait("ready", timeout_s=30)
        if name == "tahu-host":
            _wait_announced(broker)
    except AssertionError:
        host.stop()
        raise
    return host


def start_edge(name: str, broker: MqttBroker, group: str, edge: str, log: Path) -> Peer:
    """Start a foreign edge node with one device ``d`` that has ``temperature`` and ``setpoint``."""
    argv, environment = _EDGES[name](broker, group, edge)
    return Peer(name, argv, log=log, environment={**os.environ, **environment})


def _wait_announced(broker: MqttBroker) -> None:
    # It says that it is connected before it has subscribed, and that it is online afterwards.
    online = False
    while not online:
        state = subscribe.simple(  # type: ignore[no-untyped-call]  # no annotations there
            "spBv1.0/STATE/tahu", hostname=broker.host, port=broker.port
        )
        online = json.loads(state.payload)["online"]


Start = tuple[list[str], dict[str, str]]


def _npm(script: str, *arguments: str) -> Start:
    modules = installation.npm_peer()
    return ["node", str(PEERS / "node" / script), *arguments], {"NODE_PATH": str(modules)}


def _python(package: str, script: str, *arguments: str) -> Start:
    path = PEERS / package.replace("-", "_") / script
    return [str(installation.python_peer(package)), str(path), *arguments], {}


def _java(main: str, *arguments: str) -> Start:
    class_path = installation.maven_peer("tahu")
    return ["java", _LOGGING, "-cp", class_path, f"interop.{main}", *arguments], {}


def _address(broker: MqttBroker) -> tuple[str, str]:
    return broker.host, str(broker.port)


def _tcp(broker: MqttBroker) -> str:
    return f"tcp://{broker.host}:{broker.port}"


_HOSTS: dict[str, Callable[[MqttBroker, str], Start]] = {
    "sparkplug-payload": lambda broker, _: _npm("host.js", broker.url),
    "tahu-host": lambda broker, _: _java("HostPeer", _tcp(broker), "tahu"),
    "pysparkplug": lambda broker, _: _python("pysparkplug", "host.py", *_address(broker)),
    "mqtt-spb-wrapper": lambda broker, group: _python(
        "mqtt-spb-wrapper", "host.py", *_address(broker), group
    ),
}
_EDGES: dict[str, Callable[[MqttBroker, str, str], Start]] = {
    "sparkplug-client": lambda broker, group, edge: _npm("edge.js", broker.url, group, edge, "d"),
    "sparkplug-client with DEFLATE": lambda broker, group, edge: _npm(
        "edge.js", broker.url, group, edge, "d", "DEFLATE"
    ),
    "sparkplug-client with GZIP": lambda broker, group, edge: _npm(
        "edge.js", broker.url, group, edge, "d", "GZIP"
    ),
    "tahu-edge": lambda broker, group, edge: _java(
        "EdgePeer", _tcp(broker), group, edge, "d", "nexus"
    ),
    "pysparkplug": lambda broker, group, edge: _python(
        "pysparkplug", "edge.py", *_address(broker), group, edge, "d"
    ),
    "mqtt-spb-wrapper": lambda broker, group, edge: _python(
        "mqtt-spb-wrapper", "edge.py", *_address(broker), group, edge, "d"
    ),
}
HOSTS = tuple(_HOSTS)
