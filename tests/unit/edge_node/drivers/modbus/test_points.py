from typing import Any

import pytest

from edge_node.drivers.base import ConfigError, TagInfo
from edge_node.drivers.modbus.decode import BlockDecoder
from edge_node.drivers.modbus.encode import encode_registers
from edge_node.drivers.modbus.plan import Limits, plan_reads
from edge_node.drivers.modbus.points import compile_points
from proto.control.modbus import ModbusDevice
from proto.sparkplug.datatypes import DataType


def device(
    *tags: dict[str, Any], groups: list[str] | None = None, **connection: Any
) -> ModbusDevice:
    return ModbusDevice.model_validate(
        {
            "name": "press-1",
            "driver": "modbus",
            "connection": {"host": "plc", **connection},
            "poll_groups": [{"name": name} for name in groups or ["default"]],
            "tags": tags,
        }
    )


def test_every_mistake_is_told_at_once_with_its_tag() -> None:
    document = device(
        {"name": "temp", "address": "holding:70000", "datatype": "int16"},
        {"name": "good", "address": "holding:1", "datatype": "int16"},
        {"name": "flag", "address": "holding:1", "datatype": "bool"},
        {"name": "word", "address": "holding:1.3", "datatype": "int16"},
        {"name": "speed", "address": "coil:1", "datatype": "float32"},
        {"name": "tail", "address": "holding:65535", "datatype": "float32"},
        {"name": "sensor", "address": "input:1", "datatype": "int16", "writable": True},
        {"name": "text", "address": "holding:1", "datatype": "string", "length": 250},
        max_registers=100,
    )
    with pytest.raises(ConfigError) as caught:
        compile_points(document)
    assert list(caught.value.mistakes) == [
        "press-1 tag 'temp': address 70000 is above 65535",
        "press-1 tag 'flag': bool at holding:1 names no bit, expected for example holding:1.0",
        "press-1 tag 'word': datatype 'int16' at holding:1.3, expected bool for a register's bit",
        "press-1 tag 'speed': datatype 'float32' at coil:1, expected bool for a coil",
        "press-1 tag 'tail': float32 at holding:65535 ends at 65536, above 65535",
        "press-1 tag 'sensor': writable at input:1, expected a holding register or a coil",
        "press-1 tag 'text': takes 125 registers, the device reads at most 100 at once",
    ]


def test_reads_that_start_at_zero_reach_only_so_far() -> None:
    document = device(
        {"name": "a", "address": "holding:124", "datatype": "int16"},
        {"name": "b", "address": "holding:124", "datatype": "int32"},
        {"name": "c", "address": "coil:2000", "datatype": "bool"},
        reads_start_at_zero=True,
    )
    with pytest.raises(ConfigError) as caught:
        compile_points(document)
    assert list(caught.value.mistakes) == [
        "press-1 tag 'b': holding:124 ends at 125, reads that start at 0 reach 124",
        "press-1 tag 'c': coil:2000 ends at 2000, reads that start at 0 reach 1999",
    ]


def test_a_written_string_may_be_no_longer_than_one_write_request() -> None:
    document = device(
        {
            "name": "text",
            "address": "holding:0",
            "datatype": "string",
            "length": 250,
            "writable": True,
        }
    )
    with pytest.raises(ConfigError, match="takes 125 registers, at most 123 can be written"):
        compile_points(document)


def test_tags_go_to_their_poll_group_or_the_first_and_empty_groups_vanish() -> None:
    groups = compile_points(
        device(
            {"name": "a", "address": "coil:0", "datatype": "bool"},
            {"name": "b", "address": "coil:1", "datatype": "bool", "poll_group": "slow"},
            groups=["fast", "slow", "unused"],
        )
    )
    assert {name: [p.name for p in points] for name, points in groups.items()} == {
        "fast": ["a"],
        "slow": ["b"],
    }


def test_a_point_takes_the_devices_word_order_unless_it_has_its_own() -> None:
    points = compile_points(
        device(
            {"name": "a", "address": "holding:0", "datatype": "float32"},
            {"name": "b", "address": "holding:2", "datatype": "float32", "word_order": "big"},
            word_order="little",
        )
    )["default"]
    assert [p.word_order for p in points] == ["little", "big"]


