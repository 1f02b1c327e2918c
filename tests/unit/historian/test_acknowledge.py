"""What is told to the edge nodes about their payloads."""

from historian.acknowledge import MOST_AT_ONCE, Acknowledgements, Receipt
from proto.sparkplug.topics import NodeId

A, B = NodeId("plant", "a"), NodeId("plant", "b")


def test_payloads_are_gathered_by_node_and_told_once() -> None:
    acknowledgements = Acknowledgements("h1")
    acknowledgements.add([Receipt(A, 1_000, 3), Receipt(B, 1_001, 7)])
    acknowledgements.add([Receipt(A, 1_002, 4)])
    messages = dict(acknowledgements.take(5_000))
    assert messages[A].payloads == ((1_000, 3), (1_002, 4))
    assert messages[B].payloads == ((1_001, 7),)
    assert (messages[A].timestamp_ms, messages[A].historian) == (5_000, "h1")
    assert acknowledgements.take(6_000) == []


def test_long_lists_are_split() -> None:
    acknowledgements = Acknowledgements("h1")
    acknowledgements.add(Receipt(A, number, number % 256) for number in range(MOST_AT_ONCE + 1))
    sizes = [len(message.payloads) for _, message in acknowledgements.take(0)]
    assert sizes == [MOST_AT_ONCE, 1]
