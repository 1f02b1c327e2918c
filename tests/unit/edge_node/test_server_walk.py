from edge_node.backoff import Backoff
from edge_node.server_walk import ServerWalk


def walk(count: int) -> ServerWalk:
    return ServerWalk(count, Backoff(1, 30, lambda _low, high: high))


def test_one_broker_is_tried_again_with_growing_delays() -> None:
    under_test = walk(1)
    assert [under_test.lost(0.1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert under_test.current == 0


def test_a_connection_that_lasted_makes_the_next_delay_short_again() -> None:
    under_test = walk(1)
    delays = [under_test.lost(0.1) for _ in range(4)]
    assert delays[-1] == 8
    assert under_test.lost(3600) == 1


def test_all_brokers_are_tried_before_anything_is_waited_for() -> None:
    under_test = walk(3)
    tried = []
    delays = []
    for _ in range(6):
        tried.append(under_test.current)
        delays.append(under_test.lost(0))
    assert tried == [0, 1, 2, 0, 1, 2]
    assert delays == [0.1, 0.1, 1, 0.1, 0.1, 2]


def test_on_one_broker_a_node_waits_for_its_host_as_long_as_it_takes() -> None:
    under_test = walk(1)
    assert under_test.look_s() is None
    assert not under_test.host_absent()


def test_on_several_brokers_it_walks_at_once_and_then_watches_each_for_a_while() -> None:
    under_test = walk(2)
    seen = []
    for _ in range(4):
        seen.append((under_test.current, under_test.look_s(), under_test.host_absent()))
        assert under_test.passed_on() < 0.5
    assert seen == [(0, 1.0, True), (1, 1.0, True), (0, 2.0, False), (1, 2.0, False)]
    under_test.born()
    assert under_test.host_absent()


def test_a_session_that_was_ended_goes_on_elsewhere() -> None:
    under_test = walk(3)
    assert under_test.left() < 0.5
    assert under_test.current == 1
