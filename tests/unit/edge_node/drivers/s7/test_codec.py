"""What goes over the wire, byte by byte, as the protocol's descriptions print it."""

import pytest

from edge_node.drivers.s7.address import Area
from edge_node.drivers.s7.codec import Granted, parse_setup, read_request, setup_request, variable
from edge_node.drivers.s7.transport import connect_request


@pytest.mark.parametrize(
    ("area", "block", "start", "size", "specification"),
    [
        (Area.DB, 1, 100, 4, "12 0a 10 02 00 04 00 01 84 00 03 20"),
        (Area.MEMORY, 0, 20, 2, "12 0a 10 02 00 02 00 00 83 00 00 a0"),
        (Area.INPUT, 0, 0, 1, "12 0a 10 02 00 01 00 00 81 00 00 00"),
        (Area.OUTPUT, 0, 1, 1, "12 0a 10 02 00 01 00 00 82 00 00 08"),
        (Area.PERIPHERAL_INPUT, 0, 256, 2, "12 0a 10 02 00 02 00 00 80 00 08 00"),
        (Area.PERIPHERAL_OUTPUT, 0, 256, 2, "12 0a 10 02 00 02 00 00 80 00 08 00"),
        (Area.TIMER, 0, 10, 4, "12 0a 10 1d 00 02 00 00 1d 00 00 05"),
        (Area.COUNTER, 0, 6, 2, "12 0a 10 1c 00 01 00 00 1c 00 00 03"),
    ],
)
def test_a_variable_is_named_by_area_block_and_bits(
    area: Area, block: int, start: int, size: int, specification: str
) -> None:
    assert variable(area, block, start, size) == bytes.fromhex(specification)


def test_a_read_request_is_framed() -> None:
    frame = read_request([variable(Area.DB, 1, 0, 2)], 7)
    assert frame == bytes.fromhex(
        "03 00 00 1f 02 f0 80 32 01 00 00 00 07 00 0e 00 00 04 01"
        " 12 0a 10 02 00 02 00 01 84 00 00 00"
    )


def test_a_connection_names_both_tsaps() -> None:
    assert connect_request(0x1000, 0x2000) == bytes.fromhex(
        "03 00 00 16 11 e0 00 00 00 01 00 c0 01 0a c1 02 10 00 c2 02 20 00"
    )


def test_size_and_number_of_messages_are_asked_for_and_granted() -> None:
    assert setup_request(960, 4)[-8:] == bytes.fromhex("f0 00 00 04 00 04 03 c0")
    answer = bytes.fromhex("32 03 00 00 00 00 00 08 00 00 00 00 f0 00 00 02 00 02 00 f0")
    assert parse_setup(answer) == Granted(240, 2)
