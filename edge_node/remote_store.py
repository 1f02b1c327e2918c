"""The devices that were configured from elsewhere, kept on disk: a node starts with what it had.

One file a device, replaced as a whole, so that a crash leaves the old one or the new one. What a
file says is checked anew at each start.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog

from edge_node.bd_seq import file_name
from edge_node.desired import RemoteDevice
from edge_node.errors import StateUnavailable
from proto.sparkplug.topics import NodeId

_LONGEST_NAME: Final = 200

log = structlog.get_logger(__name__)


class RemoteStore:
    """The remote devices of one node.

    Args:
        folder: the node's state directory, which is there.
        node: whose devices they are.
    """

    def __init__(self, folder: Path, node: NodeId) -> None:
        self._folder = folder / f"{file_name(node)}.devices"

    def read(self) -> dict[str, RemoteDevice]:
        """Return what is kept, by device; a file that cannot be read is told and left out.

        Raises:
            StateUnavailable: the directory cannot be read.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            files = sorted(self._folder.glob("*.json"))
        except OSError as exc:
            raise StateUnavailable(f"{self._folder}: cannot be read: {exc.strerror}") from exc
        devices: dict[str, RemoteDevice] = {}
        for file in files:
            try:
                kept = json.loads(file.read_bytes())
                name, revision, data = kept["name"], kept["revision"], kept["device"]
            except (OSError, ValueError, KeyError, TypeError) as exc:
                log.error("kept_device_unreadable", file=str(file), reason=str(exc))  # noqa: TRY400
                continue
            devices[str(name)] = RemoteDevice(int(revision), data)
        return devices

    def write(self, name: str, device: RemoteDevice) -> None:
        """Keep a device.

        Raises:
            StateUnavailable: it cannot be written.
        """
        kept: Mapping[str, Any] = {
            "name": name,
            "revision": device.revision,
            "device": device.data,
        }
        path = self._path(name)
        temporary = path.with_suffix(".new")
        try:
            self._folder.mkdir(exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(kept, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as exc:
            raise StateUnavailable(f"{path}: cannot be written: {exc.strerror}") from exc

    def remove(self, name: str) -> None:
        """Forget a device, kept or not.

        Raises:
            StateUnavailable: its file cannot be removed.
        """
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            raise StateUnavailable(f"{path}: cannot be removed: {exc.strerror}") from exc

    def _path(self, name: str) -> Path:
        readable = quote(name, safe=" ")
        if len(readable) > _LONGEST_NAME:
            readable = sha256(name.encode()).hexdigest()
        return self._folder / f"{readable}.json"
