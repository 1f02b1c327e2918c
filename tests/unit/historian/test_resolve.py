"""Sessions: what may be attributed to which metric, and when."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from historian.absences import Sight
from historian.catalogue import MetricKey
from historian.inbox import Message
from historian.resolve import Path, Release, ResolveOptions, Resolver
from proto.sparkplug.codec import Metric, Payload, encode_payload, parse
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.topics import MessageType, NodeId, Topic

NODE = NodeId("plant", "line-1")


class Ids(dict[MetricKey, int]):
    """Gives every metric an id when it is first asked for."""

    def get(self, key: MetricKey, default: object = None) -> int:
        del default
        return self.setdefault(key, len(self) + 1)


class Wire:
    """A node's side of the conversation, and what the resolver makes of it."""

    def __init__(self, options: ResolveOptions | None = None) -> None:
        self.ids = Ids()
        self.resolver = Resolver(self.ids, options)
        self.seq = 0
        self.now_ms = 1_000_000

    def send(
        self,
        kind: MessageType,
        aliases: Mapping[int, str] | None = None,
        device: str | None = None,
        *,
        seq: int | None = None,
        bd_seq: int | None = None,
        follows_loss: bool = False,
    ) -> list[Release]:
        births = kind in {MessageType.NBIRTH, MessageType.DBIRTH}
        metrics = [
            Metric(name if births else None, DataType.DOUBLE, 1.0, self.now_ms, alias=alias)
            for alias, name in (aliases or {}).items()
        ]
        if bd_seq is not None:
            metrics.append(Metric("bdSeq", DataType.INT64, bd_seq, self.now_ms))
        if kind is MessageType.NBIRTH:
            self.seq = 0
        number = self.seq if seq is None else seq
        with_seq = None if kind is MessageType.NDEATH else number
        data = encode_payload(Payload(self.now_ms, with_seq, tuple(metrics)))
        self.seq = (number + 1) % 256
        message = Message(Topic(kind, NODE, device), data, self.now_ms, follows_loss)
        return self.resolver.receive(message, parse(data))

    def birth(self, aliases: Mapping[int, str], device: str = "filler", bd_seq: int = 0) -> None:
        self.send(MessageType.NBIRTH, bd_seq=bd_seq)
        self.send(MessageType.DBIRTH, aliases, device)

    def data(
        self, device: str = "filler", *, seq: int | None = None, follows_loss: bool = False
    ) -> list[Release]:
        return self.send(MessageType.DDATA, {1: ""}, device, seq=seq, follows_loss=follows_loss)

    def kinds(self) -> list[str]:
        return [note.kind for note in self.resolver.notes]


def metric_of_alias_1(release: Release) -> int:
    (slot,) = release.table.find_slots(np.array([1]))
    assert release.table.by_alias[1] == slot
    return int(release.table.metric_id[slot])


def names(wire: Wire, releases: list[Release]) -> list[str]:
    """Of each release: the name that alias 1 stands for."""
    by_id = {metric_id: key.name for key, metric_id in wire.ids.items()}
    return [by_id[metric_of_alias_1(release)] for release in releases]


def test_data_after_its_birth_is_live() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    (release,) = wire.data()
    assert release.path is Path.LIVE
    assert names(wire, [release]) == ["level"]
    assert wire.resolver.rebirths == []


def test_data_before_birth_waits_and_asks_once() -> None:
    wire = Wire()
    assert wire.data() == []
    assert wire.data() == []
    assert wire.resolver.rebirths == [NODE]
    released = wire.send(MessageType.NBIRTH, bd_seq=0)
    assert [release.path for release in released] == [Path.BIRTH]
    released = wire.send(MessageType.DBIRTH, {1: "level"}, "filler")
    assert [release.path for release in released] == [Path.BIRTH, Path.LATE, Path.LATE]
    assert wire.resolver.held_bytes == 0


