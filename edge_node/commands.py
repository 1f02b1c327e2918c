"""Writes from outside: JSON commands, Sparkplug commands, and what becomes of either.

Every end of a write is told on the command's result topic; what was refused also stands in the
status document. Knows supervisors and topics, no connection.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
import trio
from pydantic import ValidationError

from edge_node.supervisor import DeviceSupervisor
from edge_node.templates import member_writes
from edge_node.writes import WriteEnd, WriteOrder
from proto.control.command import DEFAULT_TIMEOUT_S, Command, CommandResult, read_value
from proto.control.status import RefusedWrite
from proto.control.topics import command_filter, command_result_topic, parse_command_topic
from proto.sparkplug.edge_events import Rejected, WriteRequested
from proto.sparkplug.topics import NodeId
from proto.uns.paths import check_topic
from proto.uns.payload import to_json

REMEMBER_S: Final = 300.0
"""For so long a command's id is known; it is done once within this time."""
MAX_REMEMBERED: Final = 10_000
MAX_COMMAND_BYTES: Final = 65_536
MAX_REFUSED: Final = 20

Publish = Callable[[str, bytes, int, bool], object]
"""Topic, payload, QoS, retain."""

log = structlog.get_logger(__name__)


class Commands:
    """The writes that reach one edge node.

    Args:
        prefix: first level of the suite's topics.
        node: whose they are.
        enabled: whether JSON commands are taken; results are told in any case.
        find: gives the supervisor of a device that is enabled.
        publish: sends a result, when there is a connection.
        now_ms: wall clock, milliseconds since the epoch.

    Attributes:
        refused: the last writes that came to nothing, the latest last.
    """

    def __init__(
        self,
        prefix: str,
        node: NodeId,
        *,
        enabled: bool,
        find: Callable[[str], DeviceSupervisor | None],
        publish: Publish,
        now_ms: Callable[[], int],
    ) -> None:
        self.refused: deque[RefusedWrite] = deque(maxlen=MAX_REFUSED)
        self._prefix = prefix
        self._node = node
        self._enabled = enabled
        self._find = find
        self._publish = publish
        self._now_ms = now_ms
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return (command_filter(self._prefix, self._node),) if self._enabled else ()

    def receive(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a JSON command; results, which come back on the same filter, are none."""
        place = parse_command_topic(topic, self._prefix, self._node)
        if place is None:
            return
        device, tag = place
        if retained:
            # It would be done again at each connection.
            self._end(device, tag, None, WriteEnd("refused", "retained, expected a plain message"))
            return
        if len(payload) > MAX_COMMAND_BYTES:
            reason = f"{len(payload)} bytes, expected at most {MAX_COMMAND_BYTES}"
            self._end(device, tag, None, WriteEnd("refused", reason))
            return
        try:
            command = Command.model_validate_json(payload)
        except ValidationError as exc:
            self._end(device, tag, None, WriteEnd("refused", _explain(exc)))
            return
        if self._is_repeated(topic, command.id):
            log.info("command_repeated", device=device, tag=tag, id=command.id)
            return
        self._do(device, tag, command)

    def _do(self, device: str, tag: str, command: Command) -> None:
        on_end = partial(self._end, device, tag, command.id)
        supervisor = self._find(device)
        if supervisor is None:
            on_end(WriteEnd("refused", f"the node has no device {device!r}"))
            return
        column = supervisor.tags.columns.get(tag)
        if column is None:
            on_end(WriteEnd("refused", f"device {device!r} has no tag {tag!r}"))
            return
        spec = supervisor.tags.tags[column]
        try:
            value = read_value(spec.datatype, command.value, spec.definition)
        except ValueError as exc:
            on_end(WriteEnd("refused", str(exc)))
            return
        deadline = trio.current_time() + command.timeout_s
        supervisor.write(WriteOrder(tag, value, deadline, on_end))

    def write(self, request: WriteRequested) -> None:
        """Do what a host asks for with a DCMD, each member of a template instance by itself."""
        device = request.device or ""
        supervisor = self._find(device)
        if supervisor is None:
            return  # its DDEATH is on the way
        deadline = trio.current_time() + DEFAULT_TIMEOUT_S
        whole = request.metric in supervisor.tags.columns  # a structure of the device's own
        parts = [(request.metric, request.value)]
        for tag, value in parts if whole else member_writes(request.metric, request.value):
            on_end = partial(self._end, device, tag, None)
            supervisor.write(WriteOrder(tag, value, deadline, on_end))

    def reject(self, event: Rejected) -> None:
        """Note a Sparkplug command that was not acted on."""
        if event.metric is not None:
            self._tell(event.device, event.metric, None, WriteEnd("refused", event.reason))

    def _end(self, device: str, tag: str, command_id: str | None, end: WriteEnd) -> None:
        if not end.ok:
            log.warning(
                "write_refused", device=device, tag=tag, outcome=end.outcome, reason=end.reason
            )
        self._tell(device, tag, command_id, end)

    def _tell(self, device: str | None, tag: str, command_id: str | None, end: WriteEnd) -> None:
        now_ms = self._now_ms()
        if not end.ok:
            reason = end.reason or end.outcome
            self.refused.append(
                RefusedWrite(
                    timestamp_ms=now_ms,
                    device=device,
                    metric=tag[:512],
                    outcome=end.outcome,
                    reason=reason[:1000],
                )
            )
        if device is None:
            return
        topic = command_result_topic(self._prefix, self._node, device, tag)
        try:
            check_topic(topic.removeprefix("$"))
        except ValueError:
            return  # a name that came with a Sparkplug command and that no topic can carry
        returned = None
        if end.returned is not None:
            returned = {name: to_json(value) for name, value in end.returned.items()}
        result = CommandResult(
            id=command_id,
            timestamp_ms=now_ms,
            ok=end.ok,
            outcome=end.outcome,
            reason=end.reason,
            value=to_json(end.value),
            returned=returned,
        )
        self._publish(topic, result.model_dump_json().encode(), 1, False)

    def _is_repeated(self, topic: str, command_id: str) -> bool:
        """Whether a command came before; it is remembered."""
        now = trio.current_time()
        seen = self._seen
        while seen and (len(seen) >= MAX_REMEMBERED or next(iter(seen.values())) <= now):
            seen.popitem(last=False)
        key = (topic, command_id)
        if key in seen:
            return True
        seen[key] = now + REMEMBER_S
        return False


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'command'}: {detail['msg']}"
        for detail in error.errors(include_url=False, include_input=False)[:5]
    )
