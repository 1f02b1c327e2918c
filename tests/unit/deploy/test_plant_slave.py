import pytest

from deploy.local.plant.generic import UNITS_PER_PORT, WaveUnit, place_of
from deploy.local.plant.loopback import MemoryUnit
from deploy.local.plant.slave import Slave


def ask(unit: MemoryUnit, pdu: str) -> str:
    request = bytes.fromhex(pdu)
    header = (1).to_bytes(2, "big") + b"\0\0" + (len(request) + 1).to_bytes(2, "big") + b"\x01"
    answer = Slave({1: unit}).receive(header + request)
    assert answer[:4] == header[:4]
    assert int.from_bytes(answer[4:6], "big") == len(answer) - 6
    return answer[7:].hex(" ")


def test_the_lean_server_answers_as_the_specification_says() -> None:
    unit = MemoryUnit(20)
    unit.registers[1:3] = [0x1234, 0xABCD]
    unit.coils[3] = True
    assert ask(unit, "03 0001 0002") == "03 04 12 34 ab cd"
    assert ask(unit, "04 0002 0001") == "04 02 ab cd"
    assert ask(unit, "01 0000 000a") == "01 02 08 00"
    assert ask(unit, "02 0003 0001") == "02 01 01"
    assert ask(unit, "05 0004 ff00") == "05 00 04 ff 00"
    assert ask(unit, "06 0005 0007") == "06 00 05 00 07"
    assert ask(unit, "0f 0000 000a 02 01 02") == "0f 00 00 00 0a"
    assert ask(unit, "10 0006 0002 04 0008 0009") == "10 00 06 00 02"
    assert ask(unit, "16 0001 f0ff 0a00") == "16 00 01 f0 ff 0a 00"
    assert unit.registers[5:8] == [7, 8, 9]
    assert unit.registers[1] == 0x1A34
    assert [i for i, on in enumerate(unit.coils) if on] == [0, 9]


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        ("2b 0e01 0000", "ab 01"),
        ("03 0013 0002", "83 02"),
        ("03 0000 007e", "83 03"),
        ("03 0000 0000", "83 03"),
        ("01 0000 07d1", "81 03"),
        ("03 00", "83 03"),
        ("05 0000 1234", "85 03"),
        ("0f 0000 000a 02 01", "8f 03"),
        ("10 0000 0002 04 0008", "90 03"),
        ("16 0013 00ff 00", "96 03"),
        ("16 0014 0000 0000", "96 02"),
    ],
)
def test_the_lean_server_refuses_with_the_right_exception(pdu: str, answer: str) -> None:
    assert ask(MemoryUnit(20), pdu) == answer


def test_requests_may_come_in_pieces_and_several_at_once() -> None:
    frame = bytes.fromhex("0001 0000 0006 01 03 0000 0001")
    slave = Slave({1: MemoryUnit()})
    answers = b"".join(slave.receive(bytes([byte])) for byte in frame + frame)
    assert answers == 2 * bytes.fromhex("0001 0000 0005 01 03 02 0000")
    assert Slave({1: MemoryUnit()}).receive(frame + frame) == answers


def test_absent_units_are_silent_or_spoken_for_by_a_gateway() -> None:
    frame = bytes.fromhex("0001 0000 0006 09 03 0000 0001")
    assert Slave({}).receive(frame) == bytes.fromhex("0001 0000 0003 09 83 0b")
    assert Slave({}, silent=True).receive(frame) == b""


def test_bytes_that_are_not_modbus_are_refused() -> None:
    with pytest.raises(ValueError, match="not Modbus TCP"):
        Slave({}).receive(b"GET / HTTP/1.1\r\n")


def test_generic_devices_fill_one_port_after_the_other() -> None:
    assert place_of(0) == (0, 1)
    assert place_of(UNITS_PER_PORT - 1) == (0, UNITS_PER_PORT)
    assert place_of(UNITS_PER_PORT) == (1, 1)


def test_waves_change_with_every_step_and_differ_between_neighbours() -> None:
    step = 0
    unit = WaveUnit(3, 200, lambda: step)
    first = unit.read(3, 0, 125)
    assert isinstance(first, bytes)
    step = 1
    second = unit.read(3, 0, 125)
    assert isinstance(second, bytes)
    changed = sum(first[i : i + 2] != second[i : i + 2] for i in range(0, 250, 2))
    assert changed > 110
    assert unit.read(3, 100, 101) == 2


def test_what_is_written_to_a_generic_device_stays() -> None:
    unit = WaveUnit(0, 10, lambda: 1000)
    assert unit.write(6, 4, b"\x12\x34\x56\x78") == 0
    data = unit.read(3, 3, 3)
    assert isinstance(data, bytes)
    assert data[2:] == b"\x12\x34\x56\x78"
    assert unit.write(5, 0, b"\1\0") == 0
    assert unit.read(1, 0, 2) == b"\1"
    assert unit.write(6, 10, b"\0\0") == 2