def test_exchanged_bytes_are_read_and_written_as_they_lie() -> None:
    swapped: dict[str, Any] = {"swap_bytes": True, "writable": True}
    tags = [
        {"name": "word", "address": "holding:0", "datatype": "uint16", **swapped},
        {"name": "bit", "address": "holding:0.1", "datatype": "bool", **swapped},
        {"name": "wide", "address": "holding:1", "datatype": "uint32", **swapped},
        {"name": "odd", "address": "holding:3", "datatype": "uint32"}
        | swapped
        | {"word_order": "little"},
        {"name": "text", "address": "holding:5", "datatype": "string", "length": 4, **swapped},
    ]
    points = compile_points(device(*tags))["default"]
    (block,) = plan_reads(points, Limits())
    decoder = BlockDecoder(block, points)
    data = bytes.fromhex("0201 0b0a 0d0c 0d0c 0b0a") + b"baDc"
    values = dict(zip((points[i].name for i in decoder.order), decoder(data), strict=True))
    assert values == {
        "word": 0x0102,
        "bit": True,
        "wide": 0x0A0B0C0D,
        "odd": 0x0A0B0C0D,
        "text": "abcD",
    }
    written = [
        encode_registers(point, values[point.name]) for point in points if point.name != "bit"
    ]
    assert b"".join(written) == data


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"host": ""}, "host is missing, expected the name or address"),
        ({"serial_port": "/dev/ttyS0"}, "expected it with transport 'rtu' only"),
        ({"transport": "rtu"}, "serial_port is missing, expected the port of transport 'rtu'"),
        (
            {"transport": "rtu", "serial_port": "/dev/ttyS0"},
            "host is 'plc', transport 'rtu' has a serial_port only",
        ),
        ({"ca_file": "ca.pem"}, "ca_file, cert_file and key_file go with transport 'tls' only"),
        ({"transport": "tls", "cert_file": "c.pem"}, "cert_file and key_file go together"),
        (
            {"transport": "rtu-over-tcp", "unit_id": 248},
            "unit_id is 248, expected 1 to 247 with RTU frames, or 0 for all units at once",
        ),
        ({"transport": "rtu-over-tcp", "max_in_flight": 2}, "max_in_flight is 2, expected 1"),
    ],
)
def test_a_transport_has_what_it_needs_and_nothing_else(
    connection: dict[str, Any], message: str
) -> None:
    tag = {"name": "a", "address": "coil:0", "datatype": "bool"}
    with pytest.raises(ValueError, match=message):
        device(tag, **connection)


@pytest.mark.parametrize(
    ("datatype", "expected", "count"),
    [
        ("int8", DataType.INT8, 1),
        ("uint8", DataType.UINT8, 1),
        ("float16", DataType.FLOAT, 1),
        ("bcd64", DataType.UINT64, 4),
        ("int16", DataType.INT16, 1),
        ("uint16", DataType.UINT16, 1),
        ("bcd16", DataType.UINT16, 1),
        ("bcd32", DataType.UINT32, 2),
        ("int32", DataType.INT32, 2),
        ("uint32", DataType.UINT32, 2),
        ("int64", DataType.INT64, 4),
        ("uint64", DataType.UINT64, 4),
        ("float32", DataType.FLOAT, 2),
        ("float64", DataType.DOUBLE, 4),
    ],
)
def test_datatypes_have_their_width_and_sparkplug_type(
    datatype: str, expected: DataType, count: int
) -> None:
    (point,) = compile_points(device({"name": "a", "address": "input:0", "datatype": datatype}))[
        "default"
    ]
    assert point.info == TagInfo("a", expected)
    assert point.count == count


def test_a_string_takes_a_register_for_two_bytes() -> None:
    (point,) = compile_points(
        device({"name": "a", "address": "input:0", "datatype": "string", "length": 5})
    )["default"]
    assert (point.count, point.info.datatype) == (3, DataType.STRING)


def test_what_is_told_to_everyone_is_written_whole_and_never_read() -> None:
    document = device(
        {"name": "all", "address": "holding:1", "datatype": "int32", "writable": True},
        {"name": "read", "address": "holding:3", "datatype": "int16"},
        {"name": "bit", "address": "holding:4.1", "datatype": "bool", "writable": True},
        {"name": "half", "address": "holding:5", "datatype": "uint8", "writable": True},
        transport="rtu-over-tcp",
        unit_id=0,
    )
    with pytest.raises(ConfigError) as caught:
        compile_points(document)
    assert list(caught.value.mistakes) == [
        "press-1 tag 'read': is not writable, unit 0 is everyone on the line and answers nothing",
        (
            "press-1 tag 'bit': bool at holding:4.1 is part of a register, which would have to be"
            " read first; unit 0 answers nothing"
        ),
        (
            "press-1 tag 'half': uint8 at holding:5 is part of a register, which would have to be"
            " read first; unit 0 answers nothing"
        ),
    ]


def test_unit_0_is_a_unit_like_any_other_where_frames_are_no_rtu() -> None:
    document = device({"name": "a", "address": "holding:0", "datatype": "int16"}, unit_id=0)
    assert not document.connection.is_broadcast
    (point,) = compile_points(document)["default"]
    assert not point.write_only


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ({"datatype": "int16", "byte": "high"}, "byte is 'high' for datatype 'int16', expected it"),
        ({"datatype": "int16", "encoding": "utf-8"}, "encoding is 'utf-8' for datatype 'int16'"),
        ({"datatype": "int16", "write_only": True}, "expected writable = true with it"),
    ],
)
def test_settings_of_other_datatypes_are_refused(tag: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        device({"name": "a", "address": "holding:0"} | tag)


def test_what_is_only_written_is_not_read_back() -> None:
    tag = {"name": "a", "address": "holding:0", "datatype": "int16", "writable": True}
    with pytest.raises(ConfigError, match="what is only written cannot be read"):
        compile_points(device({**tag, "write_only": True, "read_back": True}))
