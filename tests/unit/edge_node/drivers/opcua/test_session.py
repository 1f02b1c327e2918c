"""The watchdog, with a server that is all in the mind."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from asyncua import Client
from asyncua.ua import StatusCodes

from edge_node.drivers.base import DeviceUnreachable, NoAnswer
from edge_node.drivers.opcua.session import ServiceRefused, Session
from edge_node.drivers.opcua.wire import Sample
from edge_node.drivers.traffic import Traffic
from proto.control.opcua import OpcUaConnection


class SilentSession(Session):
    """A server that never answers a read, and may send data meanwhile."""

    def __init__(self, *, sends_data: bool) -> None:
        settings = OpcUaConnection(url="opc.tcp://plc:4840", watchdog_s=1.0)
        super().__init__(Client(settings.url), settings, Traffic())
        self.client.uaclient.protocol = object()
        self.facts.heard_at = time.monotonic() - 10
        self.probes = 0
        self._sends_data = sends_data

    async def read_values(self, *_: Any, **__: Any) -> list[Sample]:
        self.probes += 1
        await asyncio.sleep(0)
        if self._sends_data:
            self.facts.heard_at = time.monotonic()
        raise NoAnswer("opc.tcp://plc:4840 did not answer Read within 5 s")


def test_he_1303_data_that_come_while_the_server_is_asked_are_a_sign_of_life() -> None:
    session = SilentSession(sends_data=True)

    async def watch() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.watch(), 2.5)

    asyncio.run(watch())
    assert session.probes >= 1


def test_a_server_that_says_nothing_at_all_is_lost() -> None:
    session = SilentSession(sends_data=False)
    with pytest.raises(DeviceUnreachable, match="did not answer Read"):
        asyncio.run(asyncio.wait_for(session.watch(), 30))
    assert session.probes == 1


class StingySession(Session):
    """A server that answers at most three nodes a request and does not say so."""

    def __init__(self) -> None:
        settings = OpcUaConnection(url="opc.tcp://plc:4840")
        super().__init__(Client(settings.url), settings, Traffic())
        self.sizes: list[int] = []

    async def _read_batch(self, batch: Sequence[Any], attribute: int) -> list[Sample]:
        await asyncio.sleep(0)
        self.sizes.append(len(batch))
        if len(batch) > 3:
            raise ServiceRefused(StatusCodes.BadTooManyOperations)
        return [Sample((node, attribute), 6, 0, None, None) for node in batch]


def test_the_largest_request_that_a_server_answers_is_learned() -> None:
    session = StingySession()
    samples = asyncio.run(session.read_values(range(20)))
    assert [sample.value[0] for sample in samples] == list(range(20))
    assert session.sizes == [20, 10, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert session.limit("read") == 2
