"""What an edge node's tests are made of: real Modbus sockets, a node in this loop, a transcript."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import trio

from deploy.local.plant.loopback import MemoryUnit
from deploy.local.plant.slave import Slave
from edge_node.app import EdgeNode
from edge_node.bd_seq import BdSeqFile
from edge_node.config import check, load
from edge_node.endpoints import make_endpoints
from edge_node.reload import ConfigurationFile
from proto.control.node import NodeDocument
from proto.sparkplug.codec import Payload, decode_payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Value, is_control
from proto.sparkplug.topics import MessageType, NodeId, Topic, parse_topic
from tests.integration.edge.edge_broker import Seen, Watcher

NODE = {"group": "plant", "edge": "line-1"}


class Plc:
    """A Modbus TCP device on a real socket, which can be cut off and brought back."""

    def __init__(self) -> None:
        self.unit = MemoryUnit(200)
        self.port = 0
        self.connections = 0
        self._scope = trio.CancelScope()

    async def start(self, nursery: trio.Nursery) -> None:
        self._scope = trio.CancelScope()
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(self._serve, listeners)

    async def _serve(self, listeners: list[trio.SocketListener]) -> None:
        with self._scope:
            await trio.serve_listeners(self._answer, listeners)

    async def _answer(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        slave = Slave({1: self.unit})
        with suppress(trio.BrokenResourceError):  # a client that was killed
            async with stream:
                async for data in stream:
                    await stream.send_all(slave.receive(bytes(data)))

    def cut(self) -> None:
        self._scope.cancel()


def press(plc: Plc, name: str = "press", **changes: Any) -> dict[str, Any]:
    """A device with three tags, one of them a scaled, writable set-point."""
    return {
        "name": name,
        "driver": "modbus",
        "connection": {"host": "127.0.0.1", "port": plc.port, "timeout_s": 1.0},
        "poll_groups": [{"name": "default", "interval_s": 0.05}],
        "tags": [
            {
                "name": "setpoint",
                "address": "holding:0",
                "datatype": "int16",
                "writable": True,
                "scale": 0.1,
                "unit": "bar",
                "low": 0,
                "high": 100,
                "description": "Pressure wanted",
            },
            {"name": "count", "address": "holding:1", "datatype": "uint16"},
            {"name": "doors/open", "address": "holding:2.0", "datatype": "bool"},
        ],
        **changes,
    }


def toml_of(section: dict[str, Any], prefix: str = "") -> str:
    """The least writer of TOML that these documents need."""
    plain: list[str] = []
    tables: list[str] = []
    for key, value in section.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            tables.append(f"[{name}]\n{toml_of(value, f'{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [f"[[{name}]]\n{toml_of(item, f'{name}.')}" for item in value]
        else:
            text = str(value).lower() if isinstance(value, bool) else repr(value)
            plain.append(f"{key} = {text}")
    return "\n".join(plain + tables)


class HasUrl(Protocol):
    """Something that a node can be sent to."""

    @property
    def url(self) -> str: ...


def node_document(broker: HasUrl, state: Path, *devices: dict[str, Any], **more: Any) -> Any:
    """The document of an edge node on a broker; ``more`` are sections."""
    sections: dict[str, dict[str, Any]] = {
        "node": {**NODE, "state_dir": state, "status_interval_s": 0.2},
        "mqtt": {"url": broker.url, "protocol": getattr(broker, "protocol", "3.1.1")},
        "sparkplug": {"batch_window_s": 0.02},
        "uns": {"location": ["acme"], "min_interval_s": 0.02},
    }
    for name, section in more.items():
        sections[name] = sections.get(name, {}) | section
    return NodeDocument.model_validate({**sections, "devices": devices})


@asynccontextmanager
async def running(
    document: NodeDocument, file: ConfigurationFile | None = None
) -> AsyncIterator[EdgeNode]:
    """An edge node in this loop; it ends as after SIGTERM when the block is left.

    With a file it has the file's devices.
    """
    data = document.model_dump(mode="json", exclude_unset=True)
    configuration = check(data) if file is None else load(file.path, {})
    identity = NodeId(document.node.group, document.node.edge)
    bd_seq = BdSeqFile(document.node.state_dir, identity)
    try:
        node = EdgeNode(
            configuration,
            make_endpoints(document.mqtt, "edge-under-test", {}),
            bd_seq,
            file,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            yield node
            node.stop()
    finally:
        bd_seq.close()


async def wait_until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for what gives no event."""
    with trio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110  # looks from outside, as a user would
            await trio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Said:
    """One Sparkplug message of a node."""

    topic: Topic
    payload: Payload
    seen: Seen

    @property
    def kind(self) -> MessageType:
        return self.topic.message_type

    def values(self) -> dict[str | None, Value]:
        """The plant's values of a birth, without what steers the protocol."""
        return {
            metric.name: metric.value
            for metric in self.payload.metrics
            if not is_control(metric.name or "")
        }

    def metric(self, name: str) -> Metric:
        (found,) = [metric for metric in self.payload.metrics if metric.name == name]
        return found


