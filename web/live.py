"""The live picture for browsers: at most four batches a second, the latest value wins.

The tracker only marks what changed; four times a second the marks become messages, made once for
all clients that keep up. A client that does not is left with marks of its own, which are bounded by
the number of metrics, and gets the latest of each when it is ready again.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from host_app.clock import now_ms
from host_app.commands import WriteResult
from host_app.database import Database
from host_app.notices import Notice
from host_app.service import HostService
from proto.sparkplug.node_view import MetricView
from proto.sparkplug.topics import NodeId
from web.node_json import metric_count, node_to_json, value_row

INTERVAL_S: Final = 0.25
MAX_VALUES: Final = 5_000
"""Values in one batch; the rest waits for the next."""
MAX_METRICS: Final = 3_000
"""Metrics of whole nodes in one batch, so that a plant being born does not stop the host."""
MAX_LINES: Final = 500
"""Notices and write results that wait for a slow client; the oldest go."""

ValueKey = tuple[NodeId, str | None, str]

_dumps: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(slots=True)
class Marks:
    """What changed and was not told yet; values are read when they are told."""

    nodes: dict[NodeId, None] = field(default_factory=dict)
    values: dict[ValueKey, MetricView] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LINES))

    def __bool__(self) -> bool:
        return bool(self.nodes or self.values or self.lines)

    def add(self, other: "Marks") -> None:
        """Take over the marks of another."""
        self.nodes.update(other.nodes)
        self.values.update(other.values)
        self.lines.extend(other.lines)

    def clear(self) -> None:
        """Forget all."""
        self.nodes.clear()
        self.values.clear()
        self.lines.clear()


class LiveClient:
    """One browser: what it is to be sent next, and what changed meanwhile."""

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._ready = asyncio.Event()
        self._closed = False
        self.is_idle = False
        self.marks = Marks()

    def give(self, messages: list[str]) -> None:
        """Hand over what is to be sent; only to an idle client."""
        if messages:
            self._messages = messages
            self.is_idle = False
            self._ready.set()

    async def take(self) -> list[str] | None:
        """Wait for the next messages.

        Returns:
            None when the host stops.
        """
        self.is_idle = True
        while not self._messages and not self._closed:
            self._ready.clear()
            await self._ready.wait()
        messages, self._messages = self._messages, []
        return None if self._closed else messages

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._ready.set()


class LiveHub:
    """Everybody who watches. Listens to the host."""

    def __init__(self, service: HostService, database: Database) -> None:
        self._service = service
        self._database = database
        self._clients: set[LiveClient] = set()
        self._marks = Marks()
        self._closed = False
        service.add_listener(self)

    @property
    def client_count(self) -> int:
        """How many watch."""
        return len(self._clients)

    def join(self) -> LiveClient:
        """Let one more watch; it hears of everything from now on."""
        client = LiveClient()
        self._clients.add(client)
        if self._closed:
            client.close()
        return client

    def leave(self, client: LiveClient) -> None:
        """Forget one."""
        self._clients.discard(client)

    def close(self) -> None:
        """End all, and let nobody join any more."""
        self._closed = True
        self.drop_all()

    def drop_all(self) -> None:
        """End all; they come back to whichever host is active then."""
        for client in self._clients:
            client.close()

    async def run(self) -> None:
        """Tell the clients, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.flush()

    def flush(self) -> None:
        """Give each client that is ready what changed."""
        marks = self._marks
        if not self._clients:
            marks.clear()
            return
        for client in self._clients:
            if not client.is_idle or client.marks:
                client.marks.add(marks)
        fresh = [client for client in self._clients if client.is_idle and not client.marks]
        if fresh:
            messages = self._compose(marks)
            for client in fresh:
                client.marks.add(marks)  # what did not fit into this batch
                client.give(messages)
        marks.clear()
        for client in self._clients:
            if client.is_idle and client.marks:
                client.give(self._compose(client.marks))

    def snapshot(self) -> Iterator[str]:
        """Give the whole picture, big plants in several messages."""
        views = iter(list(self._service.nodes()))
        first: list[dict[str, Any]] = []
        metrics = 0
        for view in views:
            metrics += metric_count(view)
            first.append(node_to_json(view))
            if metrics >= MAX_METRICS:
                break
        yield _dumps(
            {
                "type": "snapshot",
                "server_time_ms": now_ms(),
                "host": self.host_json(),
                "nodes": first,
            }
        )
        for view in views:
            yield _dumps({"type": "node", "node": node_to_json(view)})

    def host_json(self) -> dict[str, Any]:
        """Return the host itself, with what it lacks."""
        problems = [s.problem for s in self._service.sessions if s.problem is not None]
        if self._database.problem is not None:
            problems.append(f"database: {self._database.problem}")
        return {
            "id": self._service.host_id,
            "online": self._service.online,
            "mode": self._service.mode.value,
            "database": self._database.is_ready,
            "problems": problems,
        }

    # What the host tells.

    def node_changed(self, node: NodeId) -> None:
        """Mark a node."""
        self._marks.nodes[node] = None

    def values_changed(self, node: NodeId, device: str | None, views: Sequence[MetricView]) -> None:
        """Mark metrics."""
        if self._clients:
            values = self._marks.values
            for view in views:
                values[node, device, view.name] = view

    def noticed(self, notice: Notice) -> None:
        """Keep a line for the clients."""
        message = {
            "type": "notice",
            "level": notice.level,
            "text": notice.text,
            "at_ms": notice.at_ms,
        }
        self._marks.lines.append(_dumps(message))

    def write_ended(self, result: WriteResult) -> None:
        """Keep a write's result for the clients."""
        message = {
            "type": "write_result",
            "id": result.id,
            "ok": result.ok,
            "reason": result.reason,
        }
        self._marks.lines.append(_dumps(message))

    def host_changed(self) -> None:
        """Tell that broker or database came or went."""
        self._marks.lines.append(_dumps({"type": "host", "host": self.host_json()}))

    def _compose(self, marks: Marks) -> list[str]:
        """Make messages of the marks, and take away those that were used."""
        nodes, values = marks.nodes, marks.values
        messages: list[str] = []
        metrics = 0
        told: set[NodeId] = set()
        for node in list(nodes):
            if metrics >= MAX_METRICS:
                break
            del nodes[node]
            told.add(node)
            view = self._service.node(node)
            if view is not None:
                metrics += metric_count(view)
                messages.append(_dumps({"type": "node", "node": node_to_json(view)}))
        keys = list(islice(values, MAX_VALUES))
        rows = [
            value_row(key[0], key[1], values[key])
            for key in keys
            if key[0] not in told and key[0] not in nodes
        ]
        for key in keys:
            del values[key]
        if rows:
            messages.append(_dumps({"type": "values", "server_time_ms": now_ms(), "values": rows}))
        messages.extend(marks.lines)
        marks.lines.clear()
        return messages