def test_rebirth_requests_become_rarer_while_no_birth_comes() -> None:
    wire = Wire()
    asked = []
    for _ in range(120):
        wire.data()
        wire.resolver.tick(wire.now_ms)
        asked += [wire.now_ms] * len(wire.resolver.rebirths)
        wire.resolver.rebirths.clear()
        wire.now_ms += 1_000
    pauses = [b - a for a, b in pairwise(asked)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 5_000
    assert len(asked) == 5


def test_waiting_ends_with_its_time_and_is_told() -> None:
    wire = Wire(ResolveOptions(hold_ms=10_000))
    wire.data()
    wire.resolver.tick(wire.now_ms + 10_000)
    assert len(wire.resolver.dropped) == 1
    assert wire.resolver.held_bytes == 0


def test_waiting_is_bounded_in_bytes() -> None:
    wire = Wire(ResolveOptions(max_held_bytes=2_000))
    for _ in range(100):
        wire.data()
    assert wire.resolver.held_bytes <= 2_000
    assert len(wire.resolver.dropped) > 80


def test_death_ends_the_session_and_what_waits_with_it() -> None:
    wire = Wire()
    wire.data()
    wire.send(MessageType.NDEATH, bd_seq=0)
    assert len(wire.resolver.dropped) == 1
    wire.birth({1: "speed"}, bd_seq=1)
    assert names(wire, wire.data()) == ["speed"]


def test_will_of_an_earlier_connection_is_ignored() -> None:
    wire = Wire()
    wire.birth({1: "level"}, bd_seq=7)
    seq = wire.seq
    wire.send(MessageType.NDEATH, bd_seq=6)
    assert names(wire, wire.data(seq=seq)) == ["level"]
    assert "node_death" not in wire.kinds()


def test_node_birth_ends_what_devices_said_before() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    wire.send(MessageType.NBIRTH, bd_seq=1)
    assert wire.data() == []
    released = wire.send(MessageType.DBIRTH, {1: "speed"}, "filler", seq=2)
    assert names(wire, released) == ["speed", "speed"]


def test_device_death_ends_its_aliases() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    wire.send(MessageType.DDEATH, device="filler")
    assert wire.data() == []
    assert wire.resolver.rebirths == [NODE]


def test_messages_out_of_order_are_put_in_order() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    assert wire.data(seq=4) == []
    assert wire.data(seq=3) == []
    released = wire.data(seq=2)
    seqs = [parse(release.message.data).seq for release in released]
    assert seqs == [2, 3, 4]
    assert wire.resolver.rebirths == []


def test_gap_that_does_not_close_asks_for_a_rebirth_and_trusts_no_alias() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    assert wire.data(seq=9) == []
    wire.now_ms += 1_000
    wire.resolver.tick(wire.now_ms)
    assert wire.resolver.rebirths == [NODE]
    assert "gap" in wire.kinds()
    wire.send(MessageType.NBIRTH, bd_seq=0)
    released = wire.send(MessageType.DBIRTH, {1: "speed"}, "filler")
    assert [release.path for release in released] == [Path.BIRTH, Path.LATE]


def test_what_waited_for_another_session_is_dropped() -> None:
    wire = Wire()
    wire.birth({1: "level"}, bd_seq=0)
    wire.data(seq=9)
    wire.birth({1: "speed"}, bd_seq=1)
    assert len(wire.resolver.dropped) == 1


def test_node_that_never_counts_right_is_believed_without() -> None:
    wire = Wire()
    for _ in range(3):
        wire.birth({1: "level"})
        wire.data(seq=77)
        wire.now_ms += 400_000
        wire.resolver.tick(wire.now_ms)
    assert "sequence_ignored" in wire.kinds()
    wire.birth({1: "level"})
    assert names(wire, wire.data(seq=5)) == ["level"]
    assert names(wire, wire.data(seq=5)) == ["level"]


def test_own_losses_are_no_gap() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    assert names(wire, wire.data(seq=50, follows_loss=True)) == ["level"]
    assert names(wire, wire.data()) == ["level"]


def test_lost_connection_makes_all_births_void() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    wire.resolver.lose_connection()
    assert wire.data() == []
    assert wire.resolver.rebirths == [NODE]


def test_device_birth_without_node_birth_is_stored_and_not_relied_on() -> None:
    wire = Wire()
    (release,) = wire.send(MessageType.DBIRTH, {1: "level"}, "filler")
    assert release.path is Path.BIRTH
    assert wire.data() == []


def test_alias_that_stands_for_two_names_stands_for_none() -> None:
    wire = Wire()
    wire.send(MessageType.NBIRTH, bd_seq=0)
    metrics = tuple(
        Metric(name, DataType.DOUBLE, 1.0, wire.now_ms, alias=0) for name in ("level", "speed")
    )
    data = encode_payload(Payload(wire.now_ms, 1, metrics))
    message = Message(Topic(MessageType.DBIRTH, NODE, "filler"), data, wire.now_ms)
    (release,) = wire.resolver.receive(message, parse(data))
    assert release.table.by_alias == {}
    assert set(release.table.by_name) == {"level", "speed"}


def test_unknown_alias_waits_for_the_next_birth() -> None:
    wire = Wire()
    wire.birth({2: "level"})
    (release,) = wire.data()
    wire.resolver.hold_unknown(release)
    assert wire.resolver.rebirths == [NODE]
    wire.send(MessageType.NBIRTH, bd_seq=0)
    released = wire.send(MessageType.DBIRTH, {1: "speed", 2: "level"}, "filler")
    assert names(wire, released) == ["speed", "speed"]


def test_nodes_do_not_share_anything() -> None:
    tables: dict[str, list[int]] = defaultdict(list)
    ids = Ids()
    resolver = Resolver(ids)
    for edge in ("a", "b"):
        metrics = (Metric("level", DataType.DOUBLE, 1.0, 1, alias=1),)
        data = encode_payload(Payload(1, 0, metrics))
        message = Message(Topic(MessageType.NBIRTH, NodeId("plant", edge)), data, 1)
        (release,) = resolver.receive(message, parse(data))
        tables[edge].append(metric_of_alias_1(release))
    assert tables["a"] != tables["b"]


@pytest.mark.parametrize(("bd_seq", "lost"), [(4, False), (5, True), (None, True)])
def test_other_bd_seq_after_an_absence_tells_that_the_session_before_was_lost(
    bd_seq: int | None, lost: bool
) -> None:
    wire = Wire()
    wire.birth({1: "level"}, bd_seq=4)
    wire.now_ms += 1_000
    wire.data()
    wire.resolver.lose_connection()
    wire.now_ms += 60_000
    wire.send(MessageType.NBIRTH, bd_seq=bd_seq)
    notes = [note for note in wire.resolver.notes if note.kind == "node_lost"]
    assert [(note.time_ms, note.detail) for note in notes] == (
        [(1_001_000, {"bd_seq": 4, "found": bd_seq})] if lost else []
    )


def test_what_the_database_saw_last_tells_of_a_lost_session_once() -> None:
    wire = Wire()
    wire.resolver.absences.recall([(NODE, Sight(7, 500))])
    wire.birth({1: "level"}, bd_seq=8)
    wire.birth({1: "level"}, bd_seq=8)
    assert wire.kinds().count("node_lost") == 1
    assert wire.resolver.notes[0].time_ms == 500


def test_death_that_was_seen_is_no_lost_session() -> None:
    wire = Wire()
    wire.resolver.absences.recall([(NODE, Sight(7, 500))])
    wire.send(MessageType.NDEATH, bd_seq=7)
    wire.birth({1: "level"}, bd_seq=8)
    assert "node_lost" not in wire.kinds()


@pytest.mark.parametrize("how", ["time", "birth", "death"])
def test_missing_messages_are_counted_however_the_gap_ends(how: str) -> None:
    wire = Wire()
    wire.birth({1: "level"}, bd_seq=3)
    wire.data(seq=9)
    wire.data(seq=7)
    if how == "time":
        wire.now_ms += 1_000
        wire.resolver.tick(wire.now_ms)
    elif how == "birth":
        wire.birth({1: "level"}, bd_seq=3)
    else:
        wire.send(MessageType.NDEATH, bd_seq=3)
    assert wire.resolver.missed == 5
    (gap,) = [note for note in wire.resolver.notes if note.kind == "gap"]
    assert gap.detail == {"expected": 2, "found": 7, "missing": 5}


def test_order_that_was_restored_is_no_loss() -> None:
    wire = Wire()
    wire.birth({1: "level"})
    wire.data(seq=3)
    wire.data(seq=2)
    wire.birth({1: "level"})
    assert wire.resolver.missed == 0
    assert "gap" not in wire.kinds()


def lose(wire: Wire, before: int) -> None:
    """After a birth and some data, one message is lost and the time for it goes by."""
    wire.birth({1: "level"})
    for _ in range(before):
        assert len(wire.data()) == 1
    wire.data(seq=(wire.seq + 1) % 256)
    wire.now_ms += 400_000
    wire.resolver.tick(wire.now_ms)


def test_node_that_counts_well_is_believed_however_often_messages_are_lost() -> None:
    wire = Wire()
    for _ in range(10):
        lose(wire, 40)
    assert "sequence_ignored" not in wire.kinds()
    assert wire.resolver.missed == 10


def test_node_is_believed_again_after_a_round_of_messages_in_order() -> None:
    wire = Wire()
    for _ in range(3):
        lose(wire, 0)
    assert wire.kinds()[-1] == "sequence_ignored"
    wire.birth({1: "level"})
    for _ in range(256):
        assert len(wire.data()) == 1
    assert wire.kinds()[-1] == "sequence_believed"
    assert wire.data(seq=(wire.seq + 9) % 256) == []
    wire.now_ms += 1_000
    wire.resolver.tick(wire.now_ms)
    assert wire.resolver.missed == 3 + 9


def test_member_of_a_share_never_takes_a_gap_for_a_loss() -> None:
    wire = Wire(ResolveOptions(check_sequence=False))
    wire.birth({1: "level"})
    for _ in range(300):
        assert len(wire.data()) == 1
    assert len(wire.data(seq=(wire.seq + 9) % 256)) == 1
    assert wire.resolver.missed == 0
