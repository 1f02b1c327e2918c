"""Compressed payloads, bounded and never trusted."""

import gzip
import zlib

import pytest

from proto import sparkplug_b_pb2 as pb
from proto.sparkplug.codec import (
    Compression,
    Metric,
    Payload,
    compress,
    decode_payload,
    encode_payload,
    parse,
)
from proto.sparkplug.compression import COMPRESSED_UUID, inflate
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.errors import PayloadError

PAYLOAD = Payload(5, 6, (Metric("m", DataType.STRING, "x" * 1000),))
DATA = encode_payload(PAYLOAD)


def envelope(body: bytes, algorithm: str | None = None) -> bytes:
    wire = pb.Payload(uuid=COMPRESSED_UUID, body=body)
    if algorithm is not None:
        wire.metrics.add(name="algorithm", datatype=12, string_value=algorithm)
    return wire.SerializeToString()


@pytest.mark.parametrize("algorithm", Compression)
def test_compressed_payloads_decode_as_if_they_were_not(algorithm: Compression) -> None:
    packed = compress(DATA, algorithm)

    assert len(packed) < len(DATA)
    assert decode_payload(packed) == PAYLOAD


def test_seq_and_timestamp_stand_outside_as_well() -> None:
    wire = pb.Payload.FromString(compress(DATA))

    assert (wire.seq, wire.timestamp, wire.uuid) == (6, 5, COMPRESSED_UUID)


def test_seq_and_timestamp_of_the_envelope_count_where_the_payload_has_none() -> None:
    inner = encode_payload(Payload(metrics=PAYLOAD.metrics))
    wire = pb.Payload(uuid=COMPRESSED_UUID, body=zlib.compress(inner), seq=9, timestamp=8)

    parsed = parse(wire.SerializeToString())

    assert (parsed.seq, parsed.timestamp) == (9, 8)


def test_algorithm_may_be_left_out() -> None:
    assert decode_payload(envelope(zlib.compress(DATA))) == PAYLOAD
    assert decode_payload(envelope(gzip.compress(DATA))) == PAYLOAD


@pytest.mark.parametrize(
    "data",
    [
        envelope(b""),
        envelope(b"garbage"),
        envelope(zlib.compress(DATA)[:-6]),
        envelope(zlib.compress(b"\xff")),
        envelope(zlib.compress(DATA), "LZ4"),
        envelope(compress(DATA)),
        envelope(zlib.compress(envelope(zlib.compress(DATA)))),
    ],
)
def test_what_does_not_inflate_to_a_payload_is_a_payload_error(data: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_payload(data)


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    wire = pb.Payload(uuid=COMPRESSED_UUID, body=zlib.compress(bytes(10_000_000)))

    with pytest.raises(PayloadError, match="inflates beyond 1000 bytes"):
        inflate(wire, max_bytes=1000)


def test_only_payloads_are_compressed() -> None:
    with pytest.raises(PayloadError):
        compress(b"\xff")
