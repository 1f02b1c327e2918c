"""What the host makes of an edge node that somebody else wrote, on a real broker and database."""

import json
import random
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from deploy.local.broker import MqttBroker
from proto.sparkplug.datatypes import DataType
from tests.integration.host_rig import (
    EdgePeer,
    HostProcess,
    Listener,
    metric,
    press_metrics,
    running_host,
    wait_for,
)

_edges = count(1)


@pytest.fixture(scope="module", params=["3.1.1", "5"])
def host(
    request: pytest.FixtureRequest,
    module_mqtt_broker: MqttBroker,
    module_postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("host")
    protocol = ("--mqtt-protocol", request.param)
    with running_host(folder, module_mqtt_broker, module_postgres_url, *protocol) as process:
        yield process


@pytest.fixture(scope="module")
def cookie(host: HostProcess) -> str:
    return host.sign_in()


@pytest.fixture
def edge(module_mqtt_broker: MqttBroker) -> Iterator[EdgePeer]:
    peer = EdgePeer(module_mqtt_broker, edge=f"line-{next(_edges)}")
    yield peer
    peer.close()


@pytest.fixture
def seen(host: HostProcess, cookie: str, edge: EdgePeer) -> Callable[[], dict[str, Any]]:
    """Give the node as the API shows it, with its press's metrics by name."""

    def look() -> dict[str, Any]:
        node = host.node(cookie, f"{edge.group}/{edge.edge}")
        if node is None:
            return {}
        node["press"] = {m["name"]: m for d in node["devices"] for m in d["metrics"]}
        return node

    return look


Seen = Callable[[], dict[str, Any]]


def test_born_node_is_shown_with_its_device_and_what_the_birth_told(
    edge: EdgePeer, seen: Seen
) -> None:
    edge.birth()
    node = wait_for(lambda: (n := seen()) and n["devices"] and n, "birth")
    assert (node["group"], node["edge"], node["online"]) == (edge.group, edge.edge, True)
    assert (node["bd_seq"], node["births"], node["deaths"], node["violations"]) == (0, 1, 0, 0)
    assert [m["name"] for m in node["metrics"]] == ["bdSeq", "Node Control/Rebirth", "uptime"]
    [device] = node["devices"]
    assert (device["name"], device["online"]) == ("press", True)
    temperature = node["press"]["temperature"]
    assert temperature | {"timestamp_ms": 0} == {
        "name": "temperature",
        "datatype": "Double",
        "value": 21.5,
        "quality": 192,
        "timestamp_ms": 0,
        "stale": False,
        "unit": "degC",
        "low": 0.0,
        "high": 90.0,
        "description": "oil",
        "enumeration": None,
        "writable": False,
    }
    assert node["press"]["total"]["value"] == "9223372036854775809"
    assert node["press"]["setpoint"]["writable"] is True


def test_data_by_alias_moves_the_value(edge: EdgePeer, seen: Seen) -> None:
    edge.birth()
    edge.data(10, DataType.DOUBLE, 33.25)
    edge.data(11, DataType.FLOAT, float("nan"))
    wait_for(lambda: seen().get("press", {}).get("setpoint", {}).get("value") == "NaN", "NaN")
    assert seen()["press"]["temperature"]["value"] == 33.25


@pytest.mark.rule("host-5")
@pytest.mark.tck(
    "operational-behavior-edge-node-termination-host-action-ndeath-node-offline",
    "operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale",
    "operational-behavior-edge-node-termination-host-action-ndeath-devices-offline",
    "operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale",
)
def test_cut_off_node_and_its_devices_go_offline_and_stale(
    module_mqtt_broker: MqttBroker, edge: EdgePeer, seen: Seen
) -> None:
    edge.birth()
    wait_for(lambda: seen().get("press"), "birth")
    edge.listener.publish(edge.topic("NDEATH"), edge.death(bd_seq=77), 1)
    edge.data(10, DataType.DOUBLE, 1.0)
    wait_for(lambda: seen()["press"]["temperature"]["value"] == 1.0, "data")
    assert seen()["online"], "a death with a foreign bdSeq counted"
    before_ms = time.time_ns() // 1_000_000
    edge.listener.vanish()
    node = wait_for(lambda: not (n := seen())["online"] and n, "death", 20)
    assert node["since_ms"] >= before_ms
    assert node["deaths"] == 1
    assert not node["devices"][0]["online"]
    assert all(m["stale"] for m in node["metrics"])
    assert all(m["stale"] for m in node["press"].values())
    edge.listener = Listener(module_mqtt_broker)


def test_uns_status_is_published_for_the_devices_of_a_node_that_was_cut_off(
    module_mqtt_broker: MqttBroker, edge: EdgePeer, seen: Seen
) -> None:
    status = Listener(module_mqtt_broker, "uns/acme/press/_status")
    edge.birth()
    wait_for(lambda: seen().get("press"), "birth")
    edge.listener.publish(edge.topic("NDEATH"), edge.death(), 1)
    message = status.next()
    while message.retain:  # of the test before
        message = status.next()
    told = json.loads(message.payload)
    assert told == {
        "online": False,
        "since_ms": seen()["since_ms"],
        "reason": "the edge node's connection was lost",
    }
    assert message.qos == 1
    edge.birth()
    edge.send("DDEATH", (), "press")
    wait_for(lambda: not seen()["devices"][0]["online"], "death of the device")
    edge.listener.publish(edge.topic("NDEATH"), edge.death(), 1)
    wait_for(lambda: not seen()["online"], "death of the node")
    assert status.messages.empty(), "a device that its node had reported was reported again"
    status.close()


@pytest.mark.rule("host-5")
@pytest.mark.tck(
    "operational-behavior-edge-node-termination-host-action-ddeath-devices-offline",
    "operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale",
)
def test_device_death_leaves_the_node_alone(edge: EdgePeer, seen: Seen) -> None:
    edge.birth()
    edge.send("DDEATH", (), "press")
    node = wait_for(
        lambda: (n := seen()) and n["devices"] and not n["devices"][0]["online"] and n, "death"
    )
    assert node["online"]
    assert all(m["stale"] for m in node["press"].values())
    assert not any(m["stale"] for m in node["metrics"])


@pytest.mark.rule("host-6", "host-7")
@pytest.mark.tck(
    "topics-ncmd-mqtt",
    "topics-ncmd-timestamp",
    "topics-ncmd-payload",
    "topics-ncmd-topic",
    "payloads-ncmd-qos",
    "payloads-ncmd-retain",
    "payloads-ncmd-seq",
    "payloads-ncmd-timestamp",
    "operational-behavior-data-commands-ncmd-rebirth-name",
    "operational-behavior-data-commands-ncmd-rebirth-value",
    "operational-behavior-data-commands-ncmd-rebirth-verb",
)
def test_unknown_node_is_asked_for_its_births_once_not_for_every_message(edge: EdgePeer) -> None:
    before_ms = time.time_ns() // 1_000_000
    for value in range(50):
        edge.data(1, DataType.UINT32, value, None)
    message, payload = edge.command()
    assert message.topic == edge.topic("NCMD")
    assert (message.qos, message.retain) == (0, False)
    assert payload.seq is None
    assert payload.timestamp_ms is not None
    assert before_ms <= payload.timestamp_ms <= time.time_ns() // 1_000_000
    [rebirth] = payload.metrics
    assert rebirth.name == "Node Control/Rebirth"
    assert rebirth.datatype is DataType.BOOLEAN
    assert rebirth.value is True
    edge.birth()
    assert edge.listener.messages.empty(), "a second rebirth request followed the first"


@pytest.mark.rule("host-6")
@pytest.mark.tck(
    "operational-behavior-host-reordering-start",
    "operational-behavior-host-reordering-success",
    "operational-behavior-host-reordering-rebirth",
)
def test_late_message_is_put_in_order_and_one_that_stays_away_leads_to_one_rebirth(
    edge: EdgePeer, seen: Seen
) -> None:
    edge.birth()
    wait_for(lambda: seen().get("press"), "birth")
    edge.seq = 2
    edge.data(10, DataType.DOUBLE, 3.0)
    edge.data(11, DataType.FLOAT, 4.0)
    edge.seq = 1
    edge.data(10, DataType.DOUBLE, 2.0)
    wait_for(lambda: seen()["press"]["setpoint"]["value"] == 4.0, "the messages that waited")
    assert seen()["press"]["temperature"]["value"] == 3.0
    assert edge.listener.messages.empty(), "asked for births although nothing was missing"
    edge.seq = 7
    for value in range(5):
        edge.data(10, DataType.DOUBLE, float(value))
    _, payload = edge.command()
    assert [metric.name for metric in payload.metrics] == ["Node Control/Rebirth"]
    edge.birth()
    edge.data(12, DataType.UINT64, 9)
    wait_for(lambda: seen()["press"]["total"]["value"] == 9, "data after the birth")
    assert edge.listener.messages.empty(), "a second rebirth request followed the first"


@pytest.mark.rule("host-7")
def test_device_command_is_by_alias_or_name_as_it_was_born(
    host: HostProcess, cookie: str, edge: EdgePeer, seen: Seen
) -> None:
    edge.birth([*press_metrics(), metric("valve", DataType.BOOLEAN, False)])
    wait_for(lambda: seen().get("press"), "birth")
    body = {"group": edge.group, "edge": edge.edge, "device": "press"}
    for name, value, alias in (("setpoint", 7.5, 11), ("valve", True, None)):
        told = body | {"metric": name, "value": value}
        assert host.post("/api/v1/write", told, cookie)[0] == 202
        message, payload = edge.command()
        assert message.topic == edge.topic("DCMD", "press")
        assert (message.qos, message.retain) == (0, False)
        assert payload.seq is None
        assert payload.timestamp_ms is not None
        [sent] = payload.metrics
        assert (sent.name, sent.alias) == ((name, None) if alias is None else (None, alias))
        assert sent.value == value


@pytest.mark.rule("host-8")
def test_garbage_is_counted_and_named_and_neighbours_go_on(
    host: HostProcess, module_mqtt_broker: MqttBroker, edge: EdgePeer, seen: Seen
) -> None:
    edge.birth()
    wait_for(lambda: seen().get("press"), "birth")
    vandal = Listener(module_mqtt_broker)
    noise = random.Random(3)  # noqa: S311  # repeatable, not secret
    topics = [
        "spBv1.0/plant/NBIRTH/vandal",
        "spBv1.0/plant/DDATA/vandal/x",
        "spBv1.0/plant/NDEATH/vandal",
        "spBv1.0/plant/NOTHING/vandal",
        "spBv1.0/plant",
        "spBv1.0/////",
        edge.topic("DDATA", "press"),
        edge.topic("NDATA"),
        "spBv1.0/STATE/nexus/more",
    ]
    for topic in topics:
        for size in (0, 1, 7, 300):
            vandal.publish(topic, noise.randbytes(size))
    vandal.close()
    edge.data(10, DataType.DOUBLE, 99.0)
    wait_for(lambda: seen()["press"]["temperature"]["value"] == 99.0, "data among garbage")
    node = seen()
    assert node["online"]
    assert node["violations"] > 0
    kinds = {e["kind"] for e in host.events() if e["event"] == "sparkplug_violation"}
    assert {"payload cannot be decoded", "topic is none of Sparkplug's"} <= kinds
    warnings = [e for e in host.events() if e["event"] == "sparkplug_violation"]
    assert len(warnings) < 20
    assert host.get("/healthz") == (200, {"status": "ok"})
    assert not [e for e in host.events() if e["event"] == "message_failed"]


def test_retained_birth_of_a_node_that_may_be_long_gone_is_ignored(
    module_mqtt_broker: MqttBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broken = EdgePeer(module_mqtt_broker, edge="retains")
    broken.listener.publish(broken.topic("NBIRTH"), b"\x18\x00", 1, retain=True)
    with running_host(tmp_path_factory.mktemp("late"), module_mqtt_broker) as late:
        late.wait_event("retained_message_ignored")
    broken.listener.publish(broken.topic("NBIRTH"), b"", 1, retain=True)
    broken.close()


def test_diagnostics_tell_what_a_node_did_and_what_it_does_not_keep_to(
    host: HostProcess, cookie: str, edge: EdgePeer, seen: Seen
) -> None:
    edge.data(1, DataType.UINT32, 1, None)
    edge.command()
    edge.birth()
    edge.data(10, DataType.DOUBLE, 1.0)
    edge.listener.publish(edge.topic("NDATA"), b"\xff")
    wait_for(lambda: seen().get("violations", 0) >= 2, "violation")
    path = f"/api/v1/nodes/{edge.group}/{edge.edge}/diagnostics"
    found = wait_for(
        lambda: (d := host.get(path, cookie)[1])["traffic"]["messages_per_s"] and d, "a sample"
    )
    assert found["id"] == f"{edge.group}/{edge.edge}"
    assert found["counters"]["births"] == 1
    assert found["counters"]["rebirth_requests"] == 1
    assert found["counters"]["metrics"] >= 1
    assert found["rebirths"] == [{"cause": "message of a node that is not born", "count": 1}]
    assert found["last_rebirth"]["reason"] == "NDATA before NBIRTH"
    assert abs(found["last_rebirth"]["at_ms"] - found["birth_ms"]) < 30_000
    assert found["online"]
    assert found["since_ms"] == found["birth_ms"]
    assert found["bd_seq"] == 0
    assert found["counters"].keys() >= {"deaths", "gaps", "held"}
    garbage = {"kind": "payload cannot be decoded", "statement": None, "count": 1}
    assert garbage in found["violations"]
    assert "principles-birth-certificates-order" in {v["statement"] for v in found["violations"]}
    kinds = [entry["kind"] for entry in found["journal"]]
    assert kinds[0] == "violation"
    assert kinds.index("born") < kinds.index("rebirth_requested")
    traffic = found["traffic"]
    assert 0 < traffic["mean_payload_bytes"] < traffic["largest_payload_bytes"]
    assert traffic["largest_payload_bytes"] > 50
    assert found["since_ms"] <= traffic["last_message_ms"]
    assert traffic["metrics_per_s"] > 0
    assert traffic["metric_latency_ms"] is not None
    assert abs(traffic["latency_ms"]["least"]) < 5_000
    assert traffic["clock_skew_ms"] == -traffic["latency_ms"]["least"]
    assert host.get("/api/v1/nodes/plant/nowhere/diagnostics", cookie)[0] == 404
    assert host.get(path)[0] == 401
