"""The OPC UA servers of other ecosystems, as processes under test control.

Both have the same nodes with the same values, in ``URI``, and take the same orders; what differs is
how they speak the protocol.
"""

import json
import os
from pathlib import Path
from typing import Any, Self

from deploy.local.ports import find_free_port
from tests.interop import installation
from tests.interop.peer import Peer

URI = "urn:nexus:stranger"
BLOCK = 300
"""``Block.1`` to ``Block.300`` are Int32 and hold their number."""

SCALARS: dict[str, object] = {
    "Boolean": True,
    "SByte": -128,
    "Byte": 255,
    "Int16": -32768,
    "UInt16": 65535,
    "Int32": -(2**31),
    "UInt32": 2**32 - 1,
    "Int64": -(2**63),
    "UInt64": 2**64 - 1,
    "Float": 1.5,
    "Double": 0.1,
    "String": "Käse",
    "ByteString": b"\0\xff\x07",
}
"""What ``Scalar.<type>`` holds, for types whose value is one in Python too."""

STRANGERS = ("node-opcua", "milo")


class Stranger(Peer):
    """A foreign server.

    Args:
        name: of ``STRANGERS``.
        folder: for its log and its certificates.

    Raises:
        NotInstalledError: it is not to be had here.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = find_free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}/"
        given = json.dumps({"port": self.port, "pki": str(folder / "pki")})
        environment = dict(os.environ)
        if name == "milo":
            classes = installation.maven_peer("milo")
            command = ["java", "-Xmx256m", "-cp", classes, "interop.Server", given]
        else:
            environment["NODE_PATH"] = str(installation.npm_peer("opcua"))
            command = ["node", str(installation.PEERS / "opcua/server.js"), given]
        super().__init__(name, command, log=folder / f"{name}.log", environment=environment)

    def __enter__(self) -> Self:
        try:
            self.wait("listening", timeout_s=60)
        except AssertionError:
            self.stop()
            raise
        return self

    def restart(self, spare: int = 0, **options: Any) -> None:
        """Stop and start within the process: what was changed is forgotten.

        Args:
            spare: how many namespaces come before its own.
            options: ``user``, ``password``, ``maxNodesPerCall``, ``maxMonitoredItems``.
        """
        self.order("restart", spare=spare, options=options)
        self.wait("done", timeout_s=60, do="restart")

    def set(self, node: str, value: Any, status: str = "Good", datatype: str = "Double") -> None:
        """Give a node a value."""
        self.order("set", node=node, value=value, status=status, type=datatype)
        self.wait("done", timeout_s=30, do="set")

    def delete(self, node: str) -> None:
        """Remove a node."""
        self.order("delete", node=node)
        self.wait("done", timeout_s=30, do="delete")

    def create(self, node: str, value: int) -> None:
        """Make an Int32."""
        self.order("create", node=node, value=value)
        self.wait("done", timeout_s=30, do="create")
