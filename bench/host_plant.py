"""The messages of a big plant, made beforehand: births and data of many edge nodes that look alike.

A payload is made once and published for every node; only topics and sequence numbers differ, and
the sequence number stands at the end, where protobuf lets it be put on afterwards.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proto.sparkplug.codec import Metric, Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Property

GROUP: Final = "bench"
_SEQ_TAG: Final = 0x18
_UNITS: Final = ("bar", "degC", "1/min")

Message = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Plant:
    """How big it is; ``metrics`` are those of one device."""

    nodes: int
    devices: int
    metrics: int

    @property
    def values(self) -> int:
        """Metrics of all devices of all nodes."""
        return self.nodes * self.devices * self.metrics


def with_seq(payload: bytes, seq: int) -> bytes:
    """Put a sequence number on a payload that has none."""
    seq %= 256
    number = bytes([seq]) if seq < 128 else bytes([seq & 127 | 128, seq >> 7])
    return payload + bytes([_SEQ_TAG]) + number


def death() -> bytes:
    """The NDEATH of every node."""
    now_ms = time.time_ns() // 1_000_000
    return encode_payload(Payload(now_ms, None, (Metric("bdSeq", DataType.INT64, 0, now_ms),)))


def births(plant: Plant) -> Iterator[Message]:
    """NBIRTH and DBIRTHs of every node, with the time of now."""
    now_ms = time.time_ns() // 1_000_000
    head = (
        Metric("bdSeq", DataType.INT64, 0, now_ms),
        Metric("Node Control/Rebirth", DataType.BOOLEAN, False, now_ms),
    )
    node = encode_payload(Payload(now_ms, 0, head))
    devices = [
        with_seq(encode_payload(Payload(now_ms, None, _tags(plant, device, now_ms))), device + 1)
        for device in range(plant.devices)
    ]
    for number in range(plant.nodes):
        yield f"spBv1.0/{GROUP}/NBIRTH/node {number}", node
        for device, payload in enumerate(devices):
            yield f"spBv1.0/{GROUP}/DBIRTH/node {number}/device {device}", payload


def data(plant: Plant, rounds: int) -> Iterator[Message]:
    """DDATA of every device of every node, all metrics by alias, after its births."""
    now_ms = time.time_ns() // 1_000_000
    payloads = []
    for device in range(plant.devices):
        changed = tuple(
            Metric(None, DataType.DOUBLE, 1.25, now_ms, _alias(plant, device, number))
            for number in range(plant.metrics)
        )
        payloads.append(encode_payload(Payload(now_ms, None, changed)))
    topics = [
        [f"spBv1.0/{GROUP}/DDATA/node {number}/device {device}" for device in range(plant.devices)]
        for number in range(plant.nodes)
    ]
    seq = plant.devices + 1
    for _ in range(rounds):
        marked = [with_seq(payload, seq + device) for device, payload in enumerate(payloads)]
        for names in topics:
            yield from zip(names, marked, strict=True)
        seq += plant.devices


def named_data(metrics: int, messages: int) -> Iterator[Message]:
    """DDATA with names and data types beside the values, for hosts that resolve no aliases."""
    now_ms = time.time_ns() // 1_000_000
    tags = tuple(
        Metric(f"Section {n // 10}/Value {n}", DataType.DOUBLE, 1.25, now_ms)
        for n in range(metrics)
    )
    payload = encode_payload(Payload(now_ms, None, tags))
    for seq in range(messages):
        yield f"spBv1.0/{GROUP}/DDATA/node 0/device 0", with_seq(payload, seq)


def _alias(plant: Plant, device: int, number: int) -> int:
    return 1 + device * plant.metrics + number


def _tags(plant: Plant, device: int, now_ms: int) -> tuple[Metric, ...]:
    """A device's metrics, with the properties that real ones have."""
    return tuple(
        Metric(
            f"Section {number // 10}/Value {number}",
            DataType.DOUBLE,
            number * 0.5,
            now_ms,
            _alias(plant, device, number),
            properties={
                "engUnit": Property(DataType.STRING, _UNITS[number % 3]),
                "engLow": Property(DataType.DOUBLE, 0.0),
                "engHigh": Property(DataType.DOUBLE, 100.0 + device),
                "readOnly": Property(DataType.BOOLEAN, number % 4 > 0),
            },
        )
        for number in range(plant.metrics)
    )
