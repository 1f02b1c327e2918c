from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from edge_node import node_link
from edge_node.bd_seq import BdSeqFile
from edge_node.counters import Counters
from edge_node.errors import BrokerUnreachable
from edge_node.mqtt_socket import Endpoint
from edge_node.node_link import NodeLink
from edge_node.publisher import Publisher, PublisherOptions
from edge_node.uns import UnsMirror
from edge_node.uns_leftovers import Leftovers
from proto.control.node import NodeDocument
from proto.sparkplug.edge_session import EdgeSession
from proto.sparkplug.topics import NodeId
from tests.unit.edge_node.fakes import wall_ms

pytestmark = pytest.mark.trio

NODE = NodeId("g", "e")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """When which broker was tried; none of them is there."""
    tried: list[tuple[float, str]] = []

    async def connect(_nursery: trio.Nursery, endpoint: Endpoint, _will: object) -> None:
        tried.append((trio.current_time(), endpoint.host))
        await trio.lowlevel.checkpoint()
        raise BrokerUnreachable(f"{endpoint}: connection refused, nothing listens there")

    monkeypatch.setattr(node_link, "connect", connect)
    return tried


@pytest.fixture
def make_link(tmp_path: Path) -> Iterator[Callable[[list[str]], NodeLink]]:
    states: list[BdSeqFile] = []

    def make(hosts: list[str]) -> NodeLink:
        states.append(BdSeqFile(tmp_path / str(len(states)), NODE))
        document = NodeDocument.model_validate({"node": {"group": "g", "edge": "e"}})
        mirror = UnsMirror(document, {}, started_ms=0)
        publisher = Publisher(
            EdgeSession(NODE), mirror, Counters(), options=PublisherOptions(), now_ms=wall_ms
        )
        return NodeLink(
            [Endpoint(host, 1883, "x") for host in hosts],
            publisher,
            mirror,
            bd_seq=states[-1],
            counters=Counters(),
            on_write=lambda _: None,
            on_rejected=lambda _: None,
            on_message=lambda _: None,
            on_connected=lambda: None,
            leftovers=Leftovers(document),
        )

    yield make
    for state in states:
        state.close()


async def test_a_broker_that_is_away_for_a_day_is_tried_twice_a_minute(
    make_link: Callable[[list[str]], NodeLink],
    attempts: list[tuple[float, str]],
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    nursery.start_soon(make_link(["a"]).run)
    await trio.sleep(24 * 3600)
    assert 2 * 24 * 60 <= len(attempts) <= 4 * 24 * 60 + 10
    first = [at for at, _ in attempts[:6]]
    assert all(
        later - earlier <= bound
        for earlier, later, bound in zip(first, first[1:], (1, 2, 4, 8, 16), strict=False)
    )
    nursery.cancel_scope.cancel()


async def test_all_brokers_are_tried_in_their_order(
    make_link: Callable[[list[str]], NodeLink],
    attempts: list[tuple[float, str]],
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    nursery.start_soon(make_link(["a", "b", "c"]).run)
    await trio.sleep(0.9)
    assert [host for _, host in attempts[:3]] == ["a", "b", "c"]
    assert attempts[2][0] < 0.5
    nursery.cancel_scope.cancel()


async def test_many_nodes_that_start_together_connect_spread_over_the_start_delay(
    make_link: Callable[[list[str]], NodeLink],
    attempts: list[tuple[float, str]],
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    for number in range(40):
        link = make_link([str(number)])
        nursery.start_soon(link.run, 600.0)
    await trio.sleep(600)
    first: dict[str, float] = {}
    for at, host in attempts:
        first.setdefault(host, at)
    assert len(first) == 40
    assert min(first.values()) < 200
    assert max(first.values()) > 400
    nursery.cancel_scope.cancel()
