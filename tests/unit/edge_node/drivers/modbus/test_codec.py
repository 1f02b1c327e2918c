import pytest

from edge_node.drivers.modbus.address import Table
from edge_node.drivers.modbus.codec import (
    Answer,
    ProtocolError,
    RtuCodec,
    TcpCodec,
    describe_exception,
    mask_write_request,
    read_request,
    write_coil_request,
    write_registers_request,
)


@pytest.mark.parametrize(
    ("pdu", "wire"),
    [
        (read_request(Table.COIL, 19, 37), "01 00 13 00 25"),
        (read_request(Table.DISCRETE, 196, 22), "02 00 c4 00 16"),
        (read_request(Table.HOLDING, 107, 3), "03 00 6b 00 03"),
        (read_request(Table.INPUT, 8, 1), "04 00 08 00 01"),
        (write_coil_request(172, on=True), "05 00 ac ff 00"),
        (write_coil_request(172, on=False), "05 00 ac 00 00"),
        (write_registers_request(1, b"\0\3"), "06 00 01 00 03"),
        (write_registers_request(1, b"\0\3", single=False), "10 00 01 00 01 02 00 03"),
        (write_registers_request(1, b"\0\x0a\1\2"), "10 00 01 00 02 04 00 0a 01 02"),
        (mask_write_request(4, 8, 8), "16 00 04 ff f7 00 08"),
        (mask_write_request(4, 0xFF00, 0x1200), "16 00 04 00 ff 12 00"),
    ],
)
def test_requests_are_those_of_the_specification(pdu: bytes, wire: str) -> None:
    assert pdu == bytes.fromhex(wire)


def test_tcp_frames_carry_transaction_unit_and_length() -> None:
    framed = TcpCodec().frame(read_request(Table.HOLDING, 0, 1), unit_id=7, transaction_id=258)
    assert framed == bytes.fromhex("0102 0000 0006 07 03 0000 0001")


def test_a_reads_answer_keeps_its_bytes() -> None:
    wire = bytes.fromhex("0102 0000 0007 07 03 04 000a 0102")
    assert TcpCodec().feed(wire) == [Answer(0x0102, 7, 3, bytes.fromhex("000a 0102"), 0, 13)]


def test_answers_may_come_in_any_pieces() -> None:
    wire = bytes.fromhex("0001 0000 0005 07 03 02 000a") + bytes.fromhex(
        "0002 0000 0004 07 01 01 05"
    )
    codec = TcpCodec()
    answers = [answer for byte in wire for answer in codec.feed(bytes([byte]))]
    assert answers == [Answer(1, 7, 3, b"\0\x0a", 0, 11), Answer(2, 7, 1, b"\5", 0, 10)]
    assert TcpCodec().feed(wire) == answers


def test_exceptions_name_the_function_that_was_refused() -> None:
    (answer,) = TcpCodec().feed(bytes.fromhex("0001 0000 0003 07 83 02"))
    assert answer == Answer(1, 7, 3, b"", 2, 9)
    assert describe_exception(2) == "illegal data address (exception 2)"
    assert describe_exception(99) == "unknown exception (exception 99)"


def test_an_exception_without_a_reason_is_still_an_exception() -> None:
    (answer,) = TcpCodec().feed(bytes.fromhex("0001 0000 0003 07 83 00"))
    assert answer.exception != 0


@pytest.mark.parametrize(
    "wire",
    [
        "0001 0000 0006 01 05 00ac ff00",
        "0001 0000 0006 01 06 0001 0003",
        "0001 0000 0006 01 10 0001 0002",
        "0001 0000 0008 01 16 0004 00f2 0025",
    ],
)
def test_answers_to_writes_have_no_data(wire: str) -> None:
    (answer,) = TcpCodec().feed(bytes.fromhex(wire))
    assert (answer.function, answer.data, answer.exception) == (bytes.fromhex(wire)[7], b"", 0)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("0001 0007 0005 07 03 02 000a", "protocol id is 7, expected 0"),
        ("0001 0000 0001 07 03 02 000a", "frame length is 1, expected 3 to 254"),
        ("0001 0000 0fff 07 03 02 000a", "frame length is 4095, expected 3 to 254"),
        ("0001 0000 0005 07 03 09 000a", "answer 03 09 00 0a cannot be decoded"),
        ("0001 0000 0005 07 63 02 000a", "answer 63 02 00 0a cannot be decoded"),
        ("4854 5450 2f31 2e 31", "protocol id is 21584, expected 0"),
    ],
)
def test_bytes_that_are_not_modbus_end_the_connection(wire: str, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        TcpCodec().feed(bytes.fromhex(wire))


def test_cleared_codecs_forget_half_a_frame() -> None:
    codec = TcpCodec()
    assert codec.feed(bytes.fromhex("0001 0000 0005 07 03")) == []
    codec.clear()
    assert codec.feed(bytes.fromhex("0001 0000 0005 07 03 02 000a"))


def test_rtu_frames_end_with_their_crc() -> None:
    codec = RtuCodec()
    assert codec.frame(read_request(Table.HOLDING, 0, 2), 1, 0) == bytes.fromhex(
        "01 03 00 00 00 02 c4 0b"
    )
    wire = codec.frame(bytes.fromhex("03 04 00 06 00 05"), 1, 0)
    assert codec.feed(wire[:4]) == []
    assert codec.feed(wire[4:]) == [Answer(0, 1, 3, bytes.fromhex("0006 0005"), 0, 9)]


def test_rtu_frames_with_a_wrong_crc_are_dropped() -> None:
    codec = RtuCodec()
    assert codec.feed(bytes.fromhex("01 03 04 00 06 00 05 00 00")) == []
    assert codec.feed(codec.frame(bytes.fromhex("83 02"), 1, 0)) == [Answer(0, 1, 3, b"", 2, 5)]
