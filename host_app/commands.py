"""Writes that were asked for: sent, waited for, confirmed by the value that comes back.

The waiting is a table of what is pending; time comes from the event loop. It knows neither MQTT nor
the web: sending and telling are handed in.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from proto.sparkplug.metrics import Value
from proto.sparkplug.node_view import MetricView
from proto.sparkplug.topics import NodeId

CONFIRM_TIMEOUT_S: Final = 5.0
MAX_PENDING: Final = 1_000

_FLOAT_TOLERANCE: Final = 1e-6
"""Relative: what a round through 32 bits and a scale of the device may cost."""


@dataclass(frozen=True, slots=True)
class Target:
    """The metric that is written."""

    node: NodeId
    device: str | None
    metric: str

    def __str__(self) -> str:
        return "/".join(filter(None, (str(self.node), self.device, self.metric)))


@dataclass(frozen=True, slots=True)
class WriteResult:
    """How a write ended.

    Attributes:
        ok: the value came back.
        reason: why not; or what there is to know although it did.
    """

    id: str
    target: Target
    actor: str
    ok: bool
    reason: str | None


@dataclass(slots=True)
class _Pending:
    target: Target
    actor: str
    expected: Value
    was_equal: bool
    timer: asyncio.TimerHandle
    seen: Value = None
    heard: bool = False


class PendingWrites:
    """Writes that are under way.

    Attributes:
        on_result: called once for each, when it has ended.
    """

    def __init__(self, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        self.on_result: Callable[[WriteResult], None] = _ignore
        self._timeout_s = timeout_s
        self._pending: dict[str, _Pending] = {}
        self._by_node: dict[NodeId, set[str]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def is_full(self) -> bool:
        """Whether no more may be added now."""
        return len(self._pending) >= MAX_PENDING

    def add(self, target: Target, actor: str, expected: Value, current: Value) -> str:
        """Wait for a value that was just sent.

        Args:
            target: what was written.
            actor: who did it.
            expected: as the metric's data type gives it back.
            current: what the metric was worth before.

        Returns:
            The id that the result will carry.
        """
        write_id = uuid4().hex
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._time_out, write_id)
        equal = values_match(expected, current)
        self._pending[write_id] = _Pending(target, actor, expected, equal, timer)
        self._by_node.setdefault(target.node, set()).add(write_id)
        return write_id

    def metrics_changed(
        self, node: NodeId, device: str | None, changed: Sequence[MetricView]
    ) -> None:
        """Look whether one of the awaited values came."""
        for write_id in tuple(self._by_node.get(node, ())):
            pending = self._pending[write_id]
            if pending.target.device != device:
                continue
            for view in changed:
                if view.name != pending.target.metric:
                    continue
                pending.heard, pending.seen = True, view.value
                if values_match(pending.expected, view.value):
                    self._end(write_id, ok=True, reason=None)
                    break

    def refused(self, node: NodeId, device: str, metric: str, reason: str) -> None:
        """The node says that it did not do a write: of those for the metric, the first one sent.

        A member of a template instance stands for the instance.
        """
        for write_id in self._pending:
            target = self._pending[write_id].target
            own = metric == target.metric or metric.startswith(f"{target.metric}/")
            if own and (target.node, target.device) == (node, device):
                self._end(write_id, ok=False, reason=reason)
                return

    def branch_died(self, node: NodeId, device: str | None) -> None:
        """What was sent to a node or device that is gone cannot be confirmed any more."""
        for write_id in tuple(self._by_node.get(node, ())):
            if device is None or self._pending[write_id].target.device == device:
                subject = "node" if device is None else f"device {device!r}"
                self._end(write_id, ok=False, reason=f"the {subject} went offline")

    def cancel_all(self, reason: str) -> None:
        """End everything that is under way."""
        for write_id in tuple(self._pending):
            self._end(write_id, ok=False, reason=reason)

    def _time_out(self, write_id: str) -> None:
        pending = self._pending[write_id]
        waited = f"within {self._timeout_s:g} s"
        if pending.heard:
            reason = f"the value came back as {_shown(pending.seen)} {waited}"
            self._end(write_id, ok=False, reason=reason)
        elif pending.was_equal:
            # Report by exception: a node that already has the value has nothing to report.
            reason = "the value was the same before; the node reported no other"
            self._end(write_id, ok=True, reason=reason)
        else:
            self._end(write_id, ok=False, reason=f"the value did not come back {waited}")

    def _end(self, write_id: str, *, ok: bool, reason: str | None) -> None:
        pending = self._pending.pop(write_id)
        pending.timer.cancel()
        ids = self._by_node[pending.target.node]
        ids.discard(write_id)
        if not ids:
            del self._by_node[pending.target.node]
        self.on_result(WriteResult(write_id, pending.target, pending.actor, ok, reason))


def values_match(expected: Value, found: Value) -> bool:
    """Whether a value that came back is the one that was written."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, float) and isinstance(found, (int, float)):
        if math.isnan(expected):
            return math.isnan(found)
        return math.isclose(expected, found, rel_tol=_FLOAT_TOLERANCE, abs_tol=1e-12)
    return expected == found


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _ignore(_result: WriteResult) -> None:
    pass
