"""Whole conversations between an edge node and a host, written out as they go over the wire.

Each line is one message: when (ms after the start), who says it, its type, device, seq and metrics.
``<`` goes to the edge node, ``>`` comes from it, ``!`` is what one side tells its caller.
"""

from proto.sparkplug.codec import Metric, decode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.edge_events import EdgeOptions
from proto.sparkplug.edge_session import Action, EdgeSession
from proto.sparkplug.host_events import Violation
from proto.sparkplug.host_state import HostStateSession
from proto.sparkplug.host_tracker import HostAction, HostTracker
from proto.sparkplug.messages import Publish
from proto.sparkplug.state import parse_state
from proto.sparkplug.topics import STATE_PREFIX, NodeId, parse_topic

START_MS = 1_700_000_000_000
NODE = NodeId("plant", "line-1")


class Conversation:
    """An edge node and a host that hear each other at once, unless told to lose something."""

    def __init__(self, *, primary_host: str | None = None) -> None:
        self.now_ms = START_MS
        self.lines: list[str] = []
        self.losing = False
        self.edge = EdgeSession(NODE, options=EdgeOptions(primary_host=primary_host))
        self.edge.set_node_metrics([Metric("uptime", DataType.UINT32, 5, START_MS)])
        self.edge.set_device("filler", [Metric("speed", DataType.DOUBLE, 1.5, START_MS)])
        self.edge.device_online("filler", START_MS)
        self.host = HostTracker(host_id="scada")

    def connect(self) -> None:
        self.edge.connect(self.now_ms)
        self.edge_says(self.edge.connected(self.now_ms))

    def measure(self, value: float) -> None:
        reading = (self.edge.alias("filler", "speed"), value, self.now_ms, 192)
        message = self.edge.data("filler", [reading], self.now_ms)
        self.edge_says([message] if message is not None else [])

    def edge_says(self, actions: list[Action] | list[Publish]) -> None:
        for action in actions:
            if not isinstance(action, Publish):
                self.tell("edge", action)
                continue
            self.write(">", action, lost=self.losing)
            if not self.losing:
                self.host_says(self.host.receive(action.topic, action.payload, self.now_ms))

    def host_says(self, actions: list[HostAction] | list[Publish]) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.write("<", action, lost=False)
                self.edge_says(self.edge.receive(action.topic, action.payload, self.now_ms))
            else:
                self.tell("host", action)

    def passes(self, milliseconds: int) -> None:
        end_ms = self.now_ms + milliseconds
        while (due_ms := self.host.next_deadline_ms) is not None and due_ms <= end_ms:
            self.now_ms = due_ms
            self.host_says(self.host.tick(due_ms))
        self.now_ms = end_ms

    def write(self, arrow: str, message: Publish, *, lost: bool) -> None:
        words = [f"{self.now_ms - START_MS:>5}", arrow]
        if message.topic.startswith(STATE_PREFIX):
            words.append(f"STATE online={parse_state(message.payload).online}")
        else:
            topic, payload = parse_topic(message.topic), decode_payload(message.payload)
            words += [topic.message_type, topic.device or "", f"seq={payload.seq}"]
            words += [f"{m.name or m.alias}={m.value!r}" for m in payload.metrics]
        self.lines.append(" ".join(filter(None, words)) + (" (lost)" if lost else ""))

    def tell(self, who: str, event: object) -> None:
        detail = f" {event.kind}" if isinstance(event, Violation) else ""
        self.lines.append(f"{self.now_ms - START_MS:>5} ! {who}: {type(event).__name__}{detail}")

    def reads(self, expected: str) -> None:
        assert [line.strip() for line in self.lines] == [
            line.strip() for line in expected.strip().splitlines()
        ]


def test_a_day_without_trouble() -> None:
    talk = Conversation()
    talk.connect()
    talk.passes(100)
    talk.measure(2.5)
    talk.passes(100)
    command = talk.host.command(NODE, "filler", "speed", 9, talk.now_ms)
    talk.host_says([command])
    talk.passes(100)
    talk.edge_says(talk.edge.disconnect(talk.now_ms))

    talk.reads("""
            0 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False
            0 ! host: NodeBorn
            0 > DBIRTH filler seq=1 speed=1.5
            0 ! host: DeviceBorn
          100 > DDATA filler seq=2 2=2.5
          100 ! host: MetricsChanged
          200 < DCMD filler seq=None 2=9.0
          200 ! edge: WriteRequested
          300 > DDEATH filler seq=3
          300 ! host: DeviceDied
          300 > NDEATH seq=None bdSeq=0
          300 ! host: NodeDied
    """)


