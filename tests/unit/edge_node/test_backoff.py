from edge_node.backoff import Backoff


def bounds(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next_delay_s() for _ in range(count)]


def test_delays_double_up_to_the_cap() -> None:
    assert bounds(Backoff(1, 60, lambda _low, high: high), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_delays_never_fall_below_half_of_their_bound() -> None:
    assert bounds(Backoff(1, 10, lambda low, _high: low), 5) == [0.5, 1, 2, 4, 5]


def test_a_success_starts_over() -> None:
    backoff = Backoff(1, 60, lambda _low, high: high)
    bounds(backoff, 5)
    backoff.reset()
    assert bounds(backoff, 2) == [1, 2]


def test_two_nodes_do_not_come_back_in_step() -> None:
    assert bounds(Backoff(1, 60), 10) != bounds(Backoff(1, 60), 10)
