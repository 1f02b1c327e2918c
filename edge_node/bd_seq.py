"""The birth/death sequence number, kept on disk: it rises with every CONNECT, restarts included.

One process at a time owns a node's state, so that two copies of a node are noticed at the start.
"""

import fcntl
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import quote

import structlog

from edge_node.errors import StateUnavailable
from proto.sparkplug.topics import NodeId

_TEXTS = frozenset(str(number) for number in range(256))
_LONGEST_NAME = 200

log = structlog.get_logger(__name__)


class BdSeqFile:
    """The next bdSeq of one edge node.

    Args:
        folder: the node's state directory; made when it is not there.
        node: whose number it is.

    Raises:
        StateUnavailable: the directory cannot be used, or another process uses it.
    """

    def __init__(self, folder: Path, node: NodeId) -> None:
        name = file_name(node)
        self._path = folder / f"{name}.bdseq"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (folder / f"{name}.lock").open("a", encoding="utf-8")
        except OSError as exc:
            raise StateUnavailable(
                f"state_dir {folder}: {exc.strerror}, expected a directory that can be written"
            ) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._lock.close()
            raise StateUnavailable(
                f"state_dir {folder}: another process runs edge node {node} from it, "
                "expected one process a node"
            ) from exc

    def close(self) -> None:
        """Let another process have the node."""
        self._lock.close()

    def read(self) -> int:
        """Return the number for the next CONNECT, 0 for a node that never was.

        Raises:
            StateUnavailable: the file cannot be read.
        """
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return 0
        except OSError as exc:
            raise StateUnavailable(f"{self._path}: cannot be read: {exc.strerror}") from exc
        if text in _TEXTS:
            return int(text)
        log.error("bd_seq_unreadable", path=str(self._path), found=text[:40], expected="0 to 255")
        return 0

    def write(self, number: int) -> None:
        """Replace the number, so that a crash leaves the old one or the new one.

        Raises:
            StateUnavailable: it cannot be written.
        """
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w", encoding="ascii") as file:
                file.write(f"{number}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            self._sync_folder()
        except OSError as exc:
            raise StateUnavailable(f"{self._path}: cannot be written: {exc.strerror}") from exc

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            with suppress(OSError):  # some file systems cannot sync a directory, and need not
                os.fsync(folder)
        finally:
            os.close(folder)


def file_name(node: NodeId) -> str:
    """Return what no other node's files begin with; readable where that is short enough."""
    name = f"{quote(node.group, safe=' ')}@{quote(node.edge, safe=' ')}"
    return name if len(name) <= _LONGEST_NAME else sha256(name.encode()).hexdigest()
