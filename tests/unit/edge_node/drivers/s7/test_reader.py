"""What a CPU refuses is isolated, whether it refuses a variable or the whole request for one."""

from collections.abc import Sequence

import pytest

from edge_node.drivers.base import OpcQuality, Reason
from edge_node.drivers.s7.codec import ItemAnswer, Refused
from edge_node.drivers.s7.points import compile_points
from edge_node.drivers.s7.reader import FIRST_RETRY_S, Column, GroupReader
from proto.control.s7 import S7Device

pytestmark = pytest.mark.trio

PDU = 240
GRANTED = 0xFF
ADDRESS_ERROR = 0xD209
PUT_GET_OFF = 0x8104


class Whole:
    """A device that refuses a whole request for the sake of one variable, or for its size."""

    def __init__(self, bad: Sequence[int] = (), *, code: int = ADDRESS_ERROR) -> None:
        self.bad = set(bad)
        self.code = code
        self.most_items = 20
        self.refuses_all = False
        self.requests = 0

    async def ask(self, requests: Sequence[Sequence[bytes]]) -> list[list[ItemAnswer] | Refused]:
        self.requests += len(requests)
        return [self.answer(variables) for variables in requests]

    def answer(self, variables: Sequence[bytes]) -> list[ItemAnswer] | Refused:
        answers = []
        for spec in variables:
            size, start = int.from_bytes(spec[4:6]), int.from_bytes(spec[9:12]) >> 3
            if self.refuses_all or self.bad.intersection(range(start, start + size)):
                return Refused("refused", self.code)
            answers.append(ItemAnswer(GRANTED, bytes(size)))
        return answers if len(variables) <= self.most_items else Refused("too many", self.code)


def make_reader(words: Sequence[int]) -> GroupReader:
    """Return a reader of words at these bytes of DB1."""
    document = S7Device.model_validate(
        {
            "name": "cpu",
            "driver": "s7",
            "connection": {"host": "cpu"},
            "tags": [
                {"name": f"w{at}", "address": f"DB1.DBW{at}", "datatype": "int"} for at in words
            ],
        }
    )
    return GroupReader("cpu", compile_points(document)["default"], max_gap=16)


async def read(reader: GroupReader, device: Whole, now: float) -> Column:
    return await reader.read(device.ask, PDU, now)


@pytest.mark.parametrize("guilty", [[0], [62], [30], [0, 62], [10, 12, 40]])
async def test_an_address_that_has_whole_requests_refused_does_not_cost_its_neighbours(
    guilty: list[int],
) -> None:
    words = range(0, 64, 2)
    reader, device = make_reader(words), Whole(guilty)
    for column in [await read(reader, device, now) for now in (0.0, 1.0)]:
        assert {words[i] for i in column.bad} == set(guilty)
        assert all(value == 0 for i, value in enumerate(column.values) if i not in column.bad)
    column = await read(reader, device, 2.0)
    assert column.requests <= len(guilty) + 1
    assert {str(why) for why in column.bad.values()} == {f"DB1.DBW{at}: refused" for at in guilty}


async def test_what_had_whole_requests_refused_is_tried_again_alone_and_rarely() -> None:
    reader, device = make_reader(range(0, 64, 2)), Whole([10, 40])
    await read(reader, device, 0.0)
    device.bad = {40}
    device.requests = 0
    assert len((await read(reader, device, 1.0)).bad) == 2
    column = await read(reader, device, FIRST_RETRY_S)
    assert [str(why) for why in column.bad.values()] == ["DB1.DBW40: refused"]
    before = device.requests
    await read(reader, device, FIRST_RETRY_S + 1)  # what released one may have released all
    await read(reader, device, FIRST_RETRY_S + 2)
    assert device.requests <= before + 3
    device.bad.clear()
    assert not (await read(reader, device, 100.0)).bad


async def test_a_cpu_that_refuses_everything_keeps_its_plan_and_is_not_searched_each_poll() -> None:
    reader, device = make_reader(range(0, 640, 20)), Whole()
    granted = (await read(reader, device, 0.0)).requests
    device.refuses_all = True
    assert (await read(reader, device, 1.0)).requests > granted
    column = await read(reader, device, 2.0)
    assert column.requests == granted
    assert len(column.bad) == 32
    device.refuses_all = False
    assert not (await read(reader, device, 3.0)).bad


async def test_a_cpu_that_refuses_this_client_is_not_searched_at_all() -> None:
    reader, device = make_reader(range(0, 640, 20)), Whole(code=PUT_GET_OFF)
    granted = (await read(reader, device, 0.0)).requests
    device.refuses_all = True
    column = await read(reader, device, 1.0)
    assert column.requests == granted
    assert {why.quality for why in column.bad.values() if isinstance(why, Reason)} == {
        OpcQuality.CONFIG_ERROR
    }


async def test_a_gap_that_has_whole_requests_refused_is_read_around() -> None:
    reader, device = make_reader([0, 2, 10, 12]), Whole([6])
    for now in (0.0, 1.0):
        column = await read(reader, device, now)
        assert not column.bad
        assert column.values == [0, 0, 0, 0]
    assert not reader.quarantined


async def test_a_device_that_takes_fewer_variables_at_once_is_asked_for_fewer() -> None:
    reader, device = make_reader(range(0, 1000, 50)), Whole()
    device.most_items = 6
    for now in (0.0, 1.0, 2.0):
        await read(reader, device, now)
    assert not (await read(reader, device, 3.0)).bad
    assert not reader.quarantined
