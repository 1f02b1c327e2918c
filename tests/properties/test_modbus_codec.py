"""Whatever bytes come, the codec answers or says that they are not Modbus."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.modbus.codec import Answer, Codec, ProtocolError, RtuCodec, TcpCodec

CODECS = [TcpCodec, RtuCodec]

# bytes that look like the beginning of frames get further in
frames = st.builds(
    lambda tid, protocol, unit, pdu: (
        tid.to_bytes(2, "big")
        + protocol.to_bytes(2, "big")
        + (len(pdu) + 1).to_bytes(2, "big")
        + bytes([unit])
        + pdu
    ),
    st.integers(0, 0xFFFF),
    st.sampled_from([0, 0, 0, 1]),
    st.integers(0, 255),
    st.binary(max_size=20),
)
chunks = st.lists(st.binary(max_size=40) | frames, max_size=8)


@pytest.mark.parametrize("make", CODECS)
@given(received=chunks)
def test_no_bytes_raise_anything_but_a_protocol_error(
    make: Callable[[], Codec], received: list[bytes]
) -> None:
    codec = make()
    with suppress(ProtocolError):
        for data in received:
            for answer in codec.feed(data):
                assert isinstance(answer, Answer)


@given(
    st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(1, 247), st.binary(min_size=1, max_size=60)),
        max_size=5,
    ),
    st.lists(st.integers(1, 30), max_size=20),
)
def test_answers_survive_any_cutting(sent: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    framer, codec = TcpCodec(), TcpCodec()
    stream = b"".join(
        framer.frame(bytes([3, len(data)]) + data, unit, tid) for tid, unit, data in sent
    )
    received: list[Answer] = []
    for cut in cuts:
        received += codec.feed(stream[:cut])
        stream = stream[cut:]
    received += codec.feed(stream)
    assert [(a.transaction_id, a.unit_id, a.data) for a in received] == sent
