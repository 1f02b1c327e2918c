"""The S7 driver against python-snap7's own server, over real sockets."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from snap7.type import SrvArea

from deploy.local.plant.s7_server import S7Server
from edge_node.drivers.base import (
    DeviceUnreachable,
    DriverError,
    PollResult,
    RawValue,
    RequestRejected,
)
from edge_node.drivers.s7.driver import S7Driver
from proto.control.s7 import S7Device

pytestmark = pytest.mark.trio


class Cpu:
    """A CPU with DB1 (200 bytes), DB2 (600 bytes), M, I, T and C."""

    def __init__(self) -> None:
        self.server = S7Server(log=False)
        self.db1 = bytearray(200)
        self.db2 = bytearray(600)
        self.memory = bytearray(64)
        self.inputs = bytearray(16)
        self.timers = bytearray(b"\x01\x23" * 8)
        self.server.register_area(SrvArea.DB, 1, self.db1)
        self.server.register_area(SrvArea.DB, 2, self.db2)
        self.server.register_area(SrvArea.MK, 0, self.memory)
        self.server.register_area(SrvArea.PE, 0, self.inputs)
        self.server.register_area(SrvArea.TM, 0, self.timers)
        self.server.register_area(SrvArea.CT, 0, bytearray(b"\x00\x42" * 8))
        self.port = self.server.listen("127.0.0.1", 0)

    def driver(self, *tags: dict[str, Any], **connection: Any) -> S7Driver:
        return make_driver(self.port, *tags, **connection)


def make_driver(port: int, *tags: dict[str, Any], **connection: Any) -> S7Driver:
    return S7Driver(
        S7Device.model_validate(
            {
                "name": "Mixer",
                "driver": "s7",
                "connection": {"host": "127.0.0.1", "port": port, **connection},
                "tags": [{"name": tag["address"], **tag} for tag in tags],
            }
        )
    )


@pytest.fixture
def cpu() -> Iterator[Cpu]:
    one = Cpu()
    yield one
    one.server.stop()


async def poll(driver: S7Driver) -> PollResult:
    await driver.open()
    try:
        return await driver.read("default")
    finally:
        await driver.aclose()


async def test_every_area_is_read_in_one_request(cpu: Cpu) -> None:
    struct.pack_into(">fh", cpu.db1, 0, 1.5, -3)
    cpu.db1[100] = 0b100
    cpu.memory[20:22] = b"\x12\x34"
    cpu.inputs[1] = 1
    result = await poll(
        cpu.driver(
            {"address": "DB1.DBD0", "datatype": "real"},
            {"address": "DB1.DBW4", "datatype": "int"},
            {"address": "DB1.DBX100.2"},
            {"address": "MW20", "datatype": "word"},
            {"address": "I1.0"},
            {"address": "T3"},
            {"address": "C3"},
        )
    )
    assert result.values == [1.5, -3, True, 0x1234, True, 1230, 42]
    assert not result.bad
    assert result.requests == 1


async def test_arrays_are_read_and_written_as_one_value(cpu: Cpu) -> None:
    struct.pack_into(">4f", cpu.db2, 0, 1, 2, 3, 4)
    cpu.db2[20:22] = b"\x81\x03"
    cpu.db2[22:34] = b"\x03\x02ab-\0\x03\x01c--\0"
    driver = cpu.driver(
        {"address": "DB2.DBD0:REAL[4]", "writable": True},
        {"address": "DB2.DBX20.0[10]", "writable": True},
        {"address": "DB2.DBB22:STRING[3][2]", "writable": True},
        {"address": "DB2.DBW40:ARRAY[0..199] OF INT", "writable": True},
        {"address": "T0", "count": 2},
        pdu_length=240,
    )
    await driver.open()
    first = await driver.read("default")
    assert first.values[:3] == [[1, 2, 3, 4], [True, *[False] * 6, True, True, True], ["ab", "c"]]
    assert first.values[3:] == [[0] * 200, [1230, 1230]]
    assert first.requests == 3
    written: dict[str, RawValue] = {
        "DB2.DBD0:REAL[4]": [0.5, 1.5, 2.5, 3.5],
        "DB2.DBX20.0[10]": [False, True] * 5,
        "DB2.DBB22:STRING[3][2]": ["xyz", ""],
        "DB2.DBW40:ARRAY[0..199] OF INT": list(range(200)),
    }
    cpu.db2[21] |= 0x80
    for tag, value in written.items():
        await driver.write(tag, value)
    assert (await driver.read("default")).values[:4] == list(written.values())
    assert cpu.db2[21] == 0x82, "the bits after the array are not its own"
    assert cpu.db2[22] == 3, "the declared length is left as it was"
    with pytest.raises(RequestRejected, match=r"expected a list of 4"):
        await driver.write("DB2.DBD0:REAL[4]", [1.0])
    await driver.aclose()


async def test_more_than_twenty_scattered_variables_take_more_requests(cpu: Cpu) -> None:
    tags = [{"address": f"DB2.DBW{24 * i}", "datatype": "int"} for i in range(25)]
    result = await poll(cpu.driver(*tags, max_gap=0))
    assert result.values == [0] * 25
    assert result.requests == 2


async def test_a_string_longer_than_a_message_is_read_in_pieces(cpu: Cpu) -> None:
    text = "x" * 250
    cpu.db2[100:352] = bytes([254, 250]) + text.encode()
    result = await poll(cpu.driver({"address": "DB2.DBB100", "datatype": "string"}, pdu_length=240))
    assert result.values == [text]
    assert result.requests == 2


async def test_a_bad_address_costs_its_tag_and_never_its_neighbours(cpu: Cpu) -> None:
    struct.pack_into(">hh", cpu.db1, 194, 7, 8)
    driver = cpu.driver(
        {"address": "DB1.DBW194", "datatype": "int"},
        {"address": "DB1.DBW196", "datatype": "int"},
        {"address": "DB1.DBD200", "datatype": "real"},
        {"address": "DB9.DBW0", "datatype": "int"},
        {"address": "MW62", "datatype": "int"},
        {"address": "MW64", "datatype": "int"},
        {"address": "T8"},
        {"address": "QW0", "datatype": "int"},
    )
    await driver.open()
    first = await driver.read("default")
    second = await driver.read("default")
    await driver.aclose()
    for result in (first, second):
        assert result.values == [7, 8, None, None, 0, None, None, None]
        assert set(result.bad) == {2, 3, 5, 6, 7}
        assert "DB1.DBD200: invalid address (code 0x05): it ends before" in result.bad[2]
        assert "DB9.DBW0: object does not exist (code 0x0a)" in result.bad[3]
        assert "optimized block" in result.bad[3]
        assert result.bad[5].endswith(
            "MW64: invalid address (code 0x05): the CPU has fewer of them"
        )
        assert "T8: invalid address (code 0x05): S7-1200 and S7-1500 show no T" in result.bad[6]
        assert "QW0: object does not exist (code 0x0a): this CPU has none" in result.bad[7]
    assert second.requests == 1


async def test_a_quarantined_tag_is_tried_again_rarely_and_comes_back(cpu: Cpu) -> None:
    driver = cpu.driver({"address": "DB9.DBW0", "datatype": "int"})
    await driver.open()
    reader = driver._readers["default"]
    polls = [await reader.read(driver._ask, 480, now) for now in (0, 1, 11, 12, 30)]
    assert [poll.requests for poll in polls] == [1, 0, 1, 0, 0]
    assert all("DB9.DBW0" in poll.bad[0] for poll in polls)
    cpu.server.register_area(SrvArea.DB, 9, bytearray(b"\x00\x05"))
    column = await reader.read(driver._ask, 480, 40)
    await driver.aclose()
    assert column.values == [5]
    assert not column.bad


async def test_a_cpu_that_is_connected_again_may_have_what_it_had_not(cpu: Cpu) -> None:
    driver = cpu.driver({"address": "DB9.DBW0", "datatype": "int"})
    assert "DB9.DBW0" in (await poll(driver)).bad[0]
    cpu.server.register_area(SrvArea.DB, 9, bytearray(b"\x00\x05"))
    assert (await poll(driver)).values == [5]


@pytest.mark.parametrize(
    ("tag", "value", "data"),
    [
        ({"address": "DB1.DBD8", "datatype": "real"}, 2.5, "40 20 00 00"),
        ({"address": "DB1.DBW8", "datatype": "int"}, -2, "ff fe 00 00"),
        ({"address": "DB1.DBX8.3"}, True, "08 00 00 00"),
        ({"address": "DB1.S8.2"}, "ab", "00 02 61 62"),
    ],
)
async def test_a_write_changes_its_own_bytes_only(
    cpu: Cpu, tag: dict[str, Any], value: Any, data: str
) -> None:
    driver = cpu.driver({**tag, "writable": True})
    await driver.open()
    await driver.write(tag["address"], value)
    await driver.aclose()
    assert cpu.db1 == bytes(8) + bytes.fromhex(data) + bytes(188)


async def test_a_bit_is_written_without_its_byte(cpu: Cpu) -> None:
    cpu.memory[5] = 0b1010_0101
    driver = cpu.driver({"address": "M5.2", "writable": True})
    await driver.open()
    await driver.write("M5.2", value=False)
    await driver.aclose()
    assert cpu.memory[5] == 0b1010_0001


async def test_a_write_that_cannot_be_is_refused_with_the_reason(cpu: Cpu) -> None:
    driver = cpu.driver(
        {"address": "DB1.DBW8", "datatype": "int", "writable": True},
        {"address": "DB9.DBW8", "datatype": "int", "writable": True},
        {"address": "DB1.DBW0", "datatype": "int"},
        {"address": "DB2.DBB0", "datatype": "string", "writable": True},
        pdu_length=240,
    )
    await driver.open()
    refused: list[tuple[str, RawValue, str]] = [
        ("DB1.DBW8", 40_000, "expected -32768 to 32767 for int"),
        ("DB9.DBW8", 1, "writing 1 to DB9.DBW8 was refused"),
        ("DB1.DBW0", 1, "is not writable"),
        ("DB2.DBB0", "x" * 255, "expected at most 254 characters"),
        ("nothing", 1, "has no tag"),
    ]
    for tag, value, reason in refused:
        with pytest.raises(RequestRejected, match="Mixer") as caught:
            await driver.write(tag, value)
        assert reason in str(caught.value)
    await driver.aclose()


async def test_a_string_longer_than_a_message_is_written_in_pieces(cpu: Cpu) -> None:
    driver = cpu.driver(
        {"address": "DB2.DBB100", "datatype": "string", "writable": True}, pdu_length=240
    )
    cpu.db2[100] = 254
    await driver.open()
    await driver.write("DB2.DBB100", "xy" * 125)
    await driver.aclose()
    assert cpu.db2[100:352] == b"\xfe\xfa" + b"xy" * 125


async def test_a_cpu_that_goes_away_is_unreachable_and_comes_back(cpu: Cpu) -> None:
    driver = cpu.driver({"address": "MW0", "datatype": "int"})
    with pytest.raises(DeviceUnreachable, match="not connected"):
        await driver.read("default")
    await driver.open()
    assert (await driver.read("default")).values == [0]
    driver._link._stream._socket.shutdown(trio.socket.SHUT_RDWR)  # type: ignore[union-attr]
    with pytest.raises(DeviceUnreachable, match="closed the connection"):
        await driver.read("default")
    assert (await poll(driver)).values == [0]
    await driver.aclose()


async def test_nothing_listening_is_told_as_the_system_says_it() -> None:
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener[0].socket.getsockname()[1]
    await listener[0].aclose()
    with pytest.raises(DeviceUnreachable, match="cannot be reached: Connection refused"):
        await make_driver(port, {"address": "M0.0"}).open()


CONFIRM = bytes.fromhex("03 00 00 0b 06 d0 00 01 00 01 00")
REFUSE = bytes.fromhex("03 00 00 0b 06 80 00 01 00 00 00")
SETUP = bytes.fromhex(
    "03 00 00 1b 02 f0 80 32 03 00 00 00 01 00 08 00 00 00 00 f0 00 00 01 00 01 00 f0"
)
FORBIDDEN = bytes.fromhex("03 00 00 13 02 f0 80 32 02 00 00 00 01 00 00 00 00 81 04")
PROTECTED = bytes.fromhex(
    "03 00 00 19 02 f0 80 32 03 00 00 00 01 00 02 00 04 00 00 04 01 03 00 00 04"
)


async def run_against(
    answers: list[bytes | None], act: Callable[[S7Driver], Any], **connection: Any
) -> Any:
    """Serve one client the given answers, one a request; ``None`` hangs up."""

    async def serve(stream: trio.SocketStream) -> None:
        for answer in answers:
            await stream.receive_some(4096)
            if answer is None:
                await stream.aclose()
                return
            await stream.send_all(answer)
        await stream.receive_some(4096)
        await trio.sleep_forever()

    outcome: Any = None
    failure: DriverError | None = None
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        driver = make_driver(
            listener.socket.getsockname()[1],
            {"address": "M0.0", "writable": True},
            check_state=False,
            **connection,
        )
        try:
            outcome = await act(driver)
        except DriverError as exc:  # raised outside, where no nursery wraps it
            failure = exc
        await driver.aclose()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return outcome


@pytest.mark.parametrize("answer", [REFUSE, None])
async def test_a_wrong_slot_is_told_as_such(answer: bytes | None) -> None:
    with pytest.raises(DeviceUnreachable, match="refuses the connection to rack 0 slot 2") as one:
        await run_against([answer], S7Driver.open, slot=2)
    assert "wrong rack, slot or TSAP, or no connection is free" in str(one.value)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (0x01, "slot 2: no connection is free in the CPU: close others, or try another"),
        (0x81, "slot 2: no connection is free in the CPU"),
        (0x02, "slot 2: wrong rack, slot or TSAP$"),
        (0x03, "slot 2: wrong rack, slot or TSAP$"),
    ],
)
async def test_a_cpu_that_says_why_it_refuses_a_connection_is_believed(
    reason: int, message: str
) -> None:
    with pytest.raises(DeviceUnreachable, match=message):
        await run_against([REFUSE[:-1] + bytes([reason])], S7Driver.open, slot=2)


async def test_put_get_switched_off_is_told_as_such() -> None:
    result = await run_against([CONFIRM, SETUP, FORBIDDEN], poll)
    assert result.values == [None]
    assert "allow PUT/GET communication in the CPU's protection settings" in result.bad[0]


async def test_a_protected_variable_is_told_as_such() -> None:
    result = await run_against([CONFIRM, SETUP, PROTECTED], poll)
    assert "not allowed (code 0x03): allow PUT/GET" in result.bad[0]


async def test_a_refused_write_tells_the_reason() -> None:
    async def write(driver: S7Driver) -> None:
        await driver.open()
        await driver.write("M0.0", value=True)

    with pytest.raises(RequestRejected, match="allow PUT/GET"):
        await run_against([CONFIRM, SETUP, FORBIDDEN], write)


async def test_no_answer_in_time_throws_the_connection_away() -> None:
    async def read_twice(driver: S7Driver) -> None:
        await driver.open()
        with pytest.raises(DeviceUnreachable, match=r"did not answer within 0\.05 s"):
            await driver.read("default")
        with pytest.raises(DeviceUnreachable, match="not connected"):
            await driver.read("default")

    await run_against([CONFIRM, SETUP], read_twice, timeout_s=0.05)


async def test_a_late_answer_is_never_taken_for_another() -> None:
    stale = bytearray(PROTECTED)
    stale[12] = 9
    result = await run_against([CONFIRM, SETUP, bytes(stale) + PROTECTED], poll)
    assert "code 0x03" in result.bad[0]


async def test_another_protocol_is_told_as_such() -> None:
    with pytest.raises(DeviceUnreachable, match="does not speak S7: frame begins 48 54 54 50"):
        await run_against([b"HTTP/1.1 400 Bad Request"], S7Driver.open)