def test_a_message_is_lost() -> None:
    talk = Conversation()
    talk.connect()
    talk.losing = True
    talk.measure(2.5)
    talk.losing = False
    talk.passes(100)
    talk.measure(3.5)
    talk.passes(10_000)
    talk.measure(4.5)

    talk.reads("""
            0 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False
            0 ! host: NodeBorn
            0 > DBIRTH filler seq=1 speed=1.5
            0 ! host: DeviceBorn
            0 > DDATA filler seq=2 2=2.5 (lost)
          100 > DDATA filler seq=3 2=3.5
         2100 ! host: MetricsChanged
         2100 ! host: Violation messages are missing
         2100 < NCMD seq=None Node Control/Rebirth=True
         2100 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False
         2100 ! host: NodeBorn
         2100 > DBIRTH filler seq=1 speed=3.5
         2100 ! host: DeviceBorn
         2100 ! edge: RebirthDone
         2100 ! host: RebirthRequested
        10100 > DDATA filler seq=2 2=4.5
        10100 ! host: MetricsChanged
    """)


def test_the_host_comes_late() -> None:
    talk = Conversation()
    talk.losing = True
    talk.connect()
    talk.losing = False
    talk.passes(100)
    talk.measure(2.5)
    talk.passes(100)
    talk.measure(3.5)

    talk.reads("""
            0 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False (lost)
            0 > DBIRTH filler seq=1 speed=1.5 (lost)
          100 > DDATA filler seq=2 2=2.5
          100 ! host: Violation message of a node that is not born
          100 < NCMD seq=None Node Control/Rebirth=True
          100 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False
          100 ! host: NodeBorn
          100 > DBIRTH filler seq=1 speed=2.5
          100 ! host: DeviceBorn
          100 ! edge: RebirthDone
          100 ! host: RebirthRequested
          200 > DDATA filler seq=2 2=3.5
          200 ! host: MetricsChanged
    """)


def test_the_connection_breaks_and_the_old_will_comes_after_the_new_birth() -> None:
    talk = Conversation()
    will = talk.edge.connect(talk.now_ms).will
    talk.edge_says(talk.edge.connected(talk.now_ms))
    talk.edge.disconnected()
    talk.passes(1_000)
    talk.connect()
    talk.passes(60_000)
    talk.edge_says([will])

    talk.reads("""
            0 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False
            0 ! host: NodeBorn
            0 > DBIRTH filler seq=1 speed=1.5
            0 ! host: DeviceBorn
         1000 > NBIRTH seq=0 uptime=5 bdSeq=1 Node Control/Rebirth=False
         1000 ! host: NodeBorn
         1000 > DBIRTH filler seq=1 speed=1.5
         1000 ! host: DeviceBorn
        61000 > NDEATH seq=None bdSeq=0
        61000 ! host: Violation death does not match the birth
    """)
    assert talk.host.nodes[NODE].online


def test_the_primary_host_goes_and_comes_back() -> None:
    talk = Conversation(primary_host="scada")
    state = HostStateSession("scada")
    talk.connect()
    state.connect(talk.now_ms)
    talk.host_says(state.connected())
    talk.passes(100)
    talk.host_says(state.disconnect(talk.now_ms))
    talk.edge.disconnected()
    talk.passes(100)
    talk.connect()
    talk.measure(2.5)
    talk.passes(100)
    state.connect(talk.now_ms)
    talk.host_says(state.connected())

    talk.reads("""
            0 < STATE online=True
            0 > NBIRTH seq=0 uptime=5 bdSeq=0 Node Control/Rebirth=False
            0 ! host: NodeBorn
            0 > DBIRTH filler seq=1 speed=1.5
            0 ! host: DeviceBorn
            0 ! edge: PrimaryHostOnline
          100 < STATE online=False
          100 > NDEATH seq=None bdSeq=0
          100 ! host: NodeDied
          100 ! edge: PrimaryHostOffline
          300 < STATE online=True
          300 > NBIRTH seq=0 uptime=5 bdSeq=1 Node Control/Rebirth=False
          300 ! host: NodeBorn
          300 > DBIRTH filler seq=1 speed=2.5
          300 ! host: DeviceBorn
          300 ! edge: PrimaryHostOnline
    """)
