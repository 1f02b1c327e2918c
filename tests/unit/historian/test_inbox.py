"""The bounded queue between broker and decoding."""

import pytest

from historian.inbox import Inbox, Message

NODE = "spBv1.0/plant/{}/line-1"
DEVICE = "spBv1.0/plant/{}/line-1/filler"


def put_all(inbox: Inbox, *types: str) -> list[Message]:
    dropped = []
    for number, message_type in enumerate(types):
        topic = (DEVICE if message_type.startswith("D") else NODE).format(message_type)
        dropped += inbox.put(topic, bytes([number]) * 100, number)
    return dropped


def types_of(messages: list[Message]) -> list[str]:
    return [m.topic.message_type.value if m.topic else "gap" for m in messages]


def test_messages_come_out_in_order() -> None:
    inbox = Inbox(1_000_000)
    put_all(inbox, "NBIRTH", "DBIRTH", "DDATA", "NDATA", "DDEATH", "NDEATH")
    assert types_of(inbox.take(4, 2**20)) == ["NBIRTH", "DBIRTH", "DDATA", "NDATA"]
    assert types_of(inbox.take(4, 2**20)) == ["DDEATH", "NDEATH"]
    assert inbox.size == 0
    assert len(inbox) == 0


def test_a_slice_ends_with_the_message_that_reaches_its_bytes() -> None:
    inbox = Inbox(1_000_000)
    put_all(inbox, "NBIRTH", "NDATA", "NDATA", "NDATA")
    assert types_of(inbox.take(10, 301)) == ["NBIRTH", "NDATA"]
    assert types_of(inbox.take(10, 1)) == ["NDATA"]


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/STATE/host",
        "spBv1.0/plant/NCMD/line-1",
        "spBv1.0/plant/DCMD/line-1/filler",
        "spBv1.0/plant",
        "other/plant/NDATA/line-1",
        "spBv1.0/plant/NDATA/line-1/filler",
        "",
    ],
)
def test_what_is_not_to_be_stored_is_left_out(topic: str) -> None:
    inbox = Inbox(1_000_000)
    assert inbox.put(topic, b"x", 0) == []
    assert len(inbox) == 0


def test_oldest_data_makes_room_and_births_stay() -> None:
    inbox = Inbox(700)
    dropped = put_all(inbox, "NBIRTH", "DBIRTH", "DDATA", "DDATA", "DDATA")
    assert types_of(dropped) == ["DDATA", "DDATA"]
    assert [message.received_ms for message in dropped] == [2, 3]
    taken = inbox.take(10, 2**20)
    assert types_of(taken) == ["NBIRTH", "DBIRTH", "DDATA"]
    assert inbox.size == 0


def test_messages_behind_a_loss_are_marked_until_nothing_is_missing() -> None:
    inbox = Inbox(700)
    put_all(inbox, "NBIRTH", "DBIRTH", "DDATA", "DDATA", "DDATA")
    assert [message.follows_loss for message in inbox.take(10, 2**20)] == [True, True, True]
    put_all(inbox, "DDATA", "DDATA")
    assert [message.follows_loss for message in inbox.take(10, 2**20)] == [False, False]


def test_birth_that_a_newer_one_supersedes_is_dropped_too() -> None:
    inbox = Inbox(500)
    dropped = put_all(inbox, "NBIRTH", "DBIRTH", "NBIRTH", "DDATA", "DDATA")
    assert types_of(dropped) == ["NBIRTH", "DBIRTH", "DDATA"]
    assert types_of(inbox.take(10, 2**20)) == ["NBIRTH", "DDATA"]
    assert inbox.size == 0


def test_gap_mark_makes_births_before_it_worthless() -> None:
    inbox = Inbox(500)
    put_all(inbox, "NBIRTH", "DBIRTH")
    inbox.mark_gap(9)
    dropped = put_all(inbox, "DDATA", "DDATA", "DDATA")
    assert types_of(dropped)[:2] == ["NBIRTH", "DBIRTH"]
    assert types_of(inbox.take(10, 2**20))[0] == "gap"
