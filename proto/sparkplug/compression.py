"""Compressed payloads, as the reference implementation has them.

The specification leaves ``uuid`` and ``body`` open. Eclipse Tahu puts a compressed payload into
``body``, marks it with ``uuid`` = ``SPBV1.0_COMPRESSED`` and names the algorithm in a String metric
``algorithm`` (``DEFLATE`` when there is none). ``seq`` and timestamp stand outside as well.
"""

import gzip
import zlib
from enum import StrEnum
from typing import Final

from google.protobuf.message import DecodeError

from proto import sparkplug_b_pb2
from proto.sparkplug.errors import PayloadError

COMPRESSED_UUID: Final = "SPBV1.0_COMPRESSED"
MAX_INFLATED_BYTES: Final = 64 * 2**20
"""A payload that inflates beyond this is refused; a small message must not fill the memory."""

_ANY_HEADER: Final = 32 + zlib.MAX_WBITS  # zlib or gzip, whichever the bytes begin with


class Compression(StrEnum):
    """The two algorithms there are."""

    DEFLATE = "DEFLATE"
    GZIP = "GZIP"


def compress(payload: bytes, algorithm: Compression = Compression.DEFLATE) -> bytes:
    """An encoded payload, compressed into an envelope that is a payload itself.

    Raises:
        PayloadError: the bytes are no payload.
    """
    inner = _parse(payload)
    body = (
        gzip.compress(payload, mtime=0) if algorithm is Compression.GZIP else zlib.compress(payload)
    )
    envelope = sparkplug_b_pb2.Payload(uuid=COMPRESSED_UUID, body=body)
    if inner.HasField("timestamp"):
        envelope.timestamp = inner.timestamp
    if inner.HasField("seq"):
        envelope.seq = inner.seq
    envelope.metrics.add(
        name="algorithm", datatype=sparkplug_b_pb2.String, string_value=algorithm.value
    )
    return envelope.SerializeToString()


def inflate(
    envelope: sparkplug_b_pb2.Payload, max_bytes: int = MAX_INFLATED_BYTES
) -> sparkplug_b_pb2.Payload:
    """The payload in the envelope; its ``seq`` and timestamp are the envelope's where it has none.

    Raises:
        PayloadError: another algorithm, broken bytes, or more than ``max_bytes`` of them.
    """
    for metric in envelope.metrics:
        if metric.name == "algorithm" and metric.string_value not in set(Compression):
            raise PayloadError(
                f"compressed payload: algorithm is {metric.string_value!r}, "
                "expected DEFLATE or GZIP"
            )
    stream = zlib.decompressobj(_ANY_HEADER)
    try:
        data = stream.decompress(envelope.body, max_bytes)
    except zlib.error as error:
        raise PayloadError(f"compressed payload: {error}") from error
    if stream.unconsumed_tail:
        raise PayloadError(f"compressed payload: inflates beyond {max_bytes} bytes")
    if not stream.eof:
        raise PayloadError("compressed payload: ends too early")
    payload = _parse(data)
    if payload.uuid == COMPRESSED_UUID:
        raise PayloadError("compressed payload: holds another one, expected metrics")
    if envelope.HasField("seq") and not payload.HasField("seq"):
        payload.seq = envelope.seq
    if envelope.HasField("timestamp") and not payload.HasField("timestamp"):
        payload.timestamp = envelope.timestamp
    return payload


def _parse(data: bytes) -> sparkplug_b_pb2.Payload:
    try:
        return sparkplug_b_pb2.Payload.FromString(data)
    except DecodeError as error:
        raise PayloadError(f"payload of {len(data)} bytes: {error}") from error