class Listener:
    """An independent client that hears everything and gives commands as a host would."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    @property
    def said(self) -> list[Said]:
        return transcript(self.watcher.messages)

    async def wait(
        self, kind: str, count: int = 1, *, device: str | None = None, timeout_s: float = 30
    ) -> Said:
        """Wait for the ``count``-th message of a kind and return it."""

        def found(messages: list[Seen]) -> bool:
            return len(self._find(messages, kind, device)) >= count

        await self.watcher.wait_for(found, timeout_s)
        return self._find(self.watcher.messages, kind, device)[count - 1]

    @staticmethod
    def _find(messages: list[Seen], kind: str, device: str | None) -> list[Said]:
        return [
            said
            for said in transcript(messages)
            if said.kind == kind and (device is None or said.topic.device == device)
        ]

    async def wait_value(
        self, device: str, metric: str, value: Value, timeout_s: float = 30
    ) -> Said:
        """Wait for data that carries a value, the metric known by its birth's alias."""

        def find(messages: list[Seen]) -> Said | None:
            alias: int | None = None
            for said in transcript(messages):
                if said.topic.device != device:
                    continue
                for item in said.payload.metrics:
                    if item.name == metric and item.alias is not None:
                        alias = item.alias
                    named = item.name == metric or (item.name is None and item.alias == alias)
                    if named and said.kind == MessageType.DDATA and item.value == value:
                        return said
            return None

        await self.watcher.wait_for(lambda messages: find(messages) is not None, timeout_s)
        found = find(self.watcher.messages)
        assert found is not None
        return found

    async def wait_json(
        self, topic: str, holds: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """Wait for a document on a plain topic and return it."""

        def find(messages: list[Seen]) -> dict[str, Any] | None:
            for seen in reversed(messages):
                if seen.topic != topic or not seen.payload:
                    continue
                if holds(document := json.loads(seen.payload)):
                    return dict(document)
            return None

        await self.watcher.wait_for(lambda messages: find(messages) is not None, 30)
        found = find(self.watcher.messages)
        assert found is not None
        return found

    def command(self, kind: str, metrics: list[Metric], device: str | None = None) -> None:
        end = "" if device is None else f"/{device}"
        topic = f"spBv1.0/{NODE['group']}/{kind}/{NODE['edge']}{end}"
        self.watcher.publish(topic, encode_payload(Payload(1, None, tuple(metrics))), qos=0)

    def control(self, metric: str) -> None:
        self.command("NCMD", [Metric(metric, DataType.BOOLEAN, True)])

    def rebirth(self) -> None:
        self.control("Node Control/Rebirth")


def transcript(messages: list[Seen]) -> list[Said]:
    """The node's Sparkplug messages among what was seen."""
    return [
        Said(topic, decode_payload(seen.payload), seen)
        for seen in messages
        if seen.topic.startswith("spBv1.0/") and not seen.topic.startswith("spBv1.0/STATE")
        for topic in [parse_topic(seen.topic)]
        if topic.message_type not in {MessageType.NCMD, MessageType.DCMD}
    ]


def check_transcript(said: list[Said]) -> None:
    """Hold a node's messages, in their order, against the rules of every session.

    Raises:
        AssertionError: a message breaks a rule.
    """
    seq: int | None = None
    bd_seq: object = None
    aliases: dict[str | None, set[int | None]] = {}
    for message in said:
        payload, kind, device = message.payload, message.kind, message.topic.device
        assert not message.seen.retain
        assert payload.timestamp_ms is not None
        if kind is MessageType.NDEATH:
            assert payload.seq is None
            assert [metric.name for metric in payload.metrics] == ["bdSeq"]
            if message.payload.metrics[0].value == bd_seq:
                seq = None
            continue
        assert payload.timestamp_ms <= message.seen.at * 1000
        times = [metric.timestamp_ms for metric in payload.metrics]
        assert all(time is not None for time in times)
        assert times == sorted(times, key=int)  # type: ignore[arg-type]  # none is None
        if kind is MessageType.NBIRTH:
            assert payload.seq == 0
            bd_seq = message.metric("bdSeq").value
            aliases = {}
            seq = 0
        else:
            assert seq is not None, f"{kind} before NBIRTH"
            seq = (seq + 1) % 256
            assert payload.seq == seq
        if kind in {MessageType.NBIRTH, MessageType.DBIRTH}:
            assert device not in aliases, "a second birth without a death between"
            taken = [metric.alias for metric in payload.metrics if metric.alias is not None]
            assert len(set(taken)) == len(taken)
            assert not set(taken) & {alias for own in aliases.values() for alias in own}
            aliases[device] = set(taken)
            assert all(metric.name and metric.datatype for metric in payload.metrics)
        elif kind in {MessageType.NDATA, MessageType.DDATA}:
            assert device in aliases, f"{kind} before birth"
            assert payload.metrics
            for metric in payload.metrics:
                assert metric.datatype is None
                assert metric.value is not None
                if metric.name is None:
                    assert metric.alias in aliases[device]
        elif kind is MessageType.DDEATH:
            del aliases[device]
