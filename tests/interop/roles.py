"""The suite's own roles as processes, started as a user starts them.

The simulated plant, an edge node from its TOML file, a host with its REST API: each with what a
test needs of it and nothing of its inside.
"""

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from deploy.local.plant_document import (
    format_fields,
    format_toml,
    place_document,
    read_example,
)
from deploy.local.ports import find_free_port, is_listening
from deploy.local.process import Process, wait_until
from proto.control.node import NodeDocument

ROOT = Path(__file__).resolve().parents[2]
_CLI = (sys.executable, "-m", "deploy.local.cli")
_PASSWORD = "interop-password"


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


class Plant:
    """The simulated bottling line, which can be switched off and on again."""

    def __init__(self, folder: Path) -> None:
        self.port = find_free_port()
        self._log = folder / "plant.log"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Switch it on and wait until it answers."""
        argv = (*_CLI, "simulate", "modbus", "--port", str(self.port))
        self._process = Process("plant", argv, log=self._log, env=_environment())
        wait_until(
            lambda: is_listening(self.port), self._process, timeout_s=20, what="offer Modbus"
        )
        return self

    def stop(self) -> None:
        """Switch it off."""
        if self._process is not None:
            self._process.stop(grace_s=5)
            self._process = None

    def configuration(self, edge: str, mqtt_url: str, folder: Path) -> NodeDocument:
        """Return the documented example for this plant, as this edge node of group interop."""
        placed = place_document(
            read_example(),
            mqtt_url=mqtt_url,
            mqtt_username=None,
            modbus_port=self.port,
            topic_prefix="$nexus",
            state_dir=folder / "state",
            status_interval_s=1.0,
        )
        node = placed.node.model_copy(update={"group": "interop", "edge": edge})
        return placed.model_copy(update={"node": node})


class Recipes:
    """A simulated OPC UA server, which has structures."""

    def __init__(self, folder: Path) -> None:
        self.port = find_free_port()
        options = ("--port", str(self.port), "--tags", "2", "--security", "None")
        argv = (*_CLI, "simulate", "opcua", *options)
        log = folder / "recipes.log"
        self._process = Process("recipes", argv, log=log, env=_environment())
        try:
            wait_until(
                lambda: is_listening(self.port), self._process, timeout_s=60, what="offer OPC UA"
            )
        except BaseException:
            self._process.stop(grace_s=5)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop(grace_s=5)

    def device(self, name: str, **more: Any) -> dict[str, Any]:
        """Return a device with a structure and an array of them, as data sets."""
        address = "nsu=urn:nexus:simulator:plant;s=Device1.Types"
        return {
            "name": name,
            "driver": "opcua",
            "connection": {"url": f"opc.tcp://127.0.0.1:{self.port}/"},
            "tags": [
                {"name": "Recipe", "address": f"{address}.Recipe", "datatype": "structure"},
                {
                    "name": "Recipes",
                    "address": f"{address}.Recipes",
                    "datatype": "structure",
                    "array": True,
                },
            ],
            **more,
        }


class EdgeNode:
    """An edge node process that can be stopped, killed and started again.

    Args:
        folder: Takes its file and its log.
        configuration: A checked document, or the fields of one as they stand in a file.
    """

    def __init__(self, folder: Path, configuration: NodeDocument | Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "edge.toml"
        if isinstance(configuration, NodeDocument):
            self._file.write_text(format_toml(configuration))
        else:
            self._file.write_text(format_fields(configuration))
        self._log = folder / "edge.log"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stop(grace_s=10)

    def start(self) -> Self:
        """Start it; return at once."""
        argv = (*_CLI, "edge", "--config", str(self._file))
        self._process = Process("edge node", argv, log=self._log, env=_environment())
        return self

    def stop(self) -> None:
        """Stop it as an operator does and expect a clean end."""
        assert self._process is not None
        assert self._process.stop(grace_s=15), self._process.last_words(30)
        assert self._process.poll() == 0, self._process.last_words(30)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        assert self._process is not None
        self._process.stop(signum=signal.SIGKILL)

    def last_words(self) -> str:
        """Return the end of its log, for failures."""
        assert self._process is not None
        return self._process.last_words(30)


class Host:
    """A host process and a signed-in client of its REST API."""

    def __init__(self, folder: Path, mqtt_url: str, database_url: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = find_free_port()
        self._cookie = ""
        env = _environment(
            NEXUS_MQTT_URL=mqtt_url,
            NEXUS_DATABASE_URL=database_url,
            NEXUS_CONSOLE_PASSWORD=_PASSWORD,
            **environment,
        )
        argv = (*_CLI, "host", "--port", str(self.port), "--bind", "127.0.0.1")
        self._process = Process("host", argv, log=folder / "host.log", env=env)
        try:
            wait_until(self._is_ready, self._process, timeout_s=30, what="get ready")
            wait_until(self._sign_in, self._process, timeout_s=30, what="let a user sign in")
        except Exception:
            self._process.stop(grace_s=1)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop(grace_s=10)

    def stop(self) -> None:
        """Stop it as an operator does and expect a clean end."""
        assert self._process.stop(grace_s=15), self._process.last_words(30)
        assert self._process.poll() == 0, self._process.last_words(30)

    def node(self, name: str) -> Mapping[str, Any] | None:
        """Return one node as the API gives it, or None while it is unknown."""
        status, answer = self._request("GET", "/api/v1/nodes")
        assert status == 200, answer
        found: dict[str, Mapping[str, Any]] = {node["id"]: node for node in answer["nodes"]}
        return found.get(name)

    def wait_node(
        self, name: str, what: str, is_so: Callable[[Mapping[str, Any]], bool]
    ) -> Mapping[str, Any]:
        """Wait until the node is as asked for, and return it.

        Raises:
            AssertionError: it is not, after 15 s; tells what it is instead.
        """
        deadline = time.monotonic() + 15
        while True:
            node = self.node(name)
            if node is not None and is_so(node):
                return node
            if time.monotonic() > deadline:
                log = self._process.last_words(20)
                raise AssertionError(f"{name}: found {node}, expected {what}{log}")
            time.sleep(0.05)

    def write(self, name: str, device: str | None, metric: str, value: object) -> None:
        """Ask for one metric to be written."""
        group, edge = name.split("/")
        body = {"group": group, "edge": edge, "device": device, "metric": metric, "value": value}
        status, answer = self._request("POST", "/api/v1/write", body)
        assert status == 202, answer

    def rebirth(self, name: str) -> None:
        """Ask a node for its births."""
        group, edge = name.split("/")
        status, answer = self._request("POST", "/api/v1/rebirth", {"group": group, "edge": edge})
        assert status == 202, answer

    def _is_ready(self) -> bool:
        try:
            return self._request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def _sign_in(self) -> bool:
        # The host is ready before its database is: it tracks nodes without one.
        body = {"username": "admin", "password": _PASSWORD}
        return self._request("POST", "/api/v1/session", body)[0] == 200

    def _request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {
            "Content-Type": "application/json",
            "Origin": f"http://127.0.0.1:{self.port}",
            "Cookie": self._cookie,
        }
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            cookie = response.getheader("Set-Cookie")
            if cookie:
                self._cookie = cookie.partition(";")[0]
            raw = response.read()
        finally:
            connection.close()
        is_json = (response.getheader("Content-Type") or "").startswith("application/json")
        return response.status, json.loads(raw) if is_json else raw.decode()
